#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "ir/kernel.h"

namespace mlpc::lowering {

/// Extents of free dims, by name.
using Extents = std::vector<std::pair<std::string, std::int64_t>>;

/// With the extents in their names' places.
ir::Dim with_numbers(const ir::Dim& dim, const Extents& extents);

/// Every entry that depends on them gets a copy of its actions for these extents (ir::Specialization), before
/// those that it has, unless it has this one. In the copies' kernels the dims are numbers, so loops have
/// numbers of turns, limits that hold everywhere and guards are gone. Sums and schedules stay as they are,
/// and with them all bits. Without extents nothing is done. Throws mlpc::Error for a name that is no free
/// dim, one that occurs twice, and extents below 1.
void specialize(ir::KernelProgram& program, const Extents& extents);

}  // namespace mlpc::lowering
