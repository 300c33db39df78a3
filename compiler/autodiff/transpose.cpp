#include "compiler/autodiff/transpose.h"

#include <algorithm>

#include "compiler/autodiff/pull_back_scan.h"
#include "ir/copy.h"
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
using ir::Role;
using ir::ValueId;

constexpr std::string_view kApart = "   ";  // two comments of one value

class PullBack {
 public:
  PullBack(Builder& b, const Graph& linear, const PullBackSite& site)
      : b_(b),
        linear_(linear),
        site_(site),
        primal_(linear, b),
        cotangents_(linear.value_count()),
        is_linear_(linear.value_count(), false) {}

  std::vector<MaybeValue> run(std::span<const MaybeValue> cotangents) {
    bind_residuals();
    mark_linear();
    for (std::size_t i = 0; i < cotangents.size(); ++i)
      if (cotangents[i]) accumulate(linear_.results[i].value, *cotangents[i]);
    for (std::size_t i = linear_.node_count(); i-- > 0;) pull_back({static_cast<std::uint32_t>(i)});
    std::vector<MaybeValue> out;
    for (const Graph::Parameter& p : linear_.parameters())
      if (p.role == Role::tangent) out.push_back(cotangents_.at(p.value));
    return out;
  }

 private:
  void bind_residuals() {
    std::size_t next = 0;
    for (const Graph::Parameter& p : linear_.parameters())
      if (p.role == Role::residual) primal_.bind(p.value, site_.residuals[next++]);
  }

  /// Nodes of the linear graph that no tangent reaches are primal after all (zeros), and copied.
  void mark_linear() {
    for (const Graph::Parameter& p : linear_.parameters())
      is_linear_[p.value.index] = p.role == Role::tangent;
    for (std::uint32_t i = 0; i < linear_.node_count(); ++i) {
      const Node& node = linear_.node({i});
      if (node.op == Op::parameter_) continue;
      const bool linear =
          std::ranges::any_of(linear_.operands(node), [&](ValueId v) { return is_linear_[v.index]; });
      for (std::uint32_t r = 0; r < node.result_count; ++r) is_linear_[node.first_result + r] = linear;
      if (!linear) primal_.copy({i});
    }
  }

  void accumulate(ValueId tangent, ValueId cotangent) {
    MaybeValue& total = cotangents_[tangent];
    total = total ? b_.add(*total, cotangent) : cotangent;
  }

  /// The cotangent is complete when the walk reaches the node that made the tangent: then it is given its
  /// name.
  void name(ValueId tangent) {
    Graph& graph = b_.graph();
    const std::string primal = primal_name(linear_.value_name(tangent));
    const ValueId cotangent = *cotangents_.at(tangent);
    for (std::uint32_t location : linear_.locations(tangent)) graph.add_location(cotangent, location);
    if (primal.empty() || cotangent.index < site_.first_new_value) return;
    const std::string taken = graph.value_name(cotangent), before = graph.comment(cotangent);
    graph.name_value(cotangent, primal + ".bar");
    if (!site_.chain_rule) return;
    const std::string term = site_.chain_rule->text(tangent);
    graph.set_comment(cotangent,
                      taken.empty() ? term : fmt::format("{}{}{} = {}", before, kApart, term, taken));
  }

  void pull_back(ir::NodeId id) {
    const Node& node = linear_.node(id);
    if (!is_linear_[node.first_result]) return;
    std::vector<MaybeValue> cotangents;
    bool is_active = false;
    for (std::uint32_t r = 0; r < node.result_count; ++r) {
      const ValueId v = Graph::result(node, r);
      cotangents.push_back(cotangents_.at(v));
      is_active |= cotangents.back().has_value();
      if (cotangents.back()) name(v);
    }
    if (!is_active || node.op == Op::parameter_) return;
    ir::NodeFacts facts(linear_, node);
    std::vector<MaybeValue> operands;
    for (ValueId v : linear_.operands(node))
      operands.push_back(is_linear_[v.index] ? MaybeValue{} : primal_.at(v));
    facts.rebind(std::move(operands), std::vector<MaybeValue>(node.result_count));
    const std::vector<MaybeValue> terms = transposed(facts.view(), cotangents);
    for (std::size_t k = 0; k < node.operand_count; ++k)
      if (terms[k]) accumulate(linear_.operands(node)[k], *terms[k]);
  }

