#include <algorithm>

#include "compiler/passes/passes.h"
#include "ir/copy.h"
#include "ir/error.h"

namespace mlpc::passes {
namespace {

using ir::Builder;
using ir::Graph;
using ir::Role;
using ir::ValueId;

/// Binds a graph's parameters to those that the new graph has already, and adds the others.
void share_parameters(const Graph& from, ir::Copier& copier, Graph& to) {
  for (const Graph::Parameter& p : from.parameters()) {
    if (copier.has(p.value)) continue;
    const auto same = std::ranges::find_if(
        to.parameters(), [&](const Graph::Parameter& q) { return q.role == p.role && q.index == p.index; });
    if (same == to.parameters().end())
      copier.add_parameter(p);
    else
      copier.bind(p.value, same->value);
  }
}

/// Copies the graph's results to `out`, but those of role `but`, which are returned by index.
std::vector<ValueId> take_results(const Graph& from, const ir::Copier& copier, Graph& out, Role but) {
  std::vector<ValueId> taken;
  for (Graph::Result r : from.results) {
    r.value = copier.at(r.value);
    if (r.role != but) {
      out.results.push_back(std::move(r));
      continue;
    }
    taken.resize(std::max<std::size_t>(taken.size(), r.index + 1));
    taken[r.index] = r.value;
  }
  return taken;
}

void accumulate(Graph& graph) {
  Builder b(graph);
  const ValueId flag = graph.add_parameter("accumulate", {ir::ElementType::boolean, {}}, Role::accumulate);
  for (Graph::Result& r : graph.results) {
    if (r.role != Role::grad) continue;
    const ir::Type type = graph.type(r.value);
    const ValueId old = graph.add_parameter(r.name + ".old", type, Role::grad, r.index);
    const ValueId condition = type.rank() == 0 ? flag : b.broadcast(flag, type.shape, {});
    r.value = b.where(condition, b.add(old, r.value), r.value);
  }
}

}  // namespace

ir::Program compose_train_step(const ir::Program& program) {
  const Graph* grad = program.find("grad");
  const Graph* update = program.find("update");
  if (!grad || !update || program.find("train_step")) return program;
  Graph step;
  step.name = "train_step";
  Builder b(step);
  ir::Copier gradients(*grad, b), updates(*update, b);
  for (const Graph::Parameter& p : grad->parameters())
    if (p.role == Role::loss_bar) gradients.bind(p.value, b.scalar(ir::ElementType::f64, 1));
  share_parameters(*grad, gradients, step);
  gradients.copy_all();
  const std::vector<ValueId> by_param = take_results(*grad, gradients, step, Role::grad);
  for (const Graph::Parameter& p : update->parameters())
    if (p.role == Role::grad) updates.bind(p.value, by_param.at(p.index));
  share_parameters(*update, updates, step);
  updates.copy_all();
  take_results(*update, updates, step, Role::grad);
  ir::Program out = program;
  out.graphs.insert(std::ranges::find(out.graphs, "update", &Graph::name) + 1, std::move(step));
  return out;
}

ir::Program accumulate_gradients(const ir::Program& program) {
  ir::Program out = program;
  for (std::string_view name : {"grad", "hvp"})
    if (Graph* graph = out.find(name)) accumulate(*graph);
  return out;
}

}  // namespace mlpc::passes
