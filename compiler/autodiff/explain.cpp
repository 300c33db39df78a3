#include "compiler/autodiff/explain.h"

#include <algorithm>
#include <map>
#include <set>
#include <sstream>

#include "compiler/autodiff/transpose.h"
#include "ir/error.h"
#include "ir/ops/einsum.h"
#include "ir/ops/scan.h"
#include "ir/text.h"

namespace mlpc::autodiff {
namespace {

using ir::Dim;
using ir::Graph;
using ir::Node;
using ir::Op;
using ir::Role;
using ir::Type;
using ir::ValueId;

Dim bytes_of(const Type& type) { return type.element_count() * Dim(ir::size_of(type.element)); }

/// Multiplications and additions of one application.
Dim flops_of(const Graph& graph, const Node& node) {
  const ir::OpLowering& lowering = ir::def(node.op).lowering;
  if (std::holds_alternative<ir::ElementwiseLowering>(lowering))
    return graph.type(Graph::result(node)).element_count();
  if (std::holds_alternative<ir::ReductionLowering>(lowering))
    return graph.type(graph.operands(node)[0]).element_count();
  if (const ir::Body* body = ir::body_of(node)) {
    Dim flops;
    for (std::uint32_t i = 0; i < body->graph().node_count(); ++i)
      flops = flops + flops_of(body->graph(), body->graph().node({i}));
    return ir::ops::ScanSpec::of(node.attributes).length * flops;
  }
  if (node.op != Op::einsum_) return 0;
  const ir::ops::EinsumSpec spec = ir::ops::parse_einsum(std::get<std::string>(node.attributes[0]));
  std::map<char, Dim> extents;
  for (std::size_t k = 0; k < spec.operands.size(); ++k)
    for (std::size_t i = 0; i < spec.operands[k].size(); ++i)
      extents.emplace(spec.operands[k][i], graph.type(graph.operands(node)[k]).shape[i]);
  Dim flops = 2;
  for (const auto& [letter, extent] : extents) flops = flops * extent;
  return flops;
}

class Explainer {
 public:
  Explainer(const ir::Program& program, ValueId parameter)
      : program_(program),
        forward_(*program.find("forward")),
        linear_(*program.find("linear")),
        parameter_(parameter) {
    for (const Graph::Result& r : linear_.results)
      if (r.role == Role::loss_total) loss_ = r.value;
    for (const Graph::Result& r : forward_.results)
      if (r.role == Role::residual) residuals_.emplace(r.index, r.value);
    for (const Graph::Parameter& p : linear_.parameters())
      if (p.role == Role::residual) primal_.emplace(p.value, residuals_.at(p.index));
    find_paths();
  }

  std::string run() {
    std::string out = fmt::format("∂L/∂{} : {}\n", name(parameter_), linear_.type(parameter_).text());
    if (!on_path_[parameter_.index]) return out + "  = 0: no path leads from it to the loss\n";
    out += "\n" + products() + "\n" + factors();
    out += fmt::format("\nin all: {} flops, {} bytes kept\n", total_flops_.text(), total_bytes_.text());
    return out;
  }

 private:
  /// Values between the parameter and the loss, and how often each is used there.
  void find_paths() {
    std::vector<bool> reached(linear_.value_count(), false), needed(linear_.value_count(), false);
    reached[parameter_.index] = true;
    for_each_node(false, [&](const Node& node) {
      if (std::ranges::any_of(linear_.operands(node), [&](ValueId v) { return reached[v.index]; }))
        for_each_result(node, [&](ValueId v) { reached[v.index] = true; });
    });
    if (loss_.index != UINT32_MAX) needed[loss_.index] = true;
    for_each_node(true, [&](const Node& node) {
      bool is_needed = false;
      for_each_result(node, [&](ValueId v) { is_needed |= needed[v.index] && reached[v.index]; });
      if (is_needed)
        for (ValueId v : linear_.operands(node)) needed[v.index] = true;
    });
    on_path_.assign(linear_.value_count(), false);
    for (std::size_t i = 0; i < on_path_.size(); ++i) on_path_[i] = reached[i] && needed[i];
    users_.resize(linear_.value_count());
    for_each_node(false, [&](const Node& node) {
      if (!on_path(node)) return;
      for (ValueId v : tangent_operands(node))
        for_each_result(node, [&](ValueId to) {
          if (on_path_[to.index]) users_[v.index].push_back(to);
        });
    });
  }

