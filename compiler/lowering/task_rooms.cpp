#include "compiler/lowering/task_rooms.h"

#include <algorithm>
#include <iterator>
#include <map>
#include <optional>
#include <ranges>
#include <utility>

#include "compiler/lowering/row_loops.h"
#include "compiler/lowering/specialize.h"

namespace mlpc::lowering {
namespace {

using ir::Dim;

using Part = ir::WorkspaceSlot::Tasks;

/// How the calls of a list of actions touch a slot.
struct Use {
  bool is_touched = false;
  const ir::Phase* phase = nullptr;
  std::optional<Part> part;  // that all of them agree on, who then are of this phase
};

class RoomFinder {
 public:
  RoomFinder(ir::LoweredEntry& entry, const std::vector<ir::Kernel>& kernels)
      : entry_(entry), kernels_(kernels) {}

  void run() {
    const std::vector<Use> general = uses_of(entry_.actions);
    std::vector<std::pair<const ir::Specialization*, std::vector<Use>>> special;
    for (const ir::Action& action : entry_.actions)
      if (const auto* s = std::get_if<ir::Specialization>(&action.kind))
        special.emplace_back(s, uses_of(s->actions));
    for (std::size_t i = 0; i < entry_.slots.size(); ++i) {
      ir::WorkspaceSlot& slot = entry_.slots[i];
      const std::optional<Part>& part = general[i].part;
      const bool has_part =
          part && std::ranges::all_of(special, [&](const auto& s) {
            return !s.second[i].is_touched || s.second[i].part == with_numbers(*part, s.first->dims);
          });
      slot.tasks = has_part ? part : std::nullopt;
    }
  }

 private:
  std::vector<Use> uses_of(const std::vector<ir::Action>& actions) {
    uses_.assign(entry_.slots.size(), {});
    for (const ir::Action& action : actions) {
      if (std::holds_alternative<ir::Specialization>(action.kind)) continue;
      const auto* phase = std::get_if<ir::Phase>(&action.kind);
      look(action, phase);
    }
    return std::move(uses_);
  }

  /// `phase`: around the action, but in no loop; else null.
  void look(const ir::Action& action, const ir::Phase* phase) {
    if (const auto* check = std::get_if<ir::FiniteCheck>(&action.kind)) use(check->value, nullptr, {});
    if (const auto* call = std::get_if<ir::KernelCall>(&action.kind))
      for (std::size_t i = 0; i < call->buffers.size(); ++i) {
        const ir::BufferRef& ref = call->buffers[i];
        const bool may_have_part =
            phase && ref.space == ir::BufferRef::Space::workspace && ref.offsets.empty();
        use(ref, phase, may_have_part ? part_of(call->kernel, i) : std::nullopt);
      }
    if (const std::vector<ir::Action>* inside = ir::actions_inside(action))
      for (const ir::Action& a : *inside) look(a, phase);
  }

  void use(const ir::BufferRef& ref, const ir::Phase* phase, const std::optional<Part>& part) {
    if (ref.space != ir::BufferRef::Space::workspace) return;
    Use& use = uses_[ref.index];
    if (!use.is_touched)
      use = {true, phase, part};
    else if (use.phase != phase || use.part != part)
      use.part = std::nullopt;
  }

  /// Of a kernel's buffer: nullopt where tasks share it, or have several pieces each.
  std::optional<Part> part_of(std::uint32_t kernel, std::size_t buffer) {
    const std::vector<ir::TaskSplit>& tasks = kernels_[kernel].tasks;
    if (tasks.empty()) return std::nullopt;
    const auto [it, is_new] = loops_.try_emplace(kernel);
    if (is_new) {
      it->second = row_loops(kernels_[kernel]);
      std::ranges::move(row_nests(kernels_[kernel]), std::back_inserter(it->second));
    }
    for (const RowLoop& loop : it->second) {
      const std::int64_t block = tasks.back().block;
      const bool is_cut =
          loop.var == tasks.back().var && loop.around.size() + 1 == tasks.size() &&
          std::ranges::equal(loop.around, tasks | std::views::take(loop.around.size()), same) &&
          (loop.extents.size() == 1 || block == 1);
      if (is_cut && loop.rows[buffer] && loop.rows[buffer]->is_leading)
        return Part{Dim::ceildiv(loop.extent, block), Dim(block) * loop.rows[buffer]->bytes};
    }
    return std::nullopt;
  }

  static bool same(const ir::TaskSplit& a, const ir::TaskSplit& b) {
    return a.var == b.var && a.block == b.block;
  }

  static Part with_numbers(const Part& part, const Extents& extents) {
    return {lowering::with_numbers(part.count, extents), lowering::with_numbers(part.bytes, extents)};
  }

  ir::LoweredEntry& entry_;
  const std::vector<ir::Kernel>& kernels_;
  std::vector<Use> uses_;  // by slot
  /// By kernel: those and nests that tasks could be cut from.
  std::map<std::uint32_t, std::vector<RowLoop>> loops_;
};

}  // namespace

void give_rooms(ir::LoweredEntry& entry, const std::vector<ir::Kernel>& kernels) {
  RoomFinder(entry, kernels).run();
}

}  // namespace mlpc::lowering
