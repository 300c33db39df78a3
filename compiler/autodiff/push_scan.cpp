#include "compiler/autodiff/push_scan.h"

#include <fmt/format.h>

#include <algorithm>

#include "compiler/autodiff/linearise.h"
#include "compiler/autodiff/scan_maker.h"
#include "compiler/autodiff/scan_residuals.h"
#include "ir/copy.h"
#include "ir/ops/scan.h"
#include "ir/prune.h"

namespace mlpc::autodiff {
namespace {

using ir::Builder;
using ir::Graph;
using ir::MaybeValue;
using ir::Node;
using ir::Role;
using ir::ValueId;
using ir::ops::ScanSpec;
using Values = std::vector<ValueId>;

class ScanPush {
 public:
  ScanPush(Builder& b, std::span<const ValueId> operands, const ir::Attributes& attributes,
           std::span<const MaybeValue> tangents)
      : b_(b),
        operands_(operands),
        attributes_(attributes),
        tangents_(tangents),
        spec_(ScanSpec::of(attributes)),
        body_(spec_.body.graph()) {}

  PushedNode run() {
    linearise_body();
    if (std::ranges::none_of(parts_.tangents, [](const MaybeValue& t) { return t.has_value(); }) &&
        std::ranges::find(moves_, true) == moves_.end())
      return {b_.make(ir::Op::scan_, operands_, attributes_), std::vector<MaybeValue>(body_.results.size())};
    find_residuals();
    PushedNode out{make_primal(), {}};
    out.tangents = make_linear(ir::Graph::result(b_.graph().node(out.node)));
    return out;
  }

 private:
  /// The operand that a parameter of the body stands for; not for the turn.
  std::size_t operand_of(const Graph::Parameter& p) const {
    if (p.role == Role::constant) return p.index;
    if (p.role == Role::loop) return spec_.const_count() + p.index;
    return spec_.const_count() + spec_.loop_count() + p.index;
  }

  bool is_moving(const Graph::Parameter& p) const {
    if (p.role == Role::turn) return false;
    return p.role == Role::loop ? moves_[p.index] : tangents_[operand_of(p)].has_value();
  }

  /// Until no further loop value moves: with its first value, or with what it is made of in a turn.
  void linearise_body() {
    for (std::size_t i = 0; i < spec_.loop_count(); ++i)
      moves_.push_back(tangents_[spec_.const_count() + i].has_value());
    std::vector<bool> matters;
    for (const Graph::Result& r : body_.results) matters.push_back(ir::is_float(body_.type(r.value).element));
    for (bool grows = true; grows;) {
      std::vector<std::size_t> moving;
      for (std::size_t i = 0; i < body_.parameters().size(); ++i)
        if (is_moving(body_.parameters()[i])) moving.push_back(i);
      parts_ = linearise(body_, moving, matters);
      grows = false;
      for (std::size_t i = 0; i < body_.results.size(); ++i) {
        const Graph::Result& r = body_.results[i];
        if (r.role != Role::loop || !parts_.tangents[i] || moves_[r.index]) continue;
        moves_[r.index] = true;
        grows = true;
      }
    }
  }

  /// Takes the residuals off the primal body's results, and chooses what is kept for them.
  void find_residuals() {
    std::vector<Graph::Result>& results = parts_.primal.results;
    for (std::size_t i = body_.results.size(); i < results.size(); ++i) needed_.push_back(results[i].value);
    results.resize(body_.results.size());
    residuals_ = choose_residuals(parts_.primal, needed_);
  }

  /// The scan that also stacks what is kept.
  ir::NodeId make_primal() {
    const Graph& primal = parts_.primal;
    stacked_index_.assign(primal.value_count(), SIZE_MAX);
    for (const Graph::Result& r : primal.results)
      if (r.role == Role::stacked) stacked_index_[r.value.index] = r.index;
    std::size_t count = spec_.stacked_count();
    for (std::uint32_t i = 0; i < primal.value_count(); ++i) {
      if (!residuals_.is_stacked[i] || stacked_index_[i] != SIZE_MAX) continue;
      stacked_index_[i] = count++;
      const std::string& name = primal.value_name({i});
      parts_.primal.results.push_back({name.empty() ? fmt::format("residual.{}", i) : name,
                                       Role::stacked,
                                       static_cast<std::uint32_t>(stacked_index_[i]),
                                       {i}});
    }
    const ScanSpec spec{ir::Body(ir::without_dead_nodes(primal)), spec_.length, spec_.reverse};
    return b_.make(ir::Op::scan_, operands_, spec.attributes());
  }

  /// ẏ by result of the primal scan, whose first result is given.
  std::vector<MaybeValue> make_linear(ValueId first) {
    ScanMaker linear("linear");
    ir::Copier tangent(parts_.linear, linear.builder()), primal(parts_.primal, linear.builder());
    for (const Graph::Parameter& p : body_.parameters())
      if (p.role == Role::turn) linear.add_turn(p.name);
    bind_tangents(linear, tangent);
    bind_primal(linear, primal, first);
    std::size_t next = 0;
    for (const Graph::Parameter& p : parts_.linear.parameters())
      if (p.role == Role::residual) tangent.bind(p.value, primal.at(needed_[next++]));
    tangent.copy_all();
    return make_scan(linear, tangent);
  }

