#include "compiler/autodiff/path.h"

#include <algorithm>

#include "compiler/autodiff/linearise.h"
#include "compiler/autodiff/push_node.h"
#include "ir/copy.h"

namespace mlpc::autodiff {
namespace {

using ir::Builder;
using ir::Graph;
using ir::Node;
using ir::Role;
using ir::ValueId;
using Values = std::vector<bool>;  // a set, by value

bool contains(std::span<const ValueId> values, ValueId v) {
  return std::ranges::find(values, v) != values.end();
}

bool is_moved(const Graph& graph, const Node& node, const Values& moving) {
  for (std::size_t k = 0; k < node.operand_count; ++k)
    if (is_differentiable(node.op, k) && moving[graph.operands(node)[k].index]) return true;
  return false;
}

/// The targets and what they move. A target that depends on another is moved too.
Values moved_by(const Graph& graph, std::span<const ValueId> targets) {
  Values moving(graph.value_count(), false);
  for (ValueId v : targets) moving[v.index] = true;
  for (std::uint32_t i = graph.producer_id(std::ranges::min(targets)).index; i < graph.node_count(); ++i) {
    const Node& node = graph.node({i});
    if (!is_moved(graph, node, moving)) continue;
    for (std::uint32_t r = 0; r < node.result_count; ++r)
      if (ir::is_float(graph.type(Graph::result(node, r)).element)) moving[node.first_result + r] = true;
  }
  return moving;
}

/// Those of `moving` that y is computed from, up to the targets.
Values between(const Graph& graph, const Values& moving, std::span<const ValueId> targets, ValueId y) {
  Values out(graph.value_count(), false);
  out[y.index] = moving[y.index];
  for (std::size_t i = graph.producer_id(y).index + 1; i-- > 0;) {
    const Node& node = graph.node({static_cast<std::uint32_t>(i)});
    bool is_in = false;
    for (std::uint32_t r = 0; r < node.result_count; ++r)
      is_in |= out[node.first_result + r] && !contains(targets, Graph::result(node, r));
    if (!is_in) continue;
    for (ValueId v : graph.operands(node)) out[v.index] = out[v.index] || moving[v.index];
  }
  return out;
}

/// The path as a graph of its own.
///   outside: what its parameters stand for; the first are the targets
Graph path_graph(const Graph& graph, std::span<const ValueId> targets, const Values& path, ValueId y,
                 std::vector<ValueId>& outside) {
  Graph out;
  out.name = "path";
  Builder b(out);
  ir::Copier copier(graph, b);
  const auto add = [&](ValueId v, std::string name) {
    const auto index = static_cast<std::uint32_t>(outside.size());
    copier.bind(v, out.add_parameter(std::move(name), graph.type(v), Role::input, index));
    outside.push_back(v);
  };
  for (ValueId v : targets) add(v, "");  // without a name: the derivative gets the user's
  for (std::uint32_t i = 0; i <= graph.producer_id(y).index; ++i) {
    const Node& node = graph.node({i});
    const ValueId first = Graph::result(node);
    bool is_in = false;
    for (std::uint32_t r = 0; r < node.result_count; ++r) is_in |= path[node.first_result + r];
    if (!is_in || copier.has(first)) continue;
    for (ValueId v : graph.operands(node))
      if (!copier.has(v)) add(v, graph.value_name(v));
    copier.copy({i});
  }
  out.results.push_back({graph.value_name(y), Role::output, 0, copier.at(y)});
  return out;
}

}  // namespace

bool depend_on_each_other(const Graph& graph, std::span<const ValueId> targets) {
  const Values moving = moved_by(graph, targets);
  return std::ranges::any_of(targets, [&](ValueId v) { return is_moved(graph, graph.producer(v), moving); });
}

std::optional<Path> path_between(Builder& b, std::span<const ValueId> targets, ValueId y) {
  const Values moving = moved_by(b.graph(), targets);
  if (!moving[y.index]) return std::nullopt;
  std::vector<ValueId> outside;
  const Graph graph = path_graph(b.graph(), targets, between(b.graph(), moving, targets, y), y, outside);
  std::vector<std::size_t> positions;
  for (std::size_t i = 0; i < targets.size(); ++i) positions.push_back(i);
  Linearised parts = linearise(graph, positions, {true});
  if (!parts.tangents[0]) return std::nullopt;
  ir::Copier copier(parts.primal, b);  // interning finds the nodes that are there
  for (std::size_t i = 0; i < outside.size(); ++i)
    copier.bind(parts.primal.parameters()[i].value, outside[i]);
  copier.copy_all();
  Path out{std::move(parts.linear), {}};
  for (std::size_t i = 1; i < parts.primal.results.size(); ++i)
    out.residuals.push_back(copier.at(parts.primal.results[i].value));
  return out;
}

}  // namespace mlpc::autodiff
