#include "tests/support/random_program.h"

#include <algorithm>
#include <numeric>

#include "ir/builder.h"
#include "ir/error.h"

namespace mlpc::testing {
namespace {

using namespace ir;

constexpr std::int64_t kMostElements = 64;  // of a value
constexpr std::size_t kMostParameters = 64;
constexpr std::size_t kTrials = 64;  // for one more node

class ProgramMaker {
 public:
  explicit ProgramMaker(Random& random) : random_(random) {
    program_.model = "m";
    program_.element = ElementType::f64;
    program_.target = "x86-64-v4";
  }

  Program run(std::size_t node_count) {
    forward(node_count);
    assign_offsets(program_.params);
    program_.slots = program_.params;
    for (TensorInfo& slot : program_.slots) slot.path = "m/" + slot.path;
    update();
    return std::move(program_);
  }

 private:
  void forward(std::size_t node_count) {
    Graph graph;
    graph.name = "forward";
    Builder b(graph);
    const Shape shapes[] = {{2, 3}, {3, 2}, {3}, {2, 3}, {}};
    for (std::uint32_t i = 0; i < std::size(shapes); ++i) {
      const Type type{ElementType::f64, shapes[i]};
      program_.params.push_back({fmt::format("p{}", i), type});
      graph.add_parameter(program_.params[i].path, type, Role::param, i);
    }
    program_.inputs = {{"x", {ElementType::f64, {2, 3}}}, {"labels", {ElementType::i32, {2}}}};
    program_.state = {{"s", {ElementType::f64, {3}}}};
    for (std::uint32_t i = 0; i < program_.inputs.size(); ++i)
      graph.add_parameter(program_.inputs[i].name, program_.inputs[i].type, Role::input, i);
    graph.add_parameter("s", program_.state[0].type, Role::state);
    graph.add_parameter("seed", {ElementType::i64, {}}, Role::seed);
    graph.add_parameter("step", {ElementType::i64, {}}, Role::step);
    for (std::size_t i = 0; i < node_count; ++i) add_node(b);
    add_results(b);
    program_.graphs.push_back(std::move(graph));
  }

  ValueId any_value(const Graph& graph) {
    // Late values more often: deep graphs.
    const std::size_t count = graph.value_count();
    const std::size_t at = random_.chance(0.5) ? random_.below(count)
                                               : count - 1 - random_.below(std::min<std::size_t>(count, 8));
    return {static_cast<std::uint32_t>(at)};
  }

  void add_node(Builder& b) {
    for (std::size_t trial = 0; trial < kTrials; ++trial) {
      const Op op = all_ops()[random_.below(all_ops().size())];
      if (!def(op).reference) continue;
      const std::size_t arity = def(op).arity == kAnyArity ? 1 + random_.below(3) : def(op).arity;
      std::vector<ValueId> operands;
      std::vector<Type> types;
      for (std::size_t k = 0; k < arity; ++k) {
        operands.push_back(any_value(b.graph()));
        types.push_back(b.type(operands.back()));
      }
      const Attributes attributes = random_attributes(op, types, ElementType::f64, random_);
      try {
        for (const Type& type : def(op).type_rule(types, attributes))
          if (type.element_count().constant().value() > kMostElements) throw Error("large");
        const ValueId made = Graph::result(b.graph().node(b.make(op, operands, attributes)));
        b.graph().name_value(made, fmt::format("v{}", made.index));
        return;
      } catch (const Error&) {  // these operands do not fit
      }
    }
  }

  /// A scalar that grows slowly in all float values of the graph.
  ValueId sum_of_values(Builder& b) {
    ValueId total = b.scalar(ElementType::f64, 0);
    const std::size_t count = b.graph().value_count();
    for (std::uint32_t i = 0; i < count; ++i) {
      const Type type = b.type({i});
      if (type.element != ElementType::f64) continue;
      Integers all(type.rank());
      std::iota(all.begin(), all.end(), 0);
      total = b.add(total, b.reduce_sum(b.value(Op::tanh_, {ValueId{i}}), all));
    }
    return total;
  }

  void add_results(Builder& b) {
    Graph& graph = b.graph();
    const ValueId state = graph.parameters()[program_.params.size() + program_.inputs.size()].value;
    const ValueId output{static_cast<std::uint32_t>(graph.value_count() - 1)};
    const ValueId loss = sum_of_values(b);
    graph.results.push_back({"out", Role::output, 0, output});
    graph.results.push_back({"s", Role::state, 0, b.mul(state, b.full(b.type(state), 0.5))});
    graph.results.push_back({"loss", Role::loss_total, 0, loss});
    graph.results.push_back({"metric", Role::metric, 0, b.neg(loss)});
  }

  /// slot ← slot/2 + grad; param ← param - slot/8
  void update() {
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
    program_.graphs.push_back(std::move(graph));
  }

  Random& random_;
  Program program_;
};

}  // namespace

Program random_program(std::size_t node_count, Random& random) {
  return ProgramMaker(random).run(node_count);
}

std::vector<HostTensor> arguments_for(const Graph& graph, std::uint64_t seed) {
  std::vector<HostTensor> out;
  for (const Graph::Parameter& p : graph.parameters()) {
    Random random(seed + 1000 * static_cast<std::uint64_t>(p.role) + p.index);
    random.next();
    out.push_back(random_operand(graph.type(p.value), p.index, kMostParameters, false, random));
    if (p.role == Role::accumulate) out.back().values[0] = 0;
    if (p.role == Role::loss_bar) out.back().values[0] = 1;
  }
  return out;
}

}  // namespace mlpc::testing
