#include <algorithm>

#include "compiler/autodiff/autodiff.h"
#include "ir/copy.h"
#include "ir/error.h"

namespace mlpc::autodiff {
namespace {

using ir::Builder;
using ir::Graph;
using ir::MaybeValue;
using ir::Node;
using ir::Op;
using ir::Role;
using ir::ValueId;

/// Forward graph and tangents in one graph, before it is cut in two.
struct Pushed {
  Graph graph;
  std::vector<bool> is_linear;  // by value: it depends on a tangent
  MaybeValue loss_tangent;
};

Pushed push(const Graph& forward) {
  Pushed out;
  Builder b(out.graph);
  ir::Copier copier(forward, b);
  copier.add_parameters();
  copier.copy_all();
  for (Graph::Result r : forward.results) {
    r.value = copier.at(r.value);
    out.graph.results.push_back(std::move(r));
  }
  ir::ValueMap<MaybeValue> tangents(out.graph.value_count());
  for (const Graph::Parameter& p : forward.parameters())
    if (p.role == Role::param)
      tangents[copier.at(p.value)] =
          out.graph.add_parameter(p.name + ".dot", forward.type(p.value), Role::tangent, p.index);
  push_forward(b, tangents);
  for (const Graph::Result& r : out.graph.results)
    if (r.role == Role::loss_total) out.loss_tangent = tangents.at(r.value);
  out.is_linear.assign(out.graph.value_count(), false);
  for (const Graph::Parameter& p : out.graph.parameters())
    if (p.role == Role::tangent) out.is_linear[p.value.index] = true;
  for (std::uint32_t i = 0; i < out.graph.node_count(); ++i) {
    const Node& node = out.graph.node({i});
    for (ValueId v : out.graph.operands(node))
      if (out.is_linear[v.index])
        for (std::uint32_t r = 0; r < node.result_count; ++r) out.is_linear[node.first_result + r] = true;
  }
  return out;
}

/// Which values the results need.
std::vector<bool> used_from(const Graph& graph, std::vector<bool> used) {
  for (std::size_t i = graph.node_count(); i-- > 0;) {
    const Node& node = graph.node({static_cast<std::uint32_t>(i)});
    bool is_used = false;
    for (std::uint32_t r = 0; r < node.result_count; ++r) is_used |= used[node.first_result + r];
    if (is_used)
      for (ValueId v : graph.operands(node)) used[v.index] = true;
  }
  return used;
}

/// The linear nodes, with residuals in the place of primal values; which those are is appended to
/// `residuals`.
Graph cut_linear(const Pushed& pushed, const std::vector<bool>& used, std::vector<ValueId>& residuals) {
  Graph out;
  out.name = "linear";
  Builder b(out);
  ir::Copier copier(pushed.graph, b);
  for (const Graph::Parameter& p : pushed.graph.parameters())
    if (p.role == Role::tangent) copier.add_parameter(p);
  for (std::uint32_t i = 0; i < pushed.graph.node_count(); ++i) {
    const Node& node = pushed.graph.node({i});
    if (node.op == Op::parameter_ || !pushed.is_linear[node.first_result] || !used[node.first_result])
      continue;
    for (ValueId v : pushed.graph.operands(node)) {
      if (copier.has(v)) continue;
      const std::string name = fmt::format("residual.{}", residuals.size());
      copier.bind(v, out.add_parameter(name, pushed.graph.type(v), Role::residual,
                                       static_cast<std::uint32_t>(residuals.size())));
      residuals.push_back(v);
    }
    copier.copy({i});
  }
  if (pushed.loss_tangent)
    out.results.push_back({"loss.dot", Role::loss_total, 0, copier.at(*pushed.loss_tangent)});
  return out;
}

Graph cut_forward(const Pushed& pushed, const std::vector<bool>& used,
                  const std::vector<ValueId>& residuals) {
  Graph out;
  out.name = "forward";
  Builder b(out);
  ir::Copier copier(pushed.graph, b);
  for (const Graph::Parameter& p : pushed.graph.parameters())
    if (p.role != Role::tangent) copier.add_parameter(p);
  for (std::uint32_t i = 0; i < pushed.graph.node_count(); ++i) {
    const ValueId first = Graph::result(pushed.graph.node({i}));
    if (!pushed.is_linear[first.index] && used[first.index]) copier.copy({i});
  }
  for (Graph::Result r : pushed.graph.results) {
    r.value = copier.at(r.value);
    out.results.push_back(std::move(r));
  }
  for (std::uint32_t i = 0; i < residuals.size(); ++i)
    out.results.push_back({fmt::format("residual.{}", i), Role::residual, i, copier.at(residuals[i])});
  return out;
}

}  // namespace

ir::Program linearise(const ir::Program& program) {
  ir::Program out = program;
  out.stage = ir::Stage::linear;
  const Graph* forward = program.find("forward");
  if (!forward) return out;  // a model without a loss
  const Pushed pushed = push(*forward);
  std::vector<bool> used(pushed.graph.value_count(), false);
  for (const Graph::Result& r : pushed.graph.results) used[r.value.index] = true;
  if (pushed.loss_tangent) used[pushed.loss_tangent->index] = true;
  used = used_from(pushed.graph, std::move(used));
  std::vector<ValueId> residuals;
  Graph linear = cut_linear(pushed, used, residuals);
  *out.find("forward") = cut_forward(pushed, used, residuals);
  const auto after = std::ranges::find(out.graphs, "forward", &Graph::name) + 1;
  out.graphs.insert(after, std::move(linear));
  return out;
}

}  // namespace mlpc::autodiff
