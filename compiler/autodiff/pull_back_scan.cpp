#include "compiler/autodiff/pull_back_scan.h"

#include <fmt/format.h>

#include <algorithm>

#include "compiler/autodiff/scan_maker.h"
#include "compiler/autodiff/scan_residuals.h"
#include "compiler/autodiff/transpose.h"
#include "ir/copy.h"
#include "ir/error.h"
#include "ir/node_view.h"
#include "ir/ops/einsum.h"
#include "ir/ops/scan.h"

namespace mlpc::autodiff {
namespace {

using ir::Builder;
using ir::Graph;
using ir::MaybeValue;
using ir::Node;
using ir::NodeView;
using ir::Op;
using ir::Role;
using ir::Type;
using ir::ValueId;
using ir::ops::ScanSpec;
using Values = std::vector<ValueId>;

std::string cotangent_name(const std::string& tangent) {
  const std::string primal = primal_name(tangent);
  return (primal.empty() ? tangent : primal) + ".bar";
}

MaybeValue sum(Builder& b, const MaybeValue& total, ValueId term) {
  return total ? b.add(*total, term) : term;
}

/// A contraction of a body (or a gather: one with rows of 0 and 1), of a const that is a tangent: `operand`
/// of `node`.
struct Contraction {
  ir::NodeId node;
  std::size_t operand;
};

/// A letter for the turns.
std::optional<char> unused_letter(const ir::ops::EinsumSpec& spec) {
  for (const char letter : std::string_view("tsuvwabcdefghijklmnopqrxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"))
    if (spec.text().find(letter) == std::string::npos) return letter;
  return std::nullopt;
}

/// Whether a node of a body is one of all turns, too, whose operands and result have them as their first
/// axis.
bool runs_over_turns(const Node& node) {
  return node.op == Op::gather_ ||
         (node.op == Op::einsum_ &&
          unused_letter(ir::ops::parse_einsum(std::get<std::string>(node.attributes[0]))));
}

/// What a linear body computes of what: which of its values are tangents, which differ from turn to turn.
class LinearFacts {
 public:
  LinearFacts(const NodeView& scan, const ScanSpec& spec)
      : body_(spec.body.graph()), varies_(varying_values(body_)), is_linear_(body_.value_count(), false) {
    for (const Graph::Parameter& p : body_.parameters())
      if (p.role != Role::turn) is_linear_[p.value.index] = !scan.operands[operand_of(spec, p)];
    const ir::BodySignature& s = spec.body.signature();
    for (bool grows = true; grows;) {
      spread();
      grows = false;
      for (std::size_t i = 0; i < s.loops.size(); ++i) {
        if (is_linear(s.loops[i]) || !is_linear(s.next[i])) continue;
        is_linear_[s.loops[i].index] = true;
        grows = true;
      }
    }
  }

  /// The operand that a parameter stands for; not for the turn.
  static std::size_t operand_of(const ScanSpec& spec, const Graph::Parameter& p) {
    if (p.role == Role::constant) return p.index;
    if (p.role == Role::loop) return spec.const_count() + p.index;
    return spec.const_count() + spec.loop_count() + p.index;
  }

  bool is_linear(ValueId v) const { return is_linear_[v.index]; }
  bool varies(ValueId v) const { return varies_[v.index]; }

  std::vector<Contraction> contractions_of_consts() const {
    std::vector<Contraction> out;
    for (std::uint32_t i = 0; i < body_.node_count(); ++i) {
      const Node& node = body_.node({i});
      if (!varies(Graph::result(node)) || !is_linear(Graph::result(node))) continue;
      std::size_t tangents = 0, at = 0;
      for (std::size_t k = 0; k < node.operand_count; ++k)
        if (is_linear(body_.operands(node)[k])) ++tangents, at = k;
      const bool is_of_const = tangents == 1 && !varies(body_.operands(node)[at]);
      if (is_of_const && runs_over_turns(node) && (node.op != Op::gather_ || varies(body_.operands(node)[1])))
        out.push_back({{i}, at});
    }
    return out;
  }

