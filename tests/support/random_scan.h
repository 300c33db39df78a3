#pragma once

#include <vector>

#include "tests/support/random_nodes.h"

namespace mlpc::testing {

/// Attributes for a scan over operands of such types: a random number of them are consts, then loop values,
/// and the rest sequences. Its body is smooth, and every float result of it moves with every float operand
/// and with the turn. Now and then a scan stands inside. Throws mlpc::Error where the types allow no scan.
ir::Attributes random_scan_attributes(const std::vector<ir::Type>& operands, Random& random);

/// A scan over operands of random types: 0, 1, 2, 3 or 7 turns.
RandomNode random_scan(ir::ElementType floats, Random& random);

}  // namespace mlpc::testing