  template <typename F>
  void for_each_node(bool backwards, F f) const {
    const std::size_t count = linear_.node_count();
    for (std::size_t i = 0; i < count; ++i)
      f(linear_.node({static_cast<std::uint32_t>(backwards ? count - 1 - i : i)}));
  }
  template <typename F>
  static void for_each_result(const Node& node, F f) {
    for (std::uint32_t r = 0; r < node.result_count; ++r) f(Graph::result(node, r));
  }

  bool on_path(const Node& node) const {
    bool any = false;
    for_each_result(node, [&](ValueId v) { any |= on_path_[v.index]; });
    return any && node.op != Op::parameter_;
  }

  /// The operands on the path, each once.
  std::vector<ValueId> tangent_operands(const Node& node) const {
    std::vector<ValueId> out;
    for (ValueId v : linear_.operands(node))
      if (on_path_[v.index] && std::ranges::find(out, v) == out.end()) out.push_back(v);
    return out;
  }

  std::string name(ValueId v) const {
    const std::string primal = primal_name(linear_.value_name(v));
    if (!primal.empty()) return primal;
    return v == loss_ ? "L" : fmt::format("t{}", v.index);
  }

  /// "J(z, x)"
  std::string factor_name(ValueId from, ValueId to) const {
    return fmt::format("J({}, {})", name(to), name(from));
  }

  /// A product runs along a path until paths meet or part.
  std::string product(ValueId from, ValueId to) const {
    std::string out = factor_name(from, to) + "ᵀ";
    while (to != loss_ && users_[to.index].size() == 1) {
      const ValueId next = users_[to.index][0];
      out += fmt::format(" · {}ᵀ", factor_name(to, next));
      to = next;
    }
    return to == loss_ ? out + " · L.bar" : fmt::format("{} · {}.bar", out, name(to));
  }

  std::string products() const {
    std::string out;
    if (parameter_ == loss_) return "∂L/∂" + name(parameter_) + " = L.bar\n";
    for_each_value([&](ValueId v) {
      if (v == loss_ || (v != parameter_ && users_[v.index].size() == 1)) return;
      std::string line = v == parameter_ ? "∂L/∂" + name(v) : name(v) + ".bar", sign = " = ";
      for (ValueId user : users_[v.index]) {
        line += sign + product(v, user);
        sign = "\n    + ";
      }
      out += line + "\n";
    });
    return out + "L.bar = loss_bar\n";
  }

  /// From the parameter to the loss.
  template <typename F>
  void for_each_value(F f) const {
    for_each_node(false, [&](const Node& node) {
      for_each_result(node, [&](ValueId v) {
        if (on_path_[v.index]) f(v);
      });
    });
  }

  std::string factors() {
    std::string out;
    for_each_node(false, [&](const Node& node) {
      if (!on_path(node)) return;
      for (ValueId v : tangent_operands(node))
        for_each_result(node, [&](ValueId to) {
          if (on_path_[to.index]) out += factor(node, v, to);
        });
    });
    return out;
  }