 private:
  void spread() {
    for (std::uint32_t i = 0; i < body_.node_count(); ++i) {
      const Node& node = body_.node({i});
      if (node.op == Op::parameter_) continue;
      const bool any = std::ranges::any_of(body_.operands(node), [&](ValueId v) { return is_linear(v); });
      for (std::uint32_t r = 0; r < node.result_count; ++r) is_linear_[node.first_result + r] = any;
    }
  }

  const Graph& body_;
  std::vector<bool> varies_, is_linear_;  // by value
};

/// The step of a linear scan as a linear graph: its tangents, then the results of contractions of consts, cut
/// off; its other parameters are residuals, in their order.
struct Step {
  Graph graph;
  Values values;  // by value of the body
};

Step step_of(const Graph& body, const LinearFacts& facts, std::span<const Contraction> cut) {
  Step out;
  out.graph.name = "step";
  Builder b(out.graph);
  ir::Copier copier(body, b);
  for (const Role role : {Role::tangent, Role::residual}) {
    std::uint32_t index = 0;
    for (const Graph::Parameter& p : body.parameters())
      if (facts.is_linear(p.value) == (role == Role::tangent))
        copier.bind(p.value, out.graph.add_parameter(p.name, body.type(p.value), role, index++));
    if (role == Role::residual) continue;
    for (const Contraction& c : cut) {
      const ValueId v = Graph::result(body.node(c.node));
      const std::string& name = body.value_name(v);
      copier.bind(v, out.graph.add_parameter(name.empty() ? fmt::format("product.{}", index) : name,
                                             body.type(v), role, index, name));
      ++index;
    }
  }
  for (std::uint32_t i = 0; i < body.node_count(); ++i)
    if (!copier.has(Graph::result(body.node({i})))) copier.copy({i});
  for (Graph::Result r : body.results) {
    r.value = copier.at(r.value);
    out.graph.results.push_back(std::move(r));
  }
  for (std::uint32_t i = 0; i < body.value_count(); ++i) out.values.push_back(copier.at({i}));
  return out;
}

class ScanPullBack {
 public:
  ScanPullBack(Builder& b, const NodeView& scan, std::span<const MaybeValue> cotangents)
      : b_(b),
        scan_(scan),
        cotangents_(cotangents),
        spec_(ScanSpec::of(scan.attributes)),
        body_(spec_.body.graph()),
        facts_(scan, spec_),
        cut_(facts_.contractions_of_consts()),
        step_(step_of(body_, facts_, cut_)),
        out_(scan.operands.size()) {}

  std::vector<MaybeValue> run() {
    for (const Graph::Parameter& p : body_.parameters())
      if (p.role == Role::loop && !facts_.is_linear(p.value))
        fail("`scan` carries `{}`, which is no tangent, in a linear graph", p.name);
    for (std::size_t i = 0; i < spec_.loop_count(); ++i) is_carried_.push_back(cotangents_[i].has_value());
    while (carry_more()) {
    }
    ScanMaker body("transposed");
    const std::vector<MaybeValue> steps = pull_step(body);
    finish(body, steps);
    return std::move(out_);
  }

 private:
  std::size_t operand_of(const Graph::Parameter& p) const { return LinearFacts::operand_of(spec_, p); }
  std::size_t scan_result(const Graph::Result& r) const {
    return r.role == Role::loop ? r.index : spec_.loop_count() + r.index;
  }

  /// A loop value whose cotangent is not 0 after all: whether there was one more.
  bool carry_more() {
    ScanMaker trial("transposed");
    const std::vector<MaybeValue> steps = pull_step(trial);
    bool grows = false;
    for_each_tangent([&](const Graph::Parameter& p, std::size_t i) {
      if (p.role != Role::loop || !steps[i] || is_carried_[p.index]) return;
      is_carried_[p.index] = true;
      grows = true;
    });
    return grows;
  }

