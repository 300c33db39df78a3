#include <algorithm>
#include <unordered_map>

#include "compiler/autodiff/algebra.h"
#include "compiler/autodiff/autodiff.h"
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

/// "z" of a tangent called "z.dot"; empty for others.
std::string primal_name(const std::string& tangent) {
  constexpr std::string_view kSuffix = ".dot";
  return tangent.ends_with(kSuffix) ? tangent.substr(0, tangent.size() - kSuffix.size()) : "";
}

constexpr std::string_view kApart = "   ";  // two comments of one value

/// A program from a file may be well typed and yet have no forward graph, or another one's linear graph.
void check_linear_stage(const ir::Program& program) {
  const Graph* forward = program.find("forward");
  const Graph* linear = program.find("linear");
  if (!forward || !linear) fail("a program of stage linear has the graphs `forward` and `linear`");
  for (const Graph::Parameter& p : linear->parameters()) {
    if (p.role == Role::tangent) continue;
    const auto fits = [&](const Graph::Result& r) {
      return r.role == Role::residual && r.index == p.index &&
             forward->type(r.value) == linear->type(p.value);
    };
    if (p.role != Role::residual || std::ranges::none_of(forward->results, fits))
      fail("graph linear: `{}` is no tangent, and no residual of the graph forward", p.name);
  }
  for (const Graph::Result& r : linear->results)
    if (linear->type(r.value) != ir::Type{program.element, {}})
      fail("graph linear: the result `{}` is no scalar of the model's type", r.name);
}

class Transposer {
 public:
  Transposer(const ir::Program& program)
      : forward_(*program.find("forward")),
        linear_(*program.find("linear")),
        b_(grad_),
        chain_rule_(linear_),
        primal_(linear_, b_) {
    grad_.name = "grad";
    cotangents_ = ir::ValueMap<MaybeValue>(linear_.value_count());
    is_linear_.assign(linear_.value_count(), false);
  }

  Graph run(const ir::Program& program) {
    const ValueId loss_bar = copy_forward(program.element);
    mark_linear();
    for (const Graph::Result& r : linear_.results)
      if (r.role == Role::loss_total) accumulate(r.value, loss_bar);
    for (std::size_t i = linear_.node_count(); i-- > 0;) pull_back({static_cast<std::uint32_t>(i)});
    add_gradients(program);
    describe_primal(grad_, forward_nodes_);
    return std::move(grad_);
  }

 private:
  /// The forward graph as it is; its residuals stand for the linear graph's parameters.
  ValueId copy_forward(ir::ElementType type) {
    ir::Copier copier(forward_, b_);
    copier.add_parameters();
    const ValueId loss_bar = grad_.add_parameter("loss_bar", {ir::ElementType::f64, {}}, Role::loss_bar);
    copier.copy_all();
    std::unordered_map<std::uint32_t, ValueId> residuals;
    for (Graph::Result r : forward_.results) {
      r.value = copier.at(r.value);
      if (r.role == Role::residual)
        residuals.emplace(r.index, r.value);
      else
        grad_.results.push_back(std::move(r));
    }
    for (const Graph::Parameter& p : linear_.parameters())
      if (p.role == Role::residual) primal_.bind(p.value, residuals.at(p.index));
    forward_nodes_ = grad_.node_count();
    return type == ir::ElementType::f64 ? loss_bar : b_.convert(loss_bar, type);
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
    const std::string primal = primal_name(linear_.value_name(tangent));
    const ValueId cotangent = *cotangents_.at(tangent);
    for (std::uint32_t location : linear_.locations(tangent)) grad_.add_location(cotangent, location);
    if (primal.empty() || cotangent.index < forward_nodes_) return;
    const std::string taken = grad_.value_name(cotangent), before = grad_.comment(cotangent);
    grad_.name_value(cotangent, primal + ".bar");
    const std::string term = chain_rule_.text(tangent);
    grad_.set_comment(cotangent,
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
    for (std::size_t k = 0; k < node.operand_count; ++k) {
      const ValueId operand = linear_.operands(node)[k];
      if (!is_linear_[operand.index]) continue;
      if (const MaybeValue term = transposed(facts.view(), k, cotangents)) accumulate(operand, *term);
    }
  }

  MaybeValue transposed(const NodeView& n, std::size_t k, const std::vector<MaybeValue>& cotangents) {
    const ir::Derivative& fact = ir::def(n.op).derivative;
    if (const auto* linear = std::get_if<ir::Linear>(&fact)) return linear->transpose(b_, n, k, cotangents);
    const auto* multilinear = std::get_if<ir::Multilinear>(&fact);
    for (std::size_t i = 0; i < n.operands.size(); ++i)
      if (i != k && !n.operands[i]) multilinear = nullptr;  // a product of two tangents
    if (!multilinear) fail("graph linear: `{}` is not linear in its operand {}", ir::def(n.op).name, k);
    return multilinear->transpose(b_, n, k, cotangents);
  }

  void add_gradients(const ir::Program& program) {
    std::vector<MaybeValue> by_param(program.params.size());
    for (const Graph::Parameter& p : linear_.parameters())
      if (p.role == Role::tangent) by_param.at(p.index) = cotangents_.at(p.value);
    for (std::uint32_t i = 0; i < program.params.size(); ++i) {
      const std::string& path = program.params[i].path;
      const ValueId gradient = by_param[i] ? *by_param[i] : b_.full(program.params[i].type, 0);
      if (!by_param[i]) grad_.set_comment(gradient, fmt::format("∂L/∂{} = 0: no path leads there", path));
      grad_.results.push_back({path, Role::grad, i, gradient});
    }
  }

  const Graph& forward_;
  const Graph& linear_;
  Graph grad_;
  Builder b_;
  ChainRule chain_rule_;
  ir::Copier primal_;  // of the linear graph's values that are no tangents
  ir::ValueMap<MaybeValue> cotangents_;
  std::vector<bool> is_linear_;
  std::size_t forward_nodes_ = 0;
};

}  // namespace

ir::Program transpose(const ir::Program& program) {
  ir::Program out = program;
  out.stage = ir::Stage::jacobian;
  if (!program.find("linear") && !program.find("forward")) return out;  // a model without a loss
  check_linear_stage(program);
  Graph grad = Transposer(program).run(program);
  std::erase_if(out.graphs, [](const Graph& g) { return g.name == "linear"; });
  *out.find("forward") = std::move(grad);
  return out;
}

}  // namespace mlpc::autodiff
