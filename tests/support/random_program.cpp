#include "tests/support/random_program.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <set>

#include "ir/builder.h"
#include "ir/error.h"
#include "ir/prune.h"
#include "tests/support/tame.h"

namespace mlpc::testing {
namespace {

using namespace ir;

constexpr std::int64_t kMostElements = 1000;  // of a value, at the greatest extent
constexpr std::size_t kTrials = 48;           // of operands and attributes, for one op
constexpr std::size_t kOpsTried = 16;         // for one more node
constexpr std::size_t kPairsTried = 8;        // of lowerings, for a node that makes a rare one
constexpr std::size_t kOperandsTried = 8;     // for one of the type that others have
constexpr double kTrialWeight = 0.004;        // of a pair that a node was sought for, in pairs that there are
constexpr double kPairChance = 0.6;           // that a node is drawn for the pair it makes

Type concrete(Type type, const std::function<std::int64_t(std::string_view)>& value_of) {
  for (Dim& dim : type.shape) dim = dim.evaluate(value_of).value();
  return type;
}

Type concrete(Type type, std::int64_t extent) {
  return concrete(std::move(type), [&](std::string_view) { return extent; });
}

/// Throws mlpc::Error where the op does not take such operands at that extent.
void check_at(Op op, std::vector<Type> operands, Attributes attributes, std::int64_t extent) {
  for (Type& type : operands) type = concrete(std::move(type), extent);
  for (Attribute& attribute : attributes)
    if (auto* shape = std::get_if<Shape>(&attribute)) *shape = concrete({{}, *shape}, extent).shape;
  for (const Type& type : def(op).type_rule(operands, attributes))
    for (const Dim& dim : type.shape)
      if (*dim.constant() < 0) throw Error("a negative extent");
}

class ProgramMaker {
 public:
  ProgramMaker(ElementType floats, Random& random, DrawCounts& counts)
      : floats_(floats), random_(random), counts_(counts) {
    program_.model = "m";
    program_.element = floats;
    program_.target = "x86-64-v4";
    program_.dims = {kFreeDim};
  }

  Program run(std::size_t node_count) {
    Graph forward = make_forward(node_count);
    assign_offsets(program_.params);
    program_.slots = program_.params;
    for (TensorInfo& slot : program_.slots) slot.path = "m/" + slot.path;
    Program out = with_forward(program_, std::move(forward));
    out.graphs.push_back(make_update());
    return out;
  }

 private:
  Graph make_forward(std::size_t node_count) {
    Graph graph;
    graph.name = "forward";
    Builder b(graph);
    add_parameters(graph);
    std::vector<std::int64_t> extents = {0};
    extents.insert(extents.end(), std::begin(kFreeExtents), std::end(kFreeExtents));
    for (std::int64_t extent : extents) {
      tame_.emplace_back(extent);
      const std::vector<HostTensor> arguments = arguments_for(graph, extent);
      for (const HostTensor& value : arguments) tame_.back().push(value);
    }
    for (std::size_t i = 0; i < node_count; ++i) add_node(b);
    add_results(b);
    return graph;
  }

  void add_parameters(Graph& graph) {
    const Shape shapes[] = {{2, 3}, {3, 2}, {3}, {7}, {}};
    for (std::uint32_t i = 0; i < std::size(shapes); ++i) {
      program_.params.push_back({fmt::format("p{}", i), {floats_, shapes[i]}});
      graph.add_parameter(program_.params[i].path, program_.params[i].type, Role::param, i);
    }
    const Dim n = Dim::named(kFreeDim);
    program_.inputs = {{"x", {floats_, {n, 3}}},
                       {"y", {floats_, {2, n}}},
                       {"z", {floats_, {n}}},
                       {"labels", {ElementType::i32, {n}}},
                       {"one_label", {ElementType::i32, {2}}}};
    for (std::uint32_t i = 0; i < program_.inputs.size(); ++i)
      graph.add_parameter(program_.inputs[i].name, program_.inputs[i].type, Role::input, i);
    program_.state = {{"s", {floats_, {3}}}};
    graph.add_parameter("s", program_.state[0].type, Role::state);
    for (Role role : {Role::seed, Role::step, Role::row_offset})
      graph.add_parameter(std::string(name_of(role)), {ElementType::i64, {}}, role);
  }

