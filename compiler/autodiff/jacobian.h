#pragma once

#include <span>

#include "compiler/autodiff/path.h"

namespace mlpc::autodiff {

/// ẏ = J ẋ by the linear graph of a path, written into the builder's graph.
ir::ValueId push_along(ir::Builder& b, const ir::Graph& linear, std::span<const ir::ValueId> tangents,
                       std::span<const ir::ValueId> residuals);

/// ∂y[i…] / ∂x[j…] at [i…, j…]: row by row in reverse, or column by column where x is known to have fewer
/// elements than y; by a scan where there are more than a few.
ir::ValueId jacobian(ir::Builder& b, ir::ValueId y, ir::ValueId x);

}  // namespace mlpc::autodiff
