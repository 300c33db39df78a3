#include <fmt/format.h>

#include <algorithm>

#include "compiler/passes/passes.h"
#include "ir/bodies.h"
#include "ir/ops/einsum.h"
#include "ir/ops/scan.h"
#include "ir/rebuild.h"

namespace mlpc::passes {
namespace {

using ir::Builder;
using ir::Graph;
using ir::Node;
using ir::Op;
using ir::Role;
using ir::ValueId;
using ir::ops::EinsumSpec;
using ir::ops::ScanSpec;

/// A contraction of a body with one of its consts; `varying` is the operand that is none.
struct Contraction {
  EinsumSpec spec;
  std::size_t varying;
  ValueId value, constant;  // the operands, in the body
};

class ScanHoister {
 public:
  ScanHoister(Builder& b, ir::Copier& copier, const Node& node)
      : b_(b),
        copier_(copier),
        node_(node),
        spec_(ScanSpec::of(node.attributes)),
        body_(spec_.body.graph()),
        operands_(copier.operands(node)) {}

  /// Whether there was something to hoist.
  bool run() {
    Graph body;
    body.name = body_.name;
    Builder inner(body);
    ir::Copier into(body_, inner);
    into.add_parameters();
    const bool is_before = hoist_before(body, into);
    for (std::uint32_t i = 0; i < body_.node_count(); ++i)
      if (!into.has(Graph::result(body_.node({i})))) into.copy({i});
    into.add_results();
    const std::vector<int> uses = uses_in_body();
    const std::vector<Behind> behind = hoist_behind(uses);
    const std::vector<Total> totals = find_totals(uses);
    if (!is_before && behind.empty() && totals.empty()) return false;
    const std::vector<ValueId> results =
        ir::ops::scan(b_, {ir::Body(std::move(body)), spec_.length, spec_.reverse}, operands_);
    for (std::size_t r = 0; r < results.size(); ++r) {
      const auto product = std::ranges::find(behind, r, &Behind::result);
      const auto total = std::ranges::find(totals, r, &Total::loop);
      const ValueId value = product != behind.end()
                                ? over_turns(product->contraction, results[product->stacked])
                            : total != totals.end() ? sum_of(*total, results[total->stacked])
                                                    : results[r];
      copier_.stand_in(Graph::result(node_, r), value);
    }
    return true;
  }

 private:
  /// A stacked result of the scan that is the contraction of another.
  struct Behind {
    std::size_t result, stacked;
    Contraction contraction;
  };

  /// A loop value to which each turn adds the sum of what it stacks anyway, and that no turn reads otherwise:
  /// a bias' gradient. Turns would wait for each other's sums, or rows within a turn.
  struct Total {
    std::size_t loop, stacked;  // among the results
    ir::Integers axes;
  };

  const Graph::Parameter* parameter(ValueId v, Role role) const {
    for (const Graph::Parameter& p : body_.parameters())
      if (p.value == v && p.role == role) return &p;
    return nullptr;
  }

  std::optional<Contraction> contraction(ValueId v) const {
    const Node& node = body_.producer(v);
    if (node.op != Op::einsum_ || node.operand_count != 2) return std::nullopt;
    Contraction out{ir::ops::parse_einsum(std::get<std::string>(node.attributes[0])), 0, {}, {}};
    const std::span<const ValueId> operands = body_.operands(node);
    if (parameter(operands[0], Role::constant)) out.varying = 1;
    out.value = operands[out.varying];
    out.constant = operands[1 - out.varying];
    if (!parameter(out.constant, Role::constant) || parameter(out.value, Role::constant)) return std::nullopt;
    if (body_.type(out.constant).rank() < 2 || out.spec.text().find('t') != std::string::npos)
      return std::nullopt;
    // Else the const is the rows, and no turn reads again what another one read.
    const bool is_row = body_.type(out.value).rank() == 1 && !body_.type(v).shape.empty();
    return is_row || has_rows(out) ? std::optional(out) : std::nullopt;
  }

  /// The first axis of the varying operand is that of the result, and none of the const.
  static bool has_rows(const Contraction& c) {
    const std::string& letters = c.spec.operands[c.varying];
    return !letters.empty() && !c.spec.result.empty() && letters[0] == c.spec.result[0] &&
           c.spec.operands[1 - c.varying].find(letters[0]) == std::string::npos;
  }

