#pragma once

#include "ir/kernel.h"

namespace mlpc::lowering {

struct LoweringOptions {
  int level = 2;  // of -O: 0 one kernel an op, untiled; 1 fused; 2 tiled
};

/// The kernels of a joint program and the order in which each entry calls them. The same bits come out at
/// every level. Requires a verified program whose composites are expanded and whose target is a row of
/// ir/target.h. Throws mlpc::Error for ops that have no lowering.
ir::KernelProgram lower(const ir::Program& program, const LoweringOptions& options);

}  // namespace mlpc::lowering