  ValueId any_value(const Graph& graph) {
    // Late values more often: deep graphs.
    const std::size_t count = graph.value_count();
    const std::size_t at = random_.chance(0.5) ? random_.below(count)
                                               : count - 1 - random_.below(std::min<std::size_t>(count, 8));
    return {static_cast<std::uint32_t>(at)};
  }

  /// Of the same type, where one is found soon.
  ValueId value_like(const Graph& graph, ValueId one) {
    ValueId v = any_value(graph);
    for (std::size_t i = 0; i < kOperandsTried && graph.type(v) != graph.type(one); ++i) v = any_value(graph);
    return v;
  }

  static std::size_t kind_of(Op op) { return def(op).lowering.index(); }

  /// The ops, those that were applied least first.
  std::vector<Op> ops_by_need() {
    std::vector<std::pair<double, Op>> order;
    for (Op op : all_ops())
      if (is_drawn(op)) order.emplace_back(static_cast<double>(counts_.ops[op]) + 4 * random_.real(), op);
    std::ranges::sort(order, {}, &std::pair<double, Op>::first);
    std::vector<Op> ops;
    for (const auto& [need, op] : order) ops.push_back(op);
    ops.resize(std::min(ops.size(), kOpsTried));
    return ops;
  }

  /// Low for pairs that met seldom; some never do, by type.
  double need_of(std::pair<std::size_t, std::size_t> pair) {
    return static_cast<double>(counts_.pairs[pair]) +
           kTrialWeight * static_cast<double>(counts_.trials[pair]) + random_.real();
  }

  /// Kinds of lowering of values that are there and of ops, with how often they met; the rarest first.
  std::vector<std::pair<std::size_t, std::size_t>> pairs_by_need(const Graph& graph) {
    std::set<std::size_t> producers, consumers;
    for (std::uint32_t i = 0; i < graph.value_count(); ++i)
      if (reaches_kernels(graph.producer({i}).op)) producers.insert(kind_of(graph.producer({i}).op));
    for (Op op : all_ops())
      if (reaches_kernels(op) && def(op).arity > 0) consumers.insert(kind_of(op));
    std::vector<std::pair<double, std::pair<std::size_t, std::size_t>>> order;
    for (std::size_t producer : producers)
      for (std::size_t consumer : consumers)
        if (may_meet(producer, consumer))
          order.push_back({need_of({producer, consumer}), {producer, consumer}});
    std::ranges::sort(order);
    order.resize(std::min(order.size(), kPairsTried));
    std::vector<std::pair<std::size_t, std::size_t>> pairs;
    for (const auto& [need, pair] : order) pairs.push_back(pair);
    return pairs;
  }

  static std::vector<Op> ops_of(std::size_t kind, std::uint32_t least_arity) {
    std::vector<Op> ops;
    for (Op op : all_ops())
      if (reaches_kernels(op) && kind_of(op) == kind && def(op).arity >= least_arity) ops.push_back(op);
    return ops;
  }

  template <typename Accepts>
  static std::vector<ValueId> values_where(const Graph& graph, Accepts accepts) {
    std::vector<ValueId> values;
    for (std::uint32_t i = 0; i < graph.value_count(); ++i)
      if (accepts(ValueId{i})) values.push_back({i});
    return values;
  }

  /// A node of one of the ops that reads one of the values, and has a result of the type that is wanted.
  bool try_nodes(Builder& b, const std::vector<Op>& ops, const std::vector<ValueId>& values,
                 const std::optional<Type>& wanted = std::nullopt) {
    if (ops.empty() || values.empty()) return false;
    for (std::size_t trial = 0; trial < kTrials; ++trial)
      if (try_node(b, ops[random_.below(ops.size())], values[random_.below(values.size())], wanted))
        return true;
    return false;
  }

