#pragma once

#include <string>
#include <string_view>

#include "ir/program.h"

namespace mlpc::autodiff {

/// The gradient of the total loss in one parameter as a product of Jacobians, in words: first a product for
/// each value at which paths meet, so that exponentially many paths take linear space; then each factor once,
/// as an operator of the tangent `·`, with its shapes, flops, what it keeps of the primal, and where it was
/// written. Requires stage `linear`. Throws mlpc::Error where there is no loss or no such parameter.
std::string explain(const ir::Program& program, std::string_view path);

}  // namespace mlpc::autodiff
