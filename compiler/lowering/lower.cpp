#include "compiler/lowering/lower.h"

#include <unordered_map>

#include "compiler/lowering/emit_group.h"
#include "compiler/lowering/prepare.h"
#include "ir/error.h"
#include "ir/text.h"

namespace mlpc::lowering {
namespace {

using ir::Graph;

/// Keeps every distinct kernel once: equal layers share their code.
class KernelTable {
 public:
  explicit KernelTable(std::vector<ir::Kernel>& kernels) : kernels_(kernels) {}

  std::uint32_t add(ir::Kernel kernel) {
    const auto [it, is_new] =
        by_text_.try_emplace(ir::print(kernel), static_cast<std::uint32_t>(kernels_.size()));
    if (is_new) {
      kernel.name = fmt::format("k{}", kernels_.size());
      kernels_.push_back(std::move(kernel));
    }
    return it->second;
  }

 private:
  std::vector<ir::Kernel>& kernels_;
  std::unordered_map<std::string, std::uint32_t> by_text_;
};

std::optional<ir::ValueId> total_loss(const Graph& graph) {
  for (const Graph::Result& r : graph.results)
    if (r.role == ir::Role::loss_total) return r.value;
  return std::nullopt;
}

ir::LoweredEntry lower_entry(const Graph& source, const ir::Target& target, int level, KernelTable& kernels) {
  const Graph graph = prepare(source);
  const Grouping grouping = group_values(graph, {level > 0});
  Storage storage = assign_storage(graph, grouping);
  const EntryContext context{graph, grouping, storage, target, level};
  ir::LoweredEntry entry;
  entry.name = graph.name;
  const auto call = [&](EmittedKernel emitted) {
    entry.actions.emplace_back(
        ir::KernelCall{kernels.add(std::move(emitted.kernel)), std::move(emitted.buffers), emitted.guard});
  };
  const std::optional<ir::ValueId> loss = total_loss(graph);
  for (std::size_t g = 0; g < grouping.groups.size(); ++g) {
    for (EmittedKernel& emitted : emit_group(context, g)) call(std::move(emitted));
    if (loss && storage.loss_group == static_cast<std::int32_t>(g))
      entry.actions.emplace_back(
          ir::FiniteCheck{storage.places[loss->index].front(), graph.type(*loss).element});
  }
  for (const Storage::Copy& copy : storage.copies) call(emit_copy(context, copy));
  for (const Graph::Result& r : graph.results) entry.writes_grads |= r.role == ir::Role::grad;
  entry.inputs = std::move(storage.inputs);
  entry.results = std::move(storage.results);
  entry.slots = std::move(storage.slots);
  return entry;
}

}  // namespace

ir::KernelProgram lower(const ir::Program& program, const LoweringOptions& options) {
  const ir::Target* target = ir::target_named(program.target);
  if (!target) fail("`{}` is no target", program.target);
  ir::KernelProgram out;
  out.header = program;
  out.header.graphs.clear();
  KernelTable kernels(out.kernels);
  for (std::string_view name : ir::entry_names())
    if (const Graph* graph = program.find(name))
      out.entries.push_back(lower_entry(*graph, *target, options.level, kernels));
  return out;
}

}  // namespace mlpc::lowering
