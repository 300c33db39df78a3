#include "compiler/lowering/lower.h"

#include <algorithm>

#include "compiler/lowering/emit_group.h"
#include "compiler/lowering/kernel_table.h"
#include "compiler/lowering/packing.h"
#include "compiler/lowering/phases.h"
#include "compiler/lowering/place_slots.h"
#include "compiler/lowering/prepare.h"
#include "compiler/lowering/task_rooms.h"
#include "ir/error.h"
#include "ir/text.h"

namespace mlpc::lowering {
namespace {

using ir::Graph;

std::optional<ir::ValueId> total_loss(const Graph& graph) {
  for (const Graph::Result& r : graph.results)
    if (r.role == ir::Role::loss_total) return r.value;
  return std::nullopt;
}

/// The actions of a graph's groups, one group after the other; each call has a kernel of its own.
class ActionWriter {
 public:
  ActionWriter(const EntryContext& context, std::vector<ir::Kernel>& kernels)
      : c_(context), kernels_(kernels) {}

  std::vector<ir::Action> run() {
    const std::optional<ir::ValueId> loss = total_loss(c_.graph);
    for (std::size_t g = 0; g < c_.grouping.groups.size(); ++g) {
      if (c_.grouping.groups[g].is_turns)
        turns(*c_.storage.turns.at(g));
      else if (c_.grouping.groups[g].is_row_parts)
        call(emit_row_parts(c_, g));
      else
        group(g);
      if (loss && c_.storage.loss_group == static_cast<std::int32_t>(g))
        out_.push_back(
            {ir::FiniteCheck{c_.storage.places[loss->index].front(), c_.graph.type(*loss).element}});
    }
    for (const Storage::Copy& copy : c_.storage.copies) call(emit_copy(c_, copy));
    return std::move(out_);
  }

 private:
  void group(std::size_t g) {
    const Group& group = c_.grouping.groups[g];
    if (group.is_contraction && has_rows_in_lanes(c_.graph, group.members.front())) call(emit_turning(c_, g));
    std::vector<EmittedKernel> kernels = emit_group(c_, g);
    const bool packs = c_.level >= 2 && packs_in_tasks(c_, g);
    // The last one packs: what others read, or a packing before it, need not be there any more.
    if (packs) std::ranges::reverse(kernels);
    for (EmittedKernel& emitted : kernels) {
      if (is_packed_gradient(c_, g) && &emitted == &kernels.back()) call(emit_packing(c_, g));
      call(std::move(emitted));
    }
    if (!packs) return;
    // What a task packs is in its worker's room, as are slots of a phase (task_rooms.h).
    ir::Phase phase;
    phase.actions.push_back(std::move(out_.back()));
    out_.back() = {std::move(phase)};
  }

  void call(EmittedKernel emitted) {
    const auto kernel = static_cast<std::uint32_t>(kernels_.size());
    kernels_.push_back(std::move(emitted.kernel));
    out_.push_back({ir::KernelCall{kernel, std::move(emitted.buffers), emitted.guard}});
  }

  void turns(const TurnStorage& t) {
    for (const Storage::Copy& copy : t.first) call(emit_copy(c_, copy));
    const EntryContext body{t.body, t.grouping, t.storage, c_.target, c_.level, c_.near_bytes, c_.runs_once};
    for (std::size_t g = 0; g < t.grouping.groups.size(); ++g)
      if (t.storage.is_packed_before[g]) call(emit_packing(body, g));
    out_.push_back({ir::TurnLoop{t.length, t.reverse, ActionWriter(body, kernels_).run()}});
    for (const Storage::Copy& copy : t.last) call(emit_copy(c_, copy));
  }

  const EntryContext& c_;
  std::vector<ir::Kernel>& kernels_;
  std::vector<ir::Action> out_;
};

ir::LoweredEntry lower_entry(const Graph& source, const ir::Target& target, int level,
                             std::vector<ir::Kernel>& kernels, KernelTable& table) {
  const Graph graph = prepare(source);
  const GroupingOptions options = grouping_options(level, target);
  const Grouping grouping = group_values(graph, options);
  Storage storage = assign_storage(graph, grouping, options);
  const EntryContext context{
      graph, grouping, storage, target, level, options.near_bytes, graph.name == "init"};
  ir::LoweredEntry entry;
  entry.name = graph.name;
  std::vector<ir::Kernel> own;
  entry.actions = ActionWriter(context, own).run();
  if (level >= 2) form_phases(entry.actions, own, target);
  if (grouping.is_gathered) form_row_phases(entry.actions, own, target, grouping.parts_join);
  if (level >= 2) form_batch_phases(entry.actions, own, target);
  table.add(entry.actions, own);
  for (const Graph::Result& r : graph.results) entry.writes_grads |= r.role == ir::Role::grad;
  entry.inputs = std::move(storage.inputs);
  entry.results = std::move(storage.results);
  for (ir::Dim& bytes : storage.slots) entry.slots.push_back({std::move(bytes)});
  give_rooms(entry, kernels);
  place_slots(entry);
  return entry;
}

}  // namespace

ir::KernelProgram lower(const ir::Program& program, const LoweringOptions& options) {
  const ir::Target* target = ir::target_named(program.target);
  if (!target) fail("`{}` is no target", program.target);
  ir::KernelProgram out;
  out.header = program;
  out.header.graphs.clear();
  KernelTable table(out.kernels);
  for (std::string_view name : ir::entry_names())
    if (const Graph* graph = program.find(name))
      out.entries.push_back(lower_entry(*graph, *target, options.level, out.kernels, table));
  return out;
}

}  // namespace mlpc::lowering
