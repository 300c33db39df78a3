#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "compiler/passes/pipeline.h"
#include "ir/builder.h"
#include "ir/error.h"
#include "tests/support/compiled/compiled.h"
#include "tests/support/tolerance.h"

// Elementwise ops, compiled, at zeros of both signs, denormals, infinities and NaN.

namespace mlpc {
namespace {

using namespace ir;
using testing::CompiledProgram;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kDenormal = std::numeric_limits<double>::denorm_min();
constexpr double kSpecials[] = {0.0,
                                -0.0,
                                1,
                                -1,
                                0.5,
                                -2,
                                3,
                                -7,
                                kInfinity,
                                -kInfinity,
                                std::numeric_limits<double>::quiet_NaN(),
                                1e300,
                                -1e300,
                                1e-300,
                                -1e-300,
                                kDenormal,
                                -kDenormal,
                                700,
                                -750};
constexpr auto kCount = static_cast<std::int64_t>(std::size(kSpecials) * std::size(kSpecials));

/// Zeros, infinities and NaN exactly; a zero has its sign.
bool is_right(double value, double expected) {
  if (expected == 0) return value == 0 && std::signbit(value) == std::signbit(expected);
  const double relative = testing::kUnitsOfFunction * testing::unit_of(ElementType::f64);
  return testing::agree(value, expected, relative * std::abs(expected) + testing::kBelowNormal);
}

/// All pairs of special values: the first, or the second.
HostTensor pairs(bool second) {
  HostTensor out{{kCount}, {}};
  for (double a : kSpecials)
    for (double b : kSpecials) out.values.push_back(second ? b : a);
  return out;
}

std::vector<Attribute> choices(AttributeSpec::Kind kind) {
  switch (kind) {
    case AttributeSpec::Kind::integer:
      return {std::int64_t{0}, std::int64_t{1},  std::int64_t{3},
              std::int64_t{4}, std::int64_t{-1}, std::int64_t{-2}};
    case AttributeSpec::Kind::element_type:
      return {ElementType::i32, ElementType::u8, ElementType::boolean, ElementType::f64};
    case AttributeSpec::Kind::constant:
      return {Constant::of(ElementType::f64, 0), Constant::of(ElementType::f64, -1.5),
              Constant::of(ElementType::f64, kInfinity)};
    default:
      return {};
  }
}

/// A model whose `infer` applies every elementwise op that takes f64, and an einsum that sums nothing up, to
/// the pairs; its results say which.
class Model {
 public:
  Model() {
    program_.model = "m";
    program_.element = ElementType::f64;
    program_.target = "x86-64-v4";
    Graph graph;
    graph.name = "infer";
    Builder b(graph);
    const Type type{ElementType::f64, {kCount}}, bools{ElementType::boolean, {kCount}};
    x_ = add_input(graph, "x", type, pairs(false));
    y_ = add_input(graph, "y", type, pairs(true));
    // The documented range of sine and cosine ends before 1e300.
    HostTensor small = pairs(false), condition = pairs(true);
    for (double& v : small.values)
      if (std::abs(v) > 1e6) v = kInfinity;
    for (double& v : condition.values) v = v > 0;
    small_ = add_input(graph, "small", type, small);
    condition_ = add_input(graph, "condition", bools, condition);
    for (Op op : all_ops()) add(b, op);
    const ValueId factors[] = {x_, y_};
    graph.results.push_back({"einsum", Role::output, 0, b.einsum("a,a->a", factors)});
    program_.graphs.push_back(std::move(graph));
  }

  const Program& program() const { return program_; }
  const std::vector<HostTensor>& arguments() const { return arguments_; }

 private:
  ValueId add_input(Graph& graph, const std::string& name, const Type& type, HostTensor value) {
    program_.inputs.push_back({name, type});
    arguments_.push_back(std::move(value));
    return graph.add_parameter(name, type, Role::input,
                               static_cast<std::uint32_t>(program_.inputs.size() - 1));
  }

  void add(Builder& b, Op op) {
    const OpDef& record = def(op);
    if (!std::holds_alternative<ElementwiseLowering>(record.lowering)) return;
    std::vector<ValueId> operands = {op == Op::sin_ || op == Op::cos_ ? small_ : x_, y_};
    operands.resize(std::min<std::size_t>(record.arity, 2));
    if (op == Op::where_) operands.insert(operands.begin(), condition_);
    if (record.attributes.empty()) return apply(b, op, operands, {});
    for (const Attribute& choice : choices(record.attributes[0].kind)) apply(b, op, operands, {choice});
  }

  static void apply(Builder& b, Op op, const std::vector<ValueId>& operands, const Attributes& attributes) {
    try {
      const ValueId y = Graph::result(b.graph().node(b.make(op, operands, attributes)));
      b.graph().results.push_back(
          {fmt::format("{} {}", def(op).name, b.graph().results.size()), Role::output, 0, y});
    } catch (const Error&) {  // it takes no f64
    }
  }

  Program program_;
  std::vector<HostTensor> arguments_;
  ValueId x_, y_, small_, condition_;
};

TEST_CASE("elementwise ops have the reference's zeros, denormals, infinities and NaNs") {
  const Model model;
  const Graph& graph = model.program().graphs[0];
  CHECK(graph.results.size() > 50);
  const Program joint = passes::run_pipeline(model.program(), Stage::joint);
  const std::vector<HostTensor> values = CompiledProgram(joint, 2).run("infer", model.arguments());
  const std::vector<HostTensor> expected =
      evaluate(graph, model.arguments(), [](std::string_view) { return std::int64_t{0}; });
  for (std::size_t r = 0; r < values.size(); ++r)
    for (std::size_t i = 0; i < values[r].values.size(); ++i)
      CHECK_MESSAGE(is_right(values[r].values[i], expected[r].values[i]),
                    graph.results[r].name << " of " << model.arguments()[0].values[i] << ", "
                                          << model.arguments()[1].values[i] << ": " << values[r].values[i]
                                          << ", not " << expected[r].values[i]);
}

}  // namespace
}  // namespace mlpc
