#pragma once

#include <functional>

#include "ir/program.h"

namespace mlpc::testing {

/// The smallest program found, by cutting nodes of the forward graph one after the other, that still fails:
/// a node is cut by making its results inputs, or one of its operands its result. `fails` must hold for the
/// program itself.
ir::Program shrunk(ir::Program program, const std::function<bool(const ir::Program&)>& fails);

}  // namespace mlpc::testing
