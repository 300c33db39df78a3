#include "compiler/autodiff/algebra.h"

#include <algorithm>

#include "ir/error.h"
#include "ir/node_view.h"

namespace mlpc::autodiff {
namespace {

using ir::Graph;
using ir::Node;
using ir::Op;
using ir::Role;
using ir::ValueId;

constexpr std::size_t kMostSteps = 64;  // through unnamed tangents; what is beyond is printed as …

std::string name_or_number(const Graph& graph, ValueId v) {
  return graph.value_name(v).empty() ? fmt::format("%{}", v.index) : graph.value_name(v);
}

std::string without_suffix(const std::string& name) { return name.substr(0, name.rfind('.')); }

bool is_named_tangent(const Graph& linear, ValueId v) { return linear.value_name(v).ends_with(".dot"); }

std::string jacobian_text(const Graph& graph, const Node& node, std::size_t k) {
  const ir::NodeFacts facts(graph, node);
  std::vector<std::string> operands;
  for (ValueId v : graph.operands(node)) operands.push_back(name_or_number(graph, v));
  const std::string result = name_or_number(graph, Graph::result(node));
  const ir::JacobianText text = ir::def(node.op).jacobian;
  if (!text) return "";
  return fmt::format("J({}, {}) = {}", result, operands[k], text(facts.view(), k, operands, result));
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
    std::string comment;
    bool any = false;
    for (std::size_t k = 0; k < node.operand_count; ++k) {
      if (!moves[grad.operands(node)[k].index]) continue;
      any = true;
      const std::string text = jacobian_text(grad, node, k);
      if (!text.empty()) comment += (comment.empty() ? "" : "   ") + text;
    }
    if (node.op == Op::parameter_) continue;
    const bool is_fixed = std::holds_alternative<ir::NotDifferentiable>(ir::def(node.op).derivative);
    for (std::uint32_t r = 0; r < node.result_count; ++r)
      moves[node.first_result + r] =
          any && !is_fixed && ir::is_float(grad.type(Graph::result(node, r)).element);
    if (!is_fixed && !comment.empty()) grad.set_comment(Graph::result(node), std::move(comment));
  }
}

ChainRule::ChainRule(const Graph& linear) : linear_(linear), users_(linear.value_count()) {
  for (std::uint32_t i = 0; i < linear.node_count(); ++i)
    for (ValueId operand : linear.operands(linear.node({i})))
      users_[operand.index].push_back(Graph::result(linear.node({i})));
}

std::vector<std::string> ChainRule::named_successors(ValueId tangent) const {
  std::vector<std::string> out;
  std::vector<ValueId> pending = users_[tangent.index];
  for (std::size_t steps = 0; !pending.empty() && steps < kMostSteps; ++steps) {
    const ValueId user = pending.back();
    pending.pop_back();
    if (!is_named_tangent(linear_, user)) {
      pending.insert(pending.end(), users_[user.index].begin(), users_[user.index].end());
      continue;
    }
    const std::string name = without_suffix(linear_.value_name(user));
    if (std::ranges::find(out, name) == out.end()) out.push_back(name);
  }
  if (!pending.empty()) out.emplace_back("…");
  return out;
}

std::string ChainRule::text(ValueId tangent) const {
  const std::string name = without_suffix(linear_.value_name(tangent));
  std::string out = fmt::format("{}.bar", name), separator = " = ";
  for (const std::string& next : named_successors(tangent)) {
    out += next == "…" ? " + …" : fmt::format("{}J({}, {})ᵀ {}.bar", separator, next, name, next);
    separator = " + ";
  }
  return out;
}

}  // namespace mlpc::autodiff
