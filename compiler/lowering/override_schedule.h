#pragma once

#include <string_view>

#include "ir/kernel.h"

namespace mlpc::lowering {

/// Replaces schedules of kernels by those that a text names, as the kernel dump calls them:
///
///   kernel k3
///     task %i0 block 32
///     for %i1 unroll 4
///     for %i0 lanes unroll 2
///     reduce %i2 unroll 4
///
/// A loop that is not named keeps its schedule; one that is named has no lanes, and unroll 1, unless it says
/// so. A reduction is named by its last variable. A phase whose kernels are then cut into different tasks is
/// none any more. No schedule changes a bit. Throws mlpc::Error, with file and line, for what is not of this
/// form or names nothing.
void override_schedule(ir::KernelProgram& program, std::string_view text, std::string_view file);

}  // namespace mlpc::lowering