  /// A node that reads a value so that a rare pair of lowerings meets. Random numbers read scalars of i64,
  /// which are few: where there is none of the kind, one is made first.
  bool add_rare_pair(Builder& b) {
    const Graph& graph = b.graph();
    for (const auto& [producer, consumer] : pairs_by_need(graph)) {
      ++counts_.trials[{producer, consumer}];
      const std::vector<Op> ops = ops_of(consumer, 1);
      const auto is_made_by = [&](ValueId v) { return kind_of(graph.producer(v).op) == producer; };
      if (try_nodes(b, ops, values_where(graph, is_made_by))) return true;
      if (consumer != OpLowering(SourceLowering{}).index()) continue;
      const Type seed{ElementType::i64, {}};
      const auto is_integer = [&](ValueId v) { return graph.type(v).element == seed.element; };
      const std::size_t before = graph.value_count();
      if (!try_nodes(b, ops_of(producer, 0), values_where(graph, is_integer), seed)) continue;
      if (try_nodes(b, ops, values_where(graph, [&](ValueId v) { return v.index >= before; }))) return true;
    }
    return false;
  }

  void add_node(Builder& b) {
    if (random_.chance(kPairChance) && add_rare_pair(b)) return;
    for (Op op : ops_by_need())
      for (std::size_t trial = 0; trial < kTrials; ++trial)
        if (try_node(b, op, any_value(b.graph()))) return;
  }

  /// Applies the op to `one` and other values, where it fits, is tame, and has a result of the type that is
  /// wanted.
  bool try_node(Builder& b, Op op, ValueId one, const std::optional<Type>& wanted = std::nullopt) {
    const bool is_fixed = def(op).arity < kArityOfBody;
    const std::size_t arity = is_fixed ? def(op).arity : 1 + random_.below(3);
    std::vector<ValueId> operands;
    std::vector<Type> types;
    const bool is_uniform = random_.chance(0.5);
    for (std::size_t k = 0; k < arity; ++k)
      operands.push_back(is_uniform ? value_like(b.graph(), one) : any_value(b.graph()));
    if (arity > 0) operands[random_.below(arity)] = one;
    for (ValueId v : operands) types.push_back(b.type(v));
    Attributes attributes;
    try {
      attributes = random_attributes(op, types, floats_, random_);
      const std::vector<Type> results = def(op).type_rule(types, attributes);
      if (wanted && std::ranges::find(results, *wanted) == results.end()) return false;
      check_at(op, types, attributes, 0);
      for (std::int64_t extent : kFreeExtents) check_at(op, types, attributes, extent);
      for (const Type& type : results)
        for (std::int64_t extent : kFreeExtents)
          if (count_of(concrete(type, extent)) > kMostElements) return false;
      for (TameValues& values : tame_)
        if (!values.try_node(op, operands, types, attributes, results, random_)) return false;
    } catch (const Error&) {
      return false;  // these operands do not fit
    }
    const std::size_t before = b.graph().value_count();
    const Node made = b.graph().node(b.make(op, operands, attributes));
    if (b.graph().value_count() == before) return false;  // it is there already
    for (TameValues& values : tame_) values.accept();
    ++counts_.ops[op];
    for (ValueId v : operands) ++counts_.pairs[{kind_of(b.graph().producer(v).op), kind_of(op)}];
    for (std::uint32_t r = 0; r < made.result_count; ++r) {
      const ValueId v = Graph::result(made, r);
      b.graph().name_value(v, fmt::format("v{}", v.index));
    }
    return true;
  }

  static std::int64_t count_of(const Type& type) {
    std::int64_t count = 1;
    for (const Dim& dim : type.shape) {
      count *= dim.constant().value();
    }
    return count;
  }

  /// Σ tanh over all floats that no op reads: it grows slowly, and what they come from matters through them
  /// alone.
  ValueId sum_of_ends(Builder& b) {
    std::vector<bool> is_read(b.graph().value_count(), false);
    for (std::uint32_t i = 0; i < b.graph().node_count(); ++i)
      for (ValueId v : b.graph().operands(b.graph().node({i}))) is_read[v.index] = true;
    ValueId total = b.scalar(floats_, 0);
    for (std::uint32_t i = 0; i < is_read.size(); ++i) {
      const Type type = b.type({i});
      if (is_read[i] || !is_float(type.element)) continue;
      Integers all(type.rank());
      std::iota(all.begin(), all.end(), 0);
      const ValueId sum = b.reduce_sum(b.value(Op::tanh_, {ValueId{i}}), all);
      total = b.add(total, type.element == floats_ ? sum : b.convert(sum, floats_));
    }
    return total;
  }