  /// "J(z, x) = einsum("ik,kj->ij", x, ·)", then what is to know about it.
  std::string factor(const Node& node, ValueId from, ValueId to) {
    const std::size_t first_body = bodies_.bodies().size();
    bodies_.add_body(node);
    const Dim flops = flops_of(linear_, node);
    total_flops_ = total_flops_ + flops;
    const std::string which =
        node.result_count > 1 ? fmt::format(", result {}", to.index - node.first_result) : "";
    std::string out = fmt::format("{} = {}{} : {} -> {}\n", factor_name(from, to), operator_text(node, from),
                                  which, linear_.type(from).text(), linear_.type(to).text());
    out += fmt::format("    {} flops", flops.text());
    for (ValueId v : linear_.operands(node))
      if (const auto primal = primal_.find(v); primal != primal_.end()) out += kept_text(primal->second);
    for (std::uint32_t location : linear_.locations(to)) out += location_text(location);
    return out + "\n" + body_text(first_body);
  }

  /// What each turn of a scan does, where no factor before it has the same body.
  std::string body_text(std::size_t first) const {
    std::string out;
    std::istringstream lines(ir::print_bodies(bodies_, first));
    for (std::string line; std::getline(lines, line);) out += "    " + line + "\n";
    return out.empty() ? out : "    each turn:\n" + out;
  }

  std::string operator_text(const Node& node, ValueId from) const {
    std::vector<std::string> operands;
    for (ValueId v : linear_.operands(node)) {
      if (v == from)
        operands.emplace_back("·");
      else if (const auto primal = primal_.find(v); primal != primal_.end())
        operands.push_back(primal_text(primal->second));
      else
        operands.push_back("0 : " + linear_.type(v).text());  // another tangent, or zeros
    }
    return ir::call_text(node, operands, bodies_);
  }

  std::string primal_text(ValueId v) const {
    const std::string& name = forward_.value_name(v);
    return name.empty() ? fmt::format("%{}", v.index) : "%" + name;
  }

  /// What the caller holds anyway costs nothing; the rest is counted once.
  std::string kept_text(ValueId v) {
    const std::string text = primal_text(v);
    const Op op = forward_.producer(v).op;
    if (op == Op::parameter_) return fmt::format("; reads {}", text);
    if (op == Op::constant_ || op == Op::broadcast_) return "";
    const Dim bytes = bytes_of(forward_.type(v));
    if (kept_.insert(v).second) total_bytes_ = total_bytes_ + bytes;
    return fmt::format("; keeps {}, {} bytes", text, bytes.text());
  }

  std::string location_text(std::uint32_t index) const {
    if (index == 0 || index >= program_.locations.size()) return "";
    return "; " + ir::text_of(program_.locations[index]);
  }

  const ir::Program& program_;
  const Graph &forward_, &linear_;
  const ValueId parameter_;
  ValueId loss_;
  std::map<std::uint32_t, ValueId> residuals_;  // by number, in the forward graph
  std::map<ValueId, ValueId> primal_;           // by residual parameter of the linear graph
  std::vector<bool> on_path_;                   // by value of the linear graph
  std::vector<std::vector<ValueId>> users_;     // on the path, each once
  std::set<ValueId> kept_;
  ir::BodyTable bodies_;  // that were printed
  Dim total_flops_, total_bytes_;
};

}  // namespace

std::string explain(const ir::Program& program, std::string_view path) {
  const Graph* linear = program.find("linear");
  if (!linear) fail("the model has no loss: there is no gradient to explain");
  // A row of a stack has the stack's gradient, row by row.
  for (const Graph::Parameter& p : linear->parameters()) {
    if (p.role != Role::tangent) continue;
    const ir::TensorInfo& tensor = program.params[p.index];
    if (tensor.path == path) return Explainer(program, p.value).run();
    for (const ir::TensorInfo& row : ir::rows_of(tensor))
      if (row.path == path)
        return fmt::format("{} is one turn's of {}\n\n", path, tensor.path) +
               Explainer(program, p.value).run();
  }
  std::string known;
  for (const ir::TensorInfo& param : program.params) known += " " + param.path;
  fail("the model has no parameter `{}`; there are:{}", path, known);
}

}  // namespace mlpc::autodiff