  template <typename F>
  void for_each_tangent(F f) const {
    std::size_t i = 0;
    for (const Graph::Parameter& p : body_.parameters())
      if (facts_.is_linear(p.value)) f(p, i++);
  }

  /// One turn's cotangents: of the body's tangents, then of the contractions that were cut off.
  std::vector<MaybeValue> pull_step(ScanMaker& body) {
    Values residuals;
    for (const Graph::Parameter& p : body_.parameters()) {
      if (facts_.is_linear(p.value)) continue;
      residuals.push_back(p.role == Role::turn
                              ? body.add_turn(p.name)
                              : body.add(p.role, p.name, body_.type(p.value), scan_.operand(operand_of(p))));
    }
    std::vector<MaybeValue> given(body_.results.size());
    for (std::size_t i = 0; i < given.size(); ++i) {
      const Graph::Result& r = body_.results[i];
      const Type type = body_.type(r.value);
      const MaybeValue& cotangent = cotangents_[scan_result(r)];
      if (r.role == Role::loop && is_carried_[r.index])
        given[i] =
            body.add(Role::loop, cotangent_name(r.name), type, cotangent ? *cotangent : b_.full(type, 0));
      if (r.role == Role::stacked && cotangent)
        given[i] = body.add(Role::sequence, cotangent_name(r.name), type, *cotangent);
      if (!facts_.is_linear(r.value)) given[i].reset();  // zeros have no cotangent
    }
    residuals_ = residuals;
    return pull_back(body.builder(), step_.graph, given, {residuals, body.builder().graph().value_count()});
  }

  void finish(ScanMaker& body, const std::vector<MaybeValue>& steps) {
    struct Place {
      std::size_t operand, number;
    };
    std::vector<Place> carried, stacked;
    const std::vector<std::size_t> loops = carried_loops();
    for_each_tangent([&](const Graph::Parameter& p, std::size_t i) {
      const std::string name = cotangent_name(p.name);
      const Type type = body_.type(p.value);
      if (p.role == Role::loop && is_carried_[p.index]) {
        body.set_next(loops[p.index], name, steps[i] ? *steps[i] : body.builder().full(type, 0));
        if (!scan_.operands[operand_of(p)]) carried.push_back({operand_of(p), loops[p.index]});
      }
      if (p.role == Role::sequence && steps[i])
        stacked.push_back({operand_of(p), body.stack(name, *steps[i])});
      if (p.role != Role::constant || !steps[i]) return;
      const std::size_t number = body.loop_count();
      const ValueId total = body.add(Role::loop, name, type, b_.full(type, 0));
      body.set_next(number, name, body.builder().add(total, *steps[i]));
      carried.push_back({operand_of(p), number});
    });
    const std::vector<Product> products = stack_products(body, steps);
    const std::size_t loop_count = body.loop_count();
    const Values results = body.make(b_, spec_.length, !spec_.reverse);
    for (const Place& p : carried) out_[p.operand] = results[p.number];
    for (const Place& p : stacked) out_[p.operand] = results[loop_count + p.number];
    contract(products, std::span(results).subspan(std::min(loop_count, results.size())));
  }

  /// By loop value: its number in the reversed body; they were added in the order of the results.
  std::vector<std::size_t> carried_loops() const {
    std::vector<std::size_t> out(spec_.loop_count(), SIZE_MAX);
    std::size_t next = 0;
    for (const Graph::Result& r : body_.results)
      if (r.role == Role::loop && is_carried_[r.index]) out[r.index] = next++;
    return out;
  }

  // ---- Contractions of consts, when the turns are over --------------------------------------------------