  void add_results(Builder& b) {
    Graph& graph = b.graph();
    const auto state = std::ranges::find(graph.parameters(), Role::state, &Graph::Parameter::role);
    const ValueId state_value = state->value;
    ValueId output{static_cast<std::uint32_t>(graph.value_count() - 1)};
    while (!has_table_form(b.type(output))) --output.index;
    const ValueId loss = sum_of_ends(b);
    graph.results.push_back({"out", Role::output, 0, output});
    graph.results.push_back({"s", Role::state, 0, b.mul(state_value, b.full(b.type(state_value), 0.5))});
    graph.results.push_back({"loss", Role::loss_total, 0, loss});
    graph.results.push_back({"metric", Role::metric, 0, b.neg(loss)});
  }

  /// slot ← slot/2 + grad; param ← param - slot/8
  Graph make_update() {
    Graph graph;
    graph.name = "update";
    Builder b(graph);
    for (std::uint32_t i = 0; i < program_.params.size(); ++i) {
      const TensorInfo& p = program_.params[i];
      const ValueId param = graph.add_parameter(p.path, p.type, Role::param, i);
      const ValueId slot = graph.add_parameter("m/" + p.path, p.type, Role::slot, i);
      const ValueId grad = graph.add_parameter(p.path + ".grad", p.type, Role::grad, i);
      const ValueId moved = b.add(b.mul(slot, b.full(p.type, 0.5)), grad);
      graph.results.push_back({p.path, Role::param, i, b.sub(param, b.mul(moved, b.full(p.type, 0.125)))});
      graph.results.push_back({"m/" + p.path, Role::slot, i, moved});
    }
    return graph;
  }

  const ElementType floats_;
  Random& random_;
  DrawCounts& counts_;
  Program program_;
  std::vector<TameValues> tame_;  // by extent of the free dim: 0, then kFreeExtents
};

}  // namespace

bool has_table_form(const Type& type) {
  return std::ranges::all_of(
      type.shape, [](const Dim& extent) { return extent.is_constant() || extent == Dim::named(kFreeDim); });
}

bool reaches_kernels(Op op) {
  const OpLowering& lowering = def(op).lowering;
  return is_drawn(op) && !std::holds_alternative<CompositeLowering>(lowering) &&
         !std::holds_alternative<std::monostate>(lowering);
}

bool may_meet(std::size_t producer, std::size_t consumer) {
  if (consumer != OpLowering(SourceLowering{}).index()) return true;
  return producer != OpLowering(ContractionLowering{}).index() &&
         producer != OpLowering(FoldLowering{}).index() &&
         producer != OpLowering(ScatterLowering{}).index() &&
         producer != OpLowering(CumulativeLowering{}).index();
}

bool is_drawn(Op op) { return def(op).reference != nullptr; }

Program random_program(std::size_t node_count, ElementType floats, Random& random, DrawCounts& counts) {
  return ProgramMaker(floats, random, counts).run(node_count);
}

Program random_program(std::size_t node_count, Random& random) {
  DrawCounts counts;
  return random_program(node_count, ElementType::f64, random, counts);
}

Program with_forward(Program program, Graph forward) {
  std::erase_if(program.graphs, [](const Graph& g) { return g.name == "loss" || g.name == "forward"; });
  Graph loss = forward;
  loss.name = "loss";
  std::erase_if(loss.results, [](const Graph::Result& r) { return r.role == Role::state; });
  program.graphs.insert(program.graphs.begin(), {pruned(loss), std::move(forward)});
  return program;
}

std::vector<HostTensor> arguments_for(const Graph& graph, std::int64_t extent) {
  return arguments_for(graph, [&](std::string_view) { return extent; });
}

std::vector<HostTensor> arguments_for(const Graph& graph,
                                      const std::function<std::int64_t(std::string_view)>& value_of) {
  std::vector<HostTensor> out;
  for (const Graph::Parameter& p : graph.parameters()) {
    Random random(1000 * static_cast<std::uint64_t>(p.role) + p.index);
    random.next();
    out.push_back(random_operand(concrete(graph.type(p.value), value_of), p.index, false, random));
    if (p.role == Role::accumulate) out.back().values[0] = 0;
    if (p.role == Role::loss_bar) out.back().values[0] = 1;
  }
  return out;
}

}  // namespace mlpc::testing
