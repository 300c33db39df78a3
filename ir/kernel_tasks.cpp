#include "ir/kernel_tasks.h"

#include <optional>

#include "ir/error.h"

namespace mlpc::ir {
namespace {

/// Null if no loop of the kernel's tasks has the variable.
const Loop* find_loop(const Block& block, VarId var) {
  for (const Statement& statement : block) {
    const auto* loop = std::get_if<Loop>(&statement.kind);
    if (!loop) continue;
    if (loop->var == var) return loop;
    if (const Loop* inner = find_loop(loop->body, var)) return inner;
  }
  return nullptr;
}

struct TaskCut {
  Dim extent;
  std::int64_t block;
};

/// Of the only loop of a kernel that may have several tasks, or of all turns of several that have a task a
/// turn; of one turn where there is one task.
std::optional<TaskCut> only_cut(const Kernel& kernel) {
  std::optional<TaskCut> found;
  for (const TaskSplit& split : kernel.tasks) {
    if (task_count(kernel, split) == Dim(1)) continue;
    if (found && (found->block != 1 || split.block != 1)) return std::nullopt;
    const Dim around = found ? found->extent : Dim(1);
    found = TaskCut{around * task_extent(kernel, split), split.block};
  }
  return found ? found : TaskCut{1, 1};
}

/// As there are where blocks are the same part of the extents; or b, whose turn is some turns of a, runs over
/// whole ones of these only, and has no task where fewer are left.
bool has_as_many_tasks(const TaskCut& a, const TaskCut& b) {
  if (a.extent.is_constant() && b.extent.is_constant())
    return Dim::ceildiv(a.extent, a.block) == Dim::ceildiv(b.extent, b.block);
  if (a.extent * Dim(b.block) == b.extent * Dim(a.block)) return true;
  return a.block % b.block == 0 && Dim::floordiv(a.extent, a.block / b.block) == b.extent;
}

}  // namespace

Dim task_extent(const Kernel& kernel, const TaskSplit& split) {
  const Loop* loop = find_loop(kernel.body, split.var);
  if (!loop) fail("kernel `{}` has no loop over i{} for its tasks", kernel.name, split.var.index);
  return loop->extent;
}

Dim task_count(const Kernel& kernel, const TaskSplit& split) {
  if (split.block < 1) fail("kernel `{}` has tasks of {} turns", kernel.name, split.block);
  return Dim::ceildiv(task_extent(kernel, split), split.block);
}

Dim task_count(const Kernel& kernel) {
  Dim count = 1;
  for (const TaskSplit& split : kernel.tasks) count = count * task_count(kernel, split);
  return count;
}

std::vector<std::uint32_t> kernels_of(const std::vector<Action>& actions) {
  std::vector<std::uint32_t> out;
  for (const Action& action : actions) {
    if (const auto* call = std::get_if<KernelCall>(&action.kind)) out.push_back(call->kernel);
    if (const std::vector<Action>* inside = actions_inside(action)) {
      const std::vector<std::uint32_t> inner = kernels_of(*inside);
      out.insert(out.end(), inner.begin(), inner.end());
    }
  }
  return out;
}

bool has_equal_tasks(const std::vector<Kernel>& kernels, const std::vector<Action>& actions) {
  std::optional<TaskCut> first;
  for (std::uint32_t kernel : kernels_of(actions)) {
    const std::optional<TaskCut> cut = only_cut(kernels[kernel]);
    if (!cut || (first && !has_as_many_tasks(*first, *cut))) return false;
    if (!first) first = cut;
  }
  return first.has_value();
}

}  // namespace mlpc::ir
