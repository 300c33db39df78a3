#pragma once

#include <vector>

#include "ir/kernel.h"

namespace mlpc::ir {

/// How often the loop that tasks are cut from runs. Throws mlpc::Error where there is none.
Dim task_extent(const Kernel& kernel, const TaskSplit& split);

/// ⌈extent / block⌉
Dim task_count(const Kernel& kernel, const TaskSplit& split);

/// The number of a kernel's tasks: the product over its splits.
Dim task_count(const Kernel& kernel);

/// The kernels that actions call, in order, those inside of loops and phases, too.
std::vector<std::uint32_t> kernels_of(const std::vector<Action>& actions);

/// Whether they are fit for a phase: there are some, each is cut in one loop or none, or in several into a
/// task a turn, and all into as many tasks as the first one, whatever the dims are; but where the number is
/// free, one that runs over whole blocks of the first one's turns has no task for what is left of them.
bool has_equal_tasks(const std::vector<Kernel>& kernels, const std::vector<Action>& actions);

}  // namespace mlpc::ir