  /// A contraction with what it takes of every turn.
  struct Product {
    Contraction of;
    std::size_t cotangent;                           // its result's, among the stacked ones
    std::vector<std::optional<std::size_t>> others;  // by operand: among the stacked ones; or it is outside
  };

  std::vector<Product> stack_products(ScanMaker& body, const std::vector<MaybeValue>& steps) {
    std::vector<Product> out;
    ir::Copier primal = primal_values(body);
    const std::size_t first = steps.size() - cut_.size();
    for (std::size_t i = 0; i < cut_.size(); ++i) {
      if (!steps[first + i]) continue;
      const Node& node = body_.node(cut_[i].node);
      const std::string& name = body_.value_name(Graph::result(node));
      Product product{
          cut_[i], body.stack(cotangent_name(name.empty() ? "product" : name), *steps[first + i]), {}};
      for (std::size_t k = 0; k < node.operand_count; ++k) {
        const ValueId v = body_.operands(node)[k];
        product.others.emplace_back();
        if (k != cut_[i].operand && facts_.varies(v) && !sequence_of(v))
          product.others.back() = body.stack(body_.value_name(v).empty() ? "factor" : body_.value_name(v),
                                             primal.at(step_.values[v.index]));
      }
      out.push_back(std::move(product));
    }
    return out;
  }

  /// The step's values that are no tangents, in the reversed body.
  ir::Copier primal_values(ScanMaker& body) {
    ir::Copier copier(step_.graph, body.builder());
    std::size_t next = 0;
    for (const Graph::Parameter& p : step_.graph.parameters())
      if (p.role == Role::residual) copier.bind(p.value, residuals_[next++]);
    for (std::uint32_t i = 0; i < step_.graph.node_count(); ++i) {
      const Node& node = step_.graph.node({i});
      if (node.op != Op::parameter_ &&
          std::ranges::all_of(step_.graph.operands(node), [&](ValueId v) { return copier.has(v); }))
        copier.copy({i});
    }
    return copier;
  }

  /// The operand of which v is the turn's element.
  MaybeValue sequence_of(ValueId v) const {
    for (const Graph::Parameter& p : body_.parameters())
      if (p.value == v && p.role == Role::sequence) return scan_.operands[operand_of(p)];
    return std::nullopt;
  }

  void contract(const std::vector<Product>& products, std::span<const ValueId> stacked) {
    if (products.empty()) return;
    Graph prelude;
    prelude.name = "prelude";
    const Outside outside = copy_prelude(products, prelude);
    std::vector<MaybeValue> cotangents;
    for (const Product& product : products) cotangents.push_back(contraction(product, stacked, outside));
    const std::vector<MaybeValue> terms =
        pull_back(b_, prelude, cotangents, {outside.residuals, b_.graph().value_count()});
    std::size_t next = 0;
    for (const Graph::Parameter& p : body_.parameters()) {
      if (p.role != Role::constant || !facts_.is_linear(p.value)) continue;
      if (const MaybeValue& term = terms[next++]) out_[p.index] = sum(b_, out_[p.index], *term);
    }
  }

  /// What does not depend on the turn, outside.
  struct Outside {
    Values residuals;  // by residual of the prelude
    Values values;     // by value of the body, where it is no tangent
  };