  /// Contractions of a sequence's element become elements of a sequence.
  bool hoist_before(Graph& body, ir::Copier& into) {
    bool any = false;
    auto index = static_cast<std::uint32_t>(spec_.sequence_count());
    for (std::uint32_t i = 0; i < body_.node_count(); ++i) {
      const ValueId v = Graph::result(body_.node({i}));
      const std::optional<Contraction> found = contraction(v);
      const Graph::Parameter* sequence = found ? parameter(found->value, Role::sequence) : nullptr;
      if (!sequence) continue;
      const std::string name =
          body_.value_name(v).empty() ? fmt::format("product.{}", index) : body_.value_name(v);
      into.bind(v, body.add_parameter(name, body_.type(v), Role::sequence, index++));
      operands_.push_back(
          over_turns(*found, operands_[spec_.const_count() + spec_.loop_count() + sequence->index]));
      any = true;
    }
    return any;
  }

  std::vector<int> uses_in_body() const {
    std::vector<int> uses(body_.value_count(), 0);
    for (std::uint32_t i = 0; i < body_.node_count(); ++i)
      for (ValueId v : body_.operands(body_.node({i}))) ++uses[v.index];
    for (const Graph::Result& r : body_.results) ++uses[r.value.index];
    return uses;
  }

  /// The number of the stacked result that is v.
  std::optional<std::size_t> stacked_result(ValueId v) const {
    for (const Graph::Result& r : body_.results)
      if (r.role == Role::stacked && r.value == v) return spec_.loop_count() + r.index;
    return std::nullopt;
  }

  /// Stacked results that nothing in the body reads, of what is stacked too.
  std::vector<Behind> hoist_behind(const std::vector<int>& uses) const {
    std::vector<Behind> out;
    for (const Graph::Result& r : body_.results) {
      const std::optional<Contraction> found = contraction(r.value);
      if (r.role != Role::stacked || !found || uses[r.value.index] != 1) continue;
      if (const std::optional<std::size_t> stacked = stacked_result(found->value))
        out.push_back({spec_.loop_count() + r.index, *stacked, *found});
    }
    return out;
  }

  std::vector<Total> find_totals(const std::vector<int>& uses) const {
    std::vector<Total> out;
    for (const Graph::Result& r : body_.results) {
      const Node& node = body_.producer(r.value);
      if (r.role != Role::loop || node.op != Op::add_) continue;
      for (const std::size_t k : {0U, 1U}) {
        const ValueId before = body_.operands(node)[k], term = body_.operands(node)[1 - k];
        const Graph::Parameter* loop = parameter(before, Role::loop);
        const Node& sum = body_.producer(term);
        if (!loop || loop->index != r.index || uses[before.index] != 1 || sum.op != Op::reduce_sum_) continue;
        if (const std::optional<std::size_t> stacked = stacked_result(body_.operands(sum)[0]))
          out.push_back({r.index, *stacked, std::get<ir::Integers>(sum.attributes[0])});
      }
    }
    return out;
  }

  ValueId sum_of(const Total& total, ValueId stacked) {
    ir::Integers axes = {0};
    for (std::int64_t axis : total.axes) axes.push_back(axis + 1);
    return b_.add(operands_[spec_.const_count() + total.loop], b_.reduce_sum(stacked, std::move(axes)));
  }

  /// The contraction of all turns: they are rows of their own, or more of the rows that there are.
  ValueId over_turns(const Contraction& c, ValueId sequence) {
    EinsumSpec spec = c.spec;
    const ValueId constant = operands_[parameter(c.constant, Role::constant)->index];
    const auto contract = [&](ValueId varying) {
      const ValueId operands[] = {c.varying == 0 ? varying : constant, c.varying == 0 ? constant : varying};
      return b_.einsum(spec.text(), operands);
    };
    if (!has_rows(c)) {
      spec.operands[c.varying].insert(0, 1, 't');
      spec.result.insert(0, 1, 't');
      return contract(sequence);
    }
    const ir::Shape shape = b_.type(sequence).shape;
    const ir::Shape rows = {shape[0], shape[1]};
    const auto merged = [](ir::Shape s) {
      s[1] = s[0] * s[1];
      s.erase(s.begin());
      return s;
    };
    const ValueId product = contract(b_.reshape(sequence, merged(shape)));
    ir::Shape result = b_.type(product).shape;
    result.erase(result.begin());
    result.insert(result.begin(), rows.begin(), rows.end());
    return b_.reshape(product, result);
  }

  Builder& b_;
  ir::Copier& copier_;
  const Node& node_;
  const ScanSpec spec_;
  const Graph& body_;
  std::vector<ValueId> operands_;  // of the scan, in the new graph
};

Graph hoisted(const Graph& graph) {
  return ir::rebuild(graph, [&](Builder& b, ir::Copier& copier, const Node& node) {
    return ir::body_of(node) && ScanHoister(b, copier, node).run();
  });
}

}  // namespace

ir::Program hoist_contractions(const ir::Program& program) {
  return ir::with_rewritten_graphs(program, hoisted);
}

}  // namespace mlpc::passes
