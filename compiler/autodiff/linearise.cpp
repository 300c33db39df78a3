#include "compiler/autodiff/linearise.h"

#include <fmt/format.h>

#include <algorithm>

#include "compiler/autodiff/push_node.h"
#include "ir/copy.h"
#include "ir/error.h"

namespace mlpc::autodiff {
namespace {

using ir::Builder;
using ir::Graph;
using ir::MaybeValue;
using ir::Node;
using ir::NodeId;
using ir::Op;
using ir::Role;
using ir::ValueId;
using Values = std::vector<bool>;  // a set, by value

void insert(Values& set, const Node& node) {
  for (std::uint32_t r = 0; r < node.result_count; ++r) set[node.first_result + r] = true;
}

bool contains_any(const Values& set, const Node& node) {
  bool any = false;
  for (std::uint32_t r = 0; r < node.result_count; ++r) any |= set[node.first_result + r];
  return any;
}

/// Adds what the values of the set are computed from.
Values with_operands(const Graph& graph, Values set) {
  for (std::size_t i = graph.node_count(); i-- > 0;) {
    const Node& node = graph.node({static_cast<std::uint32_t>(i)});
    if (contains_any(set, node))
      for (ValueId v : graph.operands(node)) set[v.index] = true;
  }
  return set;
}

/// The graph and its tangents in one graph, node by node, before it is cut in two.
class Pushed {
 public:
  Pushed(const Graph& source, std::span<const std::size_t> moving)
      : source_(source), b_(graph), copier_(source, b_) {
    copier_.add_parameters();
    for (std::size_t p : moving) add_tangent(source.parameters()[p]);
    for (std::uint32_t i = 0; i < source.node_count(); ++i) push({i});
    mark_linear();
    mark_source();
  }

  ValueId primal(ValueId source) const { return copier_.at(source); }
  const MaybeValue& tangent(ValueId source) const { return tangents_.at(source); }

  Graph graph;
  std::vector<ValueId> tangent_parameters;
  Values is_linear;  // depends on a tangent
  Values is_source;  // stands for a value of the source, or is needed by one that does

 private:
  void add_tangent(const Graph::Parameter& p) {
    tangent_parameters.push_back(
        graph.add_parameter(p.name + ".dot", source_.type(p.value), Role::tangent, p.index));
    tangents_[p.value] = tangent_parameters.back();
  }

  /// The tangents of a node's operands, where its op has a derivative in them and a result can move.
  std::vector<MaybeValue> operand_tangents(const Node& node) const {
    bool moves = false;
    for (std::uint32_t r = 0; r < node.result_count; ++r)
      moves |= ir::is_float(source_.type(Graph::result(node, r)).element);  // integers and bools do not
    std::vector<MaybeValue> out;
    for (std::size_t k = 0; k < node.operand_count; ++k)
      out.push_back(moves && is_differentiable(node.op, k) ? tangents_.at(source_.operands(node)[k])
                                                           : std::nullopt);
    return out;
  }

  void push(NodeId id) {
    const Node& node = source_.node(id);
    MLPC_CHECK(!ir::asks_for_derivative(node.op), "`{}` was not expanded", ir::def(node.op).name);
    const std::vector<MaybeValue> tangents = operand_tangents(node);
    if (std::ranges::none_of(tangents, [](const MaybeValue& t) { return t.has_value(); }))
      return copier_.copy(id);
    const PushedNode made = push_node(b_, node.op, copier_.operands(node), node.attributes, tangents);
    copier_.stand_in(id, made.node);
    for (std::uint32_t r = 0; r < node.result_count; ++r)
      if (made.tangents[r]) set_tangent(Graph::result(node, r), *made.tangents[r]);
  }

  void set_tangent(ValueId source, ValueId tangent) {
    tangents_[source] = tangent;
    if (const std::string& name = source_.value_name(source); !name.empty())
      graph.name_value(tangent, name + ".dot");
    for (std::uint32_t location : source_.locations(source)) graph.add_location(tangent, location);
  }

  void mark_linear() {
    is_linear.assign(graph.value_count(), false);
    for (ValueId v : tangent_parameters) is_linear[v.index] = true;
    for (std::uint32_t i = 0; i < graph.node_count(); ++i) {
      const Node& node = graph.node({i});
      if (std::ranges::any_of(graph.operands(node), [&](ValueId v) { return is_linear[v.index]; }))
        insert(is_linear, node);
    }
  }

  void mark_source() {
    Values made(graph.value_count(), false);
    for (std::uint32_t i = 0; i < source_.value_count(); ++i) made[copier_.at({i}).index] = true;
    is_source = with_operands(graph, std::move(made));
  }

