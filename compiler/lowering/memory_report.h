#pragma once

#include <string>

#include "compiler/lowering/lower.h"

namespace mlpc::lowering {

/// What `grad` of a joint program keeps of its forward part for its backward part, and what it computes again
/// there instead, each with its bytes as a formula of the dims; then the workspace's slots, which lie
/// above which, and what that comes to. Says so where there is no gradient.
std::string memory_report(const ir::Program& program, const LoweringOptions& options);

}  // namespace mlpc::lowering
