#pragma once

#include <optional>

#include "tests/support/random_nodes.h"

namespace mlpc::testing {

/// Attributes of slice, pad, concat, window, fold, scatter_add and one_hot that mostly fit the operands:
/// drawn by kinds alone, they would hardly ever. Nullopt for other ops, and where nothing fits.
std::optional<ir::Attributes> random_parts(ir::Op op, const std::vector<ir::Type>& operands,
                                           ir::ElementType floats, Random& random);

}  // namespace mlpc::testing