  void bind_tangents(ScanMaker& linear, ir::Copier& copier) {
    loop_numbers_.assign(spec_.loop_count(), 0);
    auto tangent = parts_.linear.parameters().begin();  // they come first, in the order of the body's
    for (const Graph::Parameter& p : body_.parameters()) {
      if (!is_moving(p)) continue;
      if (p.role == Role::loop) loop_numbers_[p.index] = linear.loop_count();
      const MaybeValue& given = tangents_[operand_of(p)];
      const ir::Type type = b_.type(operands_[operand_of(p)]);
      copier.bind(tangent->value,
                  linear.add(p.role, tangent->name, body_.type(p.value), given ? *given : b_.full(type, 0)));
      ++tangent;
    }
  }

  /// What the tangents need of the primal body: handed in, or computed again from what is.
  void bind_primal(ScanMaker& linear, ir::Copier& copier, ValueId first) {
    const Graph& primal = parts_.primal;
    std::vector<bool> ends = residuals_.is_stacked;
    for (std::uint32_t i = 0; i < ends.size(); ++i) ends[i] = ends[i] || residuals_.is_hoisted[i];
    const std::vector<bool> wanted = ancestors(primal, needed_, ends);
    const std::size_t first_stacked = first.index + spec_.loop_count();
    ValueId turn;
    for (const Graph::Parameter& p : linear.builder().graph().parameters())
      if (p.role == Role::turn) turn = p.value;
    for (const Graph::Parameter& p : primal.parameters()) {
      if (p.role == Role::turn) copier.bind(p.value, turn);
      if (!wanted[p.value.index] || ends[p.value.index] || p.role == Role::turn) continue;
      copier.bind(p.value, linear.add(p.role, p.name, primal.type(p.value), operands_[operand_of(p)]));
    }
    const Values hoisted = hoist();
    auto next_hoisted = hoisted.begin();
    for (std::uint32_t i = 0; i < primal.value_count(); ++i) {
      const ValueId v{i};
      if (residuals_.is_hoisted[i])
        copier.bind(v, linear.add(Role::constant, primal.value_name(v), primal.type(v), *next_hoisted++));
      else if (residuals_.is_stacked[i])
        copier.bind(v, linear.add(Role::sequence, primal.value_name(v), primal.type(v),
                                  {static_cast<std::uint32_t>(first_stacked + stacked_index_[i])}));
      else if (wanted[i] && !copier.has(v))
        copier.copy(primal.producer_id(v));
    }
  }

  /// The same in every turn: computed outside, once. In order of the primal body's values.
  Values hoist() {
    const Graph& primal = parts_.primal;
    Values from, out;
    for (std::uint32_t i = 0; i < primal.value_count(); ++i)
      if (residuals_.is_hoisted[i]) from.push_back({i});
    const std::vector<bool> wanted = ancestors(primal, from, std::vector<bool>(primal.value_count(), false));
    ir::Copier copier(primal, b_);
    for (const Graph::Parameter& p : primal.parameters())
      if (p.role == Role::constant) copier.bind(p.value, operands_[p.index]);
    for (std::uint32_t i = 0; i < primal.value_count(); ++i)
      if (wanted[i] && !copier.has({i})) copier.copy(primal.producer_id({i}));
    for (ValueId v : from) out.push_back(copier.at(v));
    return out;
  }

  std::vector<MaybeValue> make_scan(ScanMaker& linear, const ir::Copier& copier) {
    std::vector<std::size_t> places(body_.results.size(), SIZE_MAX);  // by result of the body: of the scan
    for (std::size_t i = 0; i < spec_.loop_count(); ++i) {
      if (!moves_[i]) continue;
      const std::size_t at = result_at(Role::loop, i);
      const MaybeValue& tangent = parts_.tangents[at];
      const ir::Type type = body_.type(body_.results[at].value);
      places[at] = loop_numbers_[i];
      linear.set_next(loop_numbers_[i], body_.results[at].name + ".dot",
                      tangent ? copier.at(*tangent) : linear.builder().full(type, 0));
    }
    for (std::size_t i = 0; i < spec_.stacked_count(); ++i) {
      const std::size_t at = result_at(Role::stacked, i);
      if (const MaybeValue& tangent = parts_.tangents[at])
        places[at] = linear.loop_count() + linear.stack(body_.results[at].name + ".dot", copier.at(*tangent));
    }
    const Values results = linear.make(b_, spec_.length, spec_.reverse);
    std::vector<MaybeValue> out(body_.results.size());
    for (std::size_t at = 0; at < places.size(); ++at)
      if (places[at] != SIZE_MAX) out[scan_result(body_.results[at])] = results[places[at]];
    return out;
  }

  std::size_t result_at(Role role, std::size_t index) const {
    std::size_t at = 0;
    while (body_.results[at].role != role || body_.results[at].index != index) ++at;
    return at;
  }

  std::size_t scan_result(const Graph::Result& r) const {
    return r.role == Role::loop ? r.index : spec_.loop_count() + r.index;
  }

  Builder& b_;
  std::span<const ValueId> operands_;
  const ir::Attributes& attributes_;
  std::span<const MaybeValue> tangents_;
  const ScanSpec spec_;
  const Graph& body_;
  std::vector<bool> moves_;                // by loop value
  std::vector<std::size_t> loop_numbers_;  // by loop value that moves, in the linear scan
  Linearised parts_;                       // of the body
  Values needed_;                          // by residual of parts_.linear, in parts_.primal
  ScanResiduals residuals_;
  std::vector<std::size_t> stacked_index_;  // by value of parts_.primal
};

}  // namespace

PushedNode push_scan(Builder& b, std::span<const ValueId> operands, const ir::Attributes& attributes,
                     std::span<const MaybeValue> tangents) {
  return ScanPush(b, operands, attributes, tangents).run();
}

}  // namespace mlpc::autodiff
