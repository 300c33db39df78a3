#include "compiler/autodiff/algebra.h"

#include <fmt/format.h>

#include <algorithm>

#include "ir/node_view.h"

namespace mlpc::autodiff {
namespace {

using ir::Graph;
using ir::Node;
using ir::Op;
using ir::Role;
using ir::ValueId;

constexpr std::size_t kMostTerms = 8;     // of a printed sum; more end in …
constexpr std::size_t kMostFactors = 12;  // of a printed product; a longer one ends in a cotangent

std::string name_or_number(const Graph& graph, ValueId v) {
  return graph.value_name(v).empty() ? fmt::format("%{}", v.index) : graph.value_name(v);
}

/// "J(z, x) = …" with respect to operand k; a value that is several operands has the sum of its Jacobians.
std::string jacobian_text(const Graph& graph, const Node& node, std::size_t k) {
  const ir::JacobianText text = ir::def(node.op).jacobian;
  const std::span<const ValueId> values = graph.operands(node);
  if (!text || std::ranges::find(values, values[k]) - values.begin() != static_cast<std::ptrdiff_t>(k))
    return "";
  const ir::NodeFacts facts(graph, node);
  std::vector<std::string> operands;
  for (ValueId v : values) operands.push_back(name_or_number(graph, v));
  const std::string result = name_or_number(graph, Graph::result(node));
  std::string out = fmt::format("J({}, {})", result, operands[k]), sign = " = ";
  for (std::size_t i = k; i < values.size(); ++i) {
    if (values[i] != values[k]) continue;
    out += sign + text(facts.view(), i, operands, result);
    sign = " + ";
  }
  return out;
}

/// The Jacobians of a node in the operands that move; empty where none does.
std::string jacobians_text(const Graph& graph, const Node& node, const std::vector<bool>& moves) {
  std::string out;
  for (std::size_t k = 0; k < node.operand_count; ++k) {
    if (!moves[graph.operands(node)[k].index]) continue;
    const std::string text = jacobian_text(graph, node, k);
    if (!text.empty()) out += (out.empty() ? "" : "   ") + text;
  }
  return out;
}

}  // namespace

void describe_primal(Graph& grad, std::size_t node_count) {
  std::vector<bool> moves(grad.value_count(), false);
  for (const Graph::Parameter& p : grad.parameters()) {
    moves[p.value.index] = p.role == Role::param;
    if (p.role == Role::input)
      grad.set_comment(p.value, fmt::format("{0}.bar is not computed: {0} is no parameter",
                                            name_or_number(grad, p.value)));
  }
  for (std::uint32_t i = 0; i < node_count; ++i) {
    const Node& node = grad.node({i});
    if (node.op == Op::parameter_ ||
        std::holds_alternative<ir::NotDifferentiable>(ir::def(node.op).derivative))
      continue;
    const bool any = std::ranges::any_of(grad.operands(node), [&](ValueId v) { return moves[v.index]; });
    for (std::uint32_t r = 0; r < node.result_count; ++r)
      moves[node.first_result + r] = any && ir::is_float(grad.type(Graph::result(node, r)).element);
    if (std::string text = jacobians_text(grad, node, moves); !text.empty())
      grad.set_comment(Graph::result(node), std::move(text));
  }
}

ChainRule::ChainRule(const Graph& linear) : linear_(linear), next_(linear.value_count()) {
  for (const Graph::Result& r : linear.results)
    if (r.role == Role::loss_total) loss_ = r.value;
  // Last first: all uses of a value stand behind it.
  for (std::size_t i = linear.node_count(); i-- > 0;) {
    const Node& node = linear.node({static_cast<std::uint32_t>(i)});
    for (std::uint32_t r = 0; r < node.result_count; ++r) {
      const ValueId result = Graph::result(node, r);
      const Names reached = is_named(result) ? Names{result.index} : next_[result.index];
      for (ValueId operand : linear.operands(node))
        for (std::uint32_t tangent : reached)
          if (Names& next = next_[operand.index];
              next.size() <= kMostTerms && std::ranges::find(next, tangent) == next.end())
            next.push_back(tangent);
    }
  }
}

bool ChainRule::is_named(ValueId v) const { return v == loss_ || linear_.value_name(v).ends_with(".dot"); }

std::string ChainRule::name(ValueId v) const {
  const std::string& tangent = linear_.value_name(v);
  return tangent.ends_with(".dot") ? tangent.substr(0, tangent.rfind('.')) : "L";
}

std::string ChainRule::text(ValueId tangent) const {
  const Names& next = next_[tangent.index];
  if (next.empty()) return name(tangent) + ".bar = loss_bar";
  std::string out = name(tangent) + ".bar", sign = " = ";
  for (std::size_t i = 0; i < next.size(); ++i) {
    out += i == kMostTerms
               ? " + …"
               : fmt::format("{}J({}, {})ᵀ {}.bar", sign, name({next[i]}), name(tangent), name({next[i]}));
    sign = " + ";
  }
  return linear_.producer(tangent).op == Op::parameter_ ? out + product(tangent) : out;
}

std::string ChainRule::product(ValueId parameter) const {
  std::string out = fmt::format("   ∂L/∂{} = ", name(parameter)), factors;
  ValueId at = parameter;
  for (std::size_t i = 0; i < kMostFactors && next_[at.index].size() == 1; ++i) {
    const ValueId to{next_[at.index][0]};
    factors += fmt::format("{}J({}, {})ᵀ", factors.empty() ? "" : " · ", name(to), name(at));
    at = to;
  }
  // A single factor says no more than the term before.
  if (at == parameter || next_[parameter.index] == Names{at.index}) return "";
  return out + factors + fmt::format(" · {}.bar", name(at));
}

}  // namespace mlpc::autodiff
