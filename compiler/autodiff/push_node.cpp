#include "compiler/autodiff/push_node.h"

#include "compiler/autodiff/push_scan.h"
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
  const bool is_any = std::holds_alternative<ir::Jvp>(fact) || std::holds_alternative<ir::ThroughBody>(fact);
  return is_any ? UINT32_MAX : 0;
}

}  // namespace

bool is_differentiable(Op op, std::size_t operand) {
  constexpr std::size_t kBits = 32;
  const std::uint32_t operands = differentiable_operands(ir::def(op).derivative);
  return operand < kBits ? operands >> operand & 1U : operands != 0;
}

PushedNode push_node(Builder& b, Op op, std::span<const ValueId> operands, const ir::Attributes& attributes,
                     std::span<const MaybeValue> tangents) {
  if (std::holds_alternative<ir::ThroughBody>(ir::def(op).derivative))
    return push_scan(b, operands, attributes, tangents);
  const ir::NodeId id = b.make(op, operands, attributes);
  const ir::NodeFacts facts(b.graph(), b.graph().node(id));
  PushedNode out{id, node_tangents(b, facts.view(), Tangents(tangents.begin(), tangents.end()))};
  MLPC_CHECK(out.tangents.size() == facts.view().results.size(), "{} gives {} tangents", ir::def(op).name,
             out.tangents.size());
  return out;
}

}  // namespace mlpc::autodiff
