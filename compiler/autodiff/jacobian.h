#pragma once

#include <span>

#include "compiler/autodiff/path.h"

namespace mlpc::autodiff {

/// ẏ = J ẋ along a path.
ir::ValueId push_along(ir::Builder& b, const Path& path, std::span<const ir::ValueId> tangents);

/// ∂y[i…] / ∂x[j…] at [i…, j…]: row by row in reverse, or column by column where x has fewer elements.
ir::ValueId jacobian(ir::Builder& b, ir::ValueId y, ir::ValueId x);

}  // namespace mlpc::autodiff
