#include <algorithm>

#include "compiler/autodiff/autodiff.h"
#include "ir/error.h"
#include "ir/node_view.h"

namespace mlpc::autodiff {
namespace {

using ir::Builder;
using ir::Graph;
using ir::MaybeValue;
using ir::Node;
using ir::NodeView;
using ir::Op;
using ir::ValueId;
using Tangents = std::vector<MaybeValue>;

MaybeValue sum(Builder& b, MaybeValue total, ValueId term) { return total ? b.add(*total, term) : term; }

/// ẏ = f(ẋ): the op itself, with zeros for operands that do not move.
ValueId linear_tangent(Builder& b, const NodeView& n, const ir::Linear& fact, const Tangents& tangents) {
  if (n.op == Op::add_ && !(tangents[0] && tangents[1])) return tangents[0] ? *tangents[0] : *tangents[1];
  if (n.op == Op::sub_ && !tangents[0]) return b.neg(*tangents[1]);
  if (n.op == Op::sub_ && !tangents[1]) return *tangents[0];
  std::vector<ValueId> operands;
  for (std::size_t k = 0; k < tangents.size(); ++k) {
    const bool is_linear = fact.linear_operands >> k & 1U;
    operands.push_back(!is_linear    ? n.operand(k)
                       : tangents[k] ? *tangents[k]
                                     : b.full(n.operand_types[k], 0));
  }
  return Graph::result(b.graph().node(b.make(n.op, operands, n.attributes)));
}

/// The product rule: ẏ = Σₖ f(…, ẋₖ, …). The last operand's term comes first, so that transposition, which
/// goes backwards, gives the first one's before the last's: δWᵀ, which reads W, before xᵀδ, which may update
/// it.
ValueId multilinear_tangent(Builder& b, const NodeView& n, const Tangents& tangents) {
  MaybeValue total;
  for (std::size_t k = tangents.size(); k-- > 0;) {
    if (!tangents[k]) continue;
    std::vector<ValueId> operands;
    for (std::size_t i = 0; i < tangents.size(); ++i)
      operands.push_back(i == k ? *tangents[i] : n.operand(i));
    total = sum(b, total, Graph::result(b.graph().node(b.make(n.op, operands, n.attributes))));
  }
  return *total;
}

/// ẏ = Σₖ ∂y/∂xₖ · ẋₖ
ValueId pointwise_tangent(Builder& b, const NodeView& n, const ir::Pointwise& fact,
                          const Tangents& tangents) {
  MaybeValue total;
  for (std::size_t k = 0; k < tangents.size(); ++k) {
    if (!tangents[k]) continue;
    const ValueId partial = fact.partial(b, n, k);
    total =
        sum(b, total, fact.absorb >> k & 1U ? b.scale(partial, *tangents[k]) : b.mul(partial, *tangents[k]));
  }
  return *total;
}

Tangents node_tangents(Builder& b, const NodeView& n, const Tangents& tangents) {
  const ir::Derivative& fact = ir::def(n.op).derivative;
  if (const auto* linear = std::get_if<ir::Linear>(&fact)) return {linear_tangent(b, n, *linear, tangents)};
  if (std::holds_alternative<ir::Multilinear>(fact)) return {multilinear_tangent(b, n, tangents)};
  if (const auto* pointwise = std::get_if<ir::Pointwise>(&fact))
    return {pointwise_tangent(b, n, *pointwise, tangents)};
  return std::get<ir::Jvp>(fact).jvp(b, n, tangents);
}

std::uint32_t differentiable_operands(const ir::Derivative& fact) {
  if (const auto* linear = std::get_if<ir::Linear>(&fact)) return linear->linear_operands;
  if (const auto* multilinear = std::get_if<ir::Multilinear>(&fact)) return multilinear->linear_operands;
  if (const auto* pointwise = std::get_if<ir::Pointwise>(&fact)) return pointwise->differentiable_operands;
  return std::holds_alternative<ir::Jvp>(fact) ? UINT32_MAX : 0;
}

/// The tangents of a node's operands, where its op has a derivative in them.
Tangents operand_tangents(const Graph& graph, const Node& node, const ir::ValueMap<MaybeValue>& tangents) {
  const std::uint32_t differentiable = differentiable_operands(ir::def(node.op).derivative);
  Tangents out;
  for (std::size_t k = 0; k < node.operand_count; ++k) {
    const bool moves = k >= 32 || (differentiable >> k & 1U);
    out.push_back(moves && differentiable != 0 ? tangents.at(graph.operands(node)[k]) : std::nullopt);
  }
  return out;
}

}  // namespace

void push_forward(Builder& b, ir::ValueMap<MaybeValue>& tangents) {
  const std::size_t primal_nodes = b.graph().node_count();
  for (std::uint32_t i = 0; i < primal_nodes; ++i) {
    const ir::NodeFacts facts(b.graph(), b.graph().node({i}));
    const NodeView n = facts.view();
    const Tangents moving = operand_tangents(b.graph(), b.graph().node({i}), tangents);
    if (std::ranges::none_of(moving, [](const MaybeValue& t) { return t.has_value(); })) continue;
    if (!ir::is_float(n.result_types[0].element)) continue;  // integers and bools do not move
    const Tangents results = node_tangents(b, n, moving);
    MLPC_CHECK(results.size() == n.results.size(), "{} gives {} tangents", ir::def(n.op).name,
               results.size());
    for (std::size_t r = 0; r < results.size(); ++r) {
      const ValueId primal = n.result(r);
      tangents[primal] = results[r];
      if (!results[r]) continue;
      if (const std::string name = b.graph().value_name(primal); !name.empty())
        b.graph().name_value(*results[r], name + ".dot");
      for (std::uint32_t location : ir::Graph::LocationList(b.graph().locations(primal)))
        b.graph().add_location(*results[r], location);
    }
  }
}

}  // namespace mlpc::autodiff