  /// Writes the linear graph from the consts' tangents to the contracted operands: U̇ itself, or its
  /// transpose.
  Outside copy_prelude(const std::vector<Product>& products, Graph& prelude) {
    Builder p(prelude);
    ir::Copier tangents(body_, p), values(body_, b_);
    Outside out;
    for (const bool is_linear : {true, false}) {
      std::uint32_t index = 0;
      for (const Graph::Parameter& c : body_.parameters()) {
        if (c.role != Role::constant || facts_.is_linear(c.value) != is_linear) continue;
        tangents.bind(c.value, prelude.add_parameter(c.name, body_.type(c.value),
                                                     is_linear ? Role::tangent : Role::residual, index++));
        if (is_linear) continue;
        values.bind(c.value, scan_.operand(c.index));
        out.residuals.push_back(values.at(c.value));
      }
    }
    Values wanted;
    for (const Product& product : products)
      for (ValueId v : body_.operands(body_.node(product.of.node)))
        if (!facts_.varies(v)) wanted.push_back(v);
    const std::vector<bool> is_wanted =
        ancestors(body_, wanted, std::vector<bool>(body_.value_count(), false));
    for (std::uint32_t i = 0; i < body_.value_count(); ++i) {
      if (!is_wanted[i] || tangents.has({i})) continue;
      tangents.copy(body_.producer_id({i}));
      if (!facts_.is_linear({i})) values.copy(body_.producer_id({i}));
    }
    for (const Product& product : products)
      prelude.results.push_back(
          {"", Role::output, 0,
           tangents.at(body_.operands(body_.node(product.of.node))[product.of.operand])});
    for (std::uint32_t i = 0; i < body_.value_count(); ++i) out.values.push_back(values.at({i}));
    return out;
  }

  /// The contracted operand's cotangent: that of one contraction of all turns, whose result has them as an
  /// axis of its own.
  ValueId contraction(const Product& product, std::span<const ValueId> stacked, const Outside& outside) {
    const Node& node = body_.node(product.of.node);
    std::vector<Type> types;
    std::vector<MaybeValue> operands(node.operand_count);
    std::vector<bool> has_turns(node.operand_count, false);
    for (std::size_t k = 0; k < node.operand_count; ++k) {
      const ValueId v = body_.operands(node)[k];
      types.push_back(body_.type(v));
      if (k == product.of.operand) continue;
      operands[k] = product.others[k] ? MaybeValue(stacked[*product.others[k]]) : sequence_of(v);
      has_turns[k] = operands[k].has_value();
      if (!has_turns[k]) operands[k] = outside.values[v.index];
      types.back() = b_.type(*operands[k]);
    }
    const MaybeValue cotangent = stacked[product.cotangent];
    const std::vector<Type> result = {b_.type(*cotangent)};
    const std::vector<MaybeValue> no_result(1);
    const ir::Attributes attributes = over_turns(node, has_turns);
    const NodeView view{node.op, types, result, operands, no_result, attributes};
    const ir::Derivative& fact = ir::def(node.op).derivative;
    const auto* linear = std::get_if<ir::Linear>(&fact);
    const ir::TransposeRule rule = linear ? linear->transpose : std::get<ir::Multilinear>(fact).transpose;
    return *rule(b_, view, product.of.operand, {&cotangent, 1});
  }

  /// The attributes of the node of all turns.
  static ir::Attributes over_turns(const Node& node, const std::vector<bool>& has_turns) {
    if (node.op != Op::einsum_) return node.attributes;
    ir::ops::EinsumSpec spec = ir::ops::parse_einsum(std::get<std::string>(node.attributes[0]));
    const char turn = *unused_letter(spec);
    for (std::size_t k = 0; k < has_turns.size(); ++k)
      if (has_turns[k]) spec.operands[k].insert(0, 1, turn);
    spec.result.insert(0, 1, turn);
    return {spec.text()};
  }

  Builder& b_;
  const NodeView& scan_;
  std::span<const MaybeValue> cotangents_;
  const ScanSpec spec_;
  const Graph& body_;
  const LinearFacts facts_;
  const std::vector<Contraction> cut_;
  const Step step_;
  std::vector<bool> is_carried_;  // by loop value: its cotangent is not 0
  Values residuals_;              // by residual of the step, in the reversed body
  std::vector<MaybeValue> out_;
};

}  // namespace

std::vector<MaybeValue> pull_back_scan(Builder& b, const NodeView& scan,
                                       std::span<const MaybeValue> cotangents) {
  return ScanPullBack(b, scan, cotangents).run();
}

}  // namespace mlpc::autodiff