  const Graph& source_;
  Builder b_;
  ir::Copier copier_;
  ir::ValueMap<MaybeValue> tangents_;  // by value of the source
};

/// Cuts the graph of both in two, without what no result needs.
class Cut {
 public:
  Cut(const Graph& source, const Pushed& pushed, const std::vector<bool>& matters)
      : source_(source), pushed_(pushed) {
    Values used(pushed.graph.value_count(), false);
    for (std::size_t i = 0; i < source.results.size(); ++i) {
      const ValueId v = source.results[i].value;
      used[pushed.primal(v).index] = true;
      tangents_.push_back(matters[i] ? pushed.tangent(v) : std::nullopt);
      if (tangents_.back()) used[tangents_.back()->index] = true;
    }
    used_ = with_operands(pushed.graph, std::move(used));
  }

  Linearised run() {
    Linearised out;
    cut_linear(out);
    cut_primal(out);
    return out;
  }

 private:
  const Graph& both() const { return pushed_.graph; }

  /// The linear nodes, with residuals in the place of primal values.
  void cut_linear(Linearised& out) {
    out.linear.name = "linear";
    Builder b(out.linear);
    ir::Copier copier(both(), b);
    for (const Graph::Parameter& p : both().parameters())
      if (pushed_.is_linear[p.value.index]) copier.add_parameter(p);
    for (std::uint32_t i = 0; i < both().node_count(); ++i) {
      const Node& node = both().node({i});
      if (node.op == Op::parameter_ || !pushed_.is_linear[node.first_result] || !is_used(node)) continue;
      for (ValueId v : both().operands(node))
        if (!copier.has(v)) copier.bind(v, add_residual(out.linear, v));
      copier.copy({i});
    }
    for (std::size_t i = 0; i < tangents_.size(); ++i) {
      out.tangents.push_back(tangents_[i] ? MaybeValue(copier.at(*tangents_[i])) : std::nullopt);
      const Graph::Result& r = source_.results[i];
      if (out.tangents.back())
        out.linear.results.push_back({r.name + ".dot", r.role, r.index, *out.tangents.back()});
    }
  }

  ValueId add_residual(Graph& linear, ValueId v) {
    const auto index = static_cast<std::uint32_t>(residuals_.size());
    residuals_.push_back(v);
    return linear.add_parameter(fmt::format("residual.{}", index), both().type(v), Role::residual, index);
  }

  /// What the source has, in its order, then what only the tangents need.
  void cut_primal(Linearised& out) const {
    out.primal.name = source_.name;
    Builder b(out.primal);
    ir::Copier copier(both(), b);
    for (const Graph::Parameter& p : both().parameters())
      if (!pushed_.is_linear[p.value.index]) copier.add_parameter(p);
    for (const bool is_source : {true, false})
      for (std::uint32_t i = 0; i < both().node_count(); ++i) {
        const Node& node = both().node({i});
        if (!pushed_.is_linear[node.first_result] && is_used(node) &&
            contains_any(pushed_.is_source, node) == is_source)
          copier.copy({i});
      }
    for (Graph::Result r : source_.results) {
      r.value = copier.at(pushed_.primal(r.value));
      out.primal.results.push_back(std::move(r));
    }
    for (std::uint32_t i = 0; i < residuals_.size(); ++i)
      out.primal.results.push_back(
          {fmt::format("residual.{}", i), Role::residual, i, copier.at(residuals_[i])});
    for (std::uint32_t i = 0; i < source_.value_count(); ++i) {
      const ValueId v = pushed_.primal({i});
      out.primal_values.push_back(copier.has(v) ? MaybeValue(copier.at(v)) : std::nullopt);
    }
  }

  bool is_used(const Node& node) const { return contains_any(used_, node); }

  const Graph& source_;
  const Pushed& pushed_;
  Values used_;
  std::vector<MaybeValue> tangents_;  // by result of the source: what matters, in `both`
  std::vector<ValueId> residuals_;    // in `both`
};

}  // namespace

Linearised linearise(const Graph& graph, std::span<const std::size_t> moving,
                     const std::vector<bool>& matters) {
  const Pushed pushed(graph, moving);
  return Cut(graph, pushed, matters).run();
}

Graph push_forward(const Graph& graph, std::span<const std::size_t> moving,
                   const std::vector<bool>& matters) {
  Linearised parts = linearise(graph, moving, matters);
  Graph out = std::move(parts.primal);
  Builder b(out);
  ir::Copier copier(parts.linear, b);
  std::size_t residual = graph.results.size();
  for (const Graph::Parameter& p : parts.linear.parameters())
    if (p.role == Role::residual) copier.bind(p.value, out.results[residual++].value);
  out.results.resize(graph.results.size());
  copier.add_parameters();
  copier.copy_all();
  for (std::size_t i = 0; i < graph.results.size(); ++i) {
    if (!matters[i]) continue;
    const Graph::Result& r = graph.results[i];
    const MaybeValue& tangent = parts.tangents[i];
    out.results.push_back(
        {r.name + ".dot", r.role, r.index, tangent ? copier.at(*tangent) : b.full(graph.type(r.value), 0)});
  }
  return out;
}

}  // namespace mlpc::autodiff