  /// The contributions to the cotangents of a node's operands; nullopt for those that have a value, which are
  /// no tangents.
  std::vector<MaybeValue> transposed(const NodeView& n, const std::vector<MaybeValue>& cotangents) {
    if (std::holds_alternative<ir::ThroughBody>(ir::def(n.op).derivative))
      return pull_back_scan(b_, n, cotangents);
    std::vector<MaybeValue> out(n.operands.size());
    for (std::size_t k = 0; k < out.size(); ++k)
      if (!n.operands[k]) out[k] = transposed(n, k, cotangents);
    return out;
  }

  MaybeValue transposed(const NodeView& n, std::size_t k, const std::vector<MaybeValue>& cotangents) {
    const ir::Derivative& fact = ir::def(n.op).derivative;
    if (const auto* linear = std::get_if<ir::Linear>(&fact)) return linear->transpose(b_, n, k, cotangents);
    ir::TransposeRule rule = nullptr;
    if (const auto* multilinear = std::get_if<ir::Multilinear>(&fact)) rule = multilinear->transpose;
    if (const auto* jvp = std::get_if<ir::Jvp>(&fact); jvp && k < 32 && (jvp->linear_operands >> k & 1U))
      rule = jvp->transpose;
    for (std::size_t i = 0; i < n.operands.size(); ++i)
      if (i != k && !n.operands[i]) rule = nullptr;  // a product of two tangents
    if (!rule) fail("graph {}: `{}` is not linear in its operand {}", linear_.name, ir::def(n.op).name, k);
    return rule(b_, n, k, cotangents);
  }

  Builder& b_;
  const Graph& linear_;
  const PullBackSite& site_;
  ir::Copier primal_;  // of the linear graph's values that are no tangents
  ir::ValueMap<MaybeValue> cotangents_;
  std::vector<bool> is_linear_;
};

}  // namespace

std::vector<MaybeValue> pull_back(Builder& b, const Graph& linear, std::span<const MaybeValue> cotangents,
                                  const PullBackSite& site) {
  return PullBack(b, linear, site).run(cotangents);
}

Transposed transpose(const Graph& linear) {
  Transposed out;
  out.graph.name = "transposed";
  Builder b(out.graph);
  std::vector<MaybeValue> cotangents;
  for (std::size_t i = 0; i < linear.results.size(); ++i)
    cotangents.emplace_back(out.graph.add_parameter(primal_name(linear.results[i].name) + ".bar",
                                                    linear.type(linear.results[i].value), Role::tangent,
                                                    static_cast<std::uint32_t>(i)));
  std::vector<ValueId> residuals;
  for (const Graph::Parameter& p : linear.parameters())
    if (p.role == Role::residual)
      residuals.push_back(out.graph.add_parameter(p.name, linear.type(p.value), p.role, p.index));
  out.cotangents = pull_back(b, linear, cotangents, {residuals, out.graph.value_count()});
  std::size_t next = 0;
  for (const Graph::Parameter& p : linear.parameters()) {
    if (p.role != Role::tangent) continue;
    if (const MaybeValue& v = out.cotangents[next++])
      out.graph.results.push_back({primal_name(p.name) + ".bar", p.role, p.index, *v});
  }
  return out;
}

std::string primal_name(const std::string& tangent) {
  constexpr std::string_view kSuffix = ".dot";
  return tangent.ends_with(kSuffix) ? tangent.substr(0, tangent.size() - kSuffix.size()) : "";
}

}  // namespace mlpc::autodiff
