#pragma once

#include "compiler/driver/compile.h"
#include "ir/program.h"

namespace mlpc::driver {

/// The program with as few segments of its forward part computed again as keep the workspace of `grad` and of
/// `train_step` within the bound. Requires stage `jacobian`. Throws mlpc::Error where no number of segments
/// does, or a free dim has no extent.
ir::Program within_memory(const ir::Program& program, const MemoryBound& bound, int level);

/// "BYTES" or "BYTES,B=128,…"; BYTES may end in K, M or G (powers of 1024).
MemoryBound parse_memory_bound(const std::string& text);

}  // namespace mlpc::driver
