#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "compiler/autodiff/autodiff.h"
#include "compiler/autodiff/linearise.h"
#include "compiler/passes/passes.h"
#include "ir/builder.h"
#include "ir/error.h"
#include "ir/evaluate.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "tests/support/random_nodes.h"
#include "tests/support/tolerance.h"

// What every op owes, over the whole op table: an op is tested by existing.

namespace mlpc {
namespace {

using namespace ir;
using testing::Random;
using testing::RandomNode;
using testing::touches_extent;

constexpr std::size_t kCases = 20;                  // applications of each op
constexpr std::size_t kCasesOfBody = 60;            // of ops that run a body: each has another one
constexpr std::string_view kCotangent = "y_bar";    // names of the inputs that are cotangents begin so
constexpr std::int64_t kExtents[] = {0, 1, 7, 65};  // that an op with axes is tested at

std::int64_t no_dim(std::string_view) { return 0; }

/// The op inside a model: its float operands are parameters, and the loss is ⟨ȳ, y⟩ with ȳ an input.
struct Model {
  Program program;
  std::vector<HostTensor> operands;  // as `forward` takes them; ȳ after them
};

bool is_empty(const Type& type) { return type.element_count() == Dim(0); }

bool has_float_result(const RandomNode& node) {
  return std::ranges::any_of(node.results, [](const Type& t) { return is_float(t.element); });
}

ValueId inner_product(Builder& b, ValueId x, ValueId y) {
  Integers all(b.type(x).rank());
  std::iota(all.begin(), all.end(), 0);
  return b.reduce_sum(b.mul(x, y), all);
}

ValueId add_operand(Program& program, Graph& graph, const Type& type, std::string name) {
  if (is_float(type.element)) {
    program.params.push_back({name, type});
    return graph.add_parameter(name, type, Role::param,
                               static_cast<std::uint32_t>(program.params.size() - 1));
  }
  program.inputs.push_back({name, type});
  return graph.add_parameter(name, type, Role::input, static_cast<std::uint32_t>(program.inputs.size() - 1));
}

Program program_of(const RandomNode& node) {
  Program program;
  program.model = "m";
  program.element = ElementType::f64;
  program.target = "x86-64-v4";
  Graph graph;
  graph.name = "forward";
  Builder b(graph);
  std::vector<ValueId> operands;
  for (std::size_t k = 0; k < node.operands.size(); ++k)
    operands.push_back(
        add_operand(program, graph, node.operands[k], std::string(1, static_cast<char>('a' + k))));
  const Node made = graph.node(b.make(node.op, operands, node.attributes));
  ValueId loss = b.scalar(ElementType::f64, 0);
  for (std::uint32_t r = 0; r < made.result_count; ++r) {
    const ValueId y = Graph::result(made, r);
    graph.results.push_back({fmt::format("y{}", r), Role::output, 0, y});
    if (!is_float(graph.type(y).element)) continue;
    const auto index = static_cast<std::uint32_t>(program.inputs.size());
    program.inputs.push_back({fmt::format("{}{}", kCotangent, r), graph.type(y)});
    const ValueId bar = graph.add_parameter(program.inputs[index].name, graph.type(y), Role::input, index);
    const ValueId product =
        inner_product(b, b.convert(y, ElementType::f64), b.convert(bar, ElementType::f64));
    loss = b.add(loss, product);
  }
  graph.results.push_back({"loss", Role::loss_total, 0, loss});
  assign_offsets(program.params);
  program.graphs.push_back(std::move(graph));
  return program;
}

double dot(const HostTensor& a, const HostTensor& b) {
  return std::inner_product(a.values.begin(), a.values.end(), b.values.begin(), 0.0);
}

double magnitude(const HostTensor& a, const HostTensor& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.values.size(); ++i) sum += std::abs(a.values[i] * b.values[i]);
  return sum;
}

double sum_of_dots(const std::vector<HostTensor>& a, const std::vector<HostTensor>& b) {
  double sum = 0;
  for (std::size_t k = 0; k < a.size(); ++k) sum += dot(a[k], b[k]);
  return sum;
}

/// One application with values: its operands, a direction for each parameter, cotangents of its results.
class Case {
 public:
  Case(const RandomNode& node, Random& random) : program_(program_of(node)) {
    for (const TensorInfo& param : program_.params)
      directions_.push_back(testing::random_direction(param.type, random));
    draw(false, random);
    // Square roots, logarithms and powers want positive operands.
    if (!std::isfinite(loss_at(0))) draw(true, random);
  }

  const Program& program() const { return program_; }
  const std::vector<HostTensor>& directions() const { return directions_; }

  /// The values that a graph of the program takes, at x + t ẋ; loss_bar is 1.
  std::vector<HostTensor> arguments(const Graph& graph, double t) const {
    const std::vector<Graph::Parameter>& given = program_.graphs[0].parameters();
    std::vector<HostTensor> out;
    for (const Graph::Parameter& p : graph.parameters()) {
      if (p.role == Role::tangent) out.push_back(directions_[p.index]);
      if (p.role == Role::loss_bar) out.push_back({{}, {1}});
      if (p.role != Role::param && p.role != Role::input) continue;
      out.push_back(values_[static_cast<std::size_t>(
          std::ranges::find(given, p.name, &Graph::Parameter::name) - given.begin())]);
      if (p.role != Role::param) continue;
      for (std::size_t j = 0; j < out.back().values.size(); ++j)
        out.back().values[j] += t * directions_[p.index].values[j];
    }
    return out;
  }

  /// The same values, and composite ops written in others.
  Case expanded() const {
    Case out = *this;
    out.program_ = passes::expand_composites(program_);
    return out;
  }

  double loss_at(double t) const { return results_at(t).back().values[0]; }

  /// The op's results, then the loss.
  std::vector<HostTensor> results_at(double t) const {
    const Graph& forward = program_.graphs[0];
    return evaluate(forward, arguments(forward, t), no_dim);
  }

 private:
  void draw(bool is_positive, Random& random) {
    values_.clear();
    for (const Graph::Parameter& p : program_.graphs[0].parameters()) {
      const Type& type = program_.graphs[0].type(p.value);
      values_.push_back(p.name.starts_with(kCotangent)
                            ? testing::random_direction(type, random)
                            : testing::random_operand(type, values_.size(), is_positive, random));
    }
  }

  Program program_;
  std::vector<HostTensor> values_, directions_;
};

/// ẏ by the linear graph: its residuals come from the forward graph.
double pushed(const Case& c, const Program& linear) {
  const Graph& forward = *linear.find("forward");
  const std::vector<HostTensor> results = evaluate(forward, c.arguments(forward, 0), no_dim);
  std::vector<HostTensor> parameters;
  for (const Graph::Parameter& p : linear.find("linear")->parameters()) {
    if (p.role == Role::tangent) {
      parameters.push_back(c.directions()[p.index]);
      continue;
    }
    for (std::size_t i = 0; i < results.size(); ++i)
      if (forward.results[i].role == Role::residual && forward.results[i].index == p.index)
        parameters.push_back(results[i]);
  }
  const std::vector<HostTensor> out = evaluate(*linear.find("linear"), parameters, no_dim);
  return out.empty() ? 0 : out[0].values[0];
}

/// The results of role grad, at x + t ẋ.
std::vector<HostTensor> gradients(const Case& c, const Graph& grad, double t = 0) {
  const std::vector<HostTensor> results = evaluate(grad, c.arguments(grad, t), no_dim);
  std::vector<HostTensor> out(c.program().params.size());
  for (std::size_t i = 0; i < results.size(); ++i)
    if (grad.results[i].role == Role::grad) out[grad.results[i].index] = results[i];
  return out;
}

std::string without_comments(const Program& program) { return print(parse_program(print(program), "dump")); }

void check_round_trip(const Program& program) { CHECK(without_comments(program) == print(program)); }

double largest(const std::vector<double>& values) {
  double largest = 0;
  for (double x : values) largest = std::max(largest, std::abs(x));
  return largest;
}

/// ẏ of every result, entry by entry, is the difference quotient.
void check_tangents(const Case& c) {
  const Graph& forward = *c.program().find("forward");
  std::vector<std::size_t> params;
  for (std::size_t i = 0; i < forward.parameters().size(); ++i)
    if (forward.parameters()[i].role == Role::param) params.push_back(i);
  std::vector<bool> matters;
  for (const Graph::Result& r : forward.results) matters.push_back(is_float(forward.type(r.value).element));
  const Graph pushed = autodiff::push_forward(forward, params, matters);
  const std::vector<HostTensor> values = evaluate(pushed, c.arguments(pushed, 0), no_dim);
  std::vector<std::vector<HostTensor>> around;
  for (double t : {-2 * testing::kOpStep, -testing::kOpStep, testing::kOpStep, 2 * testing::kOpStep})
    around.push_back(c.results_at(t));
  std::size_t next = forward.results.size();
  for (std::size_t r = 0; r < forward.results.size(); ++r) {
    if (!matters[r]) continue;
    const std::vector<double>& tangent = values[next++].values;
    const auto y = [&](std::size_t point, std::size_t i) { return around[point][r].values[i]; };
    std::vector<double> quotient;
    for (std::size_t i = 0; i < tangent.size(); ++i)
      quotient.push_back(
          testing::five_point_difference(y(0, i), y(1, i), y(2, i), y(3, i), testing::kOpStep));
    const double size =
        std::max(largest(tangent), largest(quotient)) + testing::kShareOfValues * largest(values[r].values);
    for (std::size_t i = 0; i < tangent.size(); ++i)
      CHECK_MESSAGE(std::abs(tangent[i] - quotient[i]) <= testing::kOpDifference * size,
                    "entry " << i << ": " << tangent[i] << ", not " << quotient[i]);
  }
}

/// The derivatives of one application; `moves` says whether the op declares any.
void check_derivatives(const Case& c, bool moves) {
  const Program linear = autodiff::linearise(c.program());
  const Program jacobian = autodiff::transpose(linear);
  verify(linear);
  verify(jacobian);
  // A linear program that was read from its text gives the same jacobian.
  const Program read = autodiff::transpose(parse_program(print(linear), "dump"));
  CHECK(without_comments(read) == without_comments(jacobian));
  const double tangent = pushed(c, linear);
  if (moves)
    check_tangents(c);
  else
    CHECK(tangent == 0);
  const std::vector<HostTensor> grads = gradients(c, *jacobian.find("grad"));
  double scale = 0;
  for (std::size_t k = 0; k < grads.size(); ++k) scale += magnitude(grads[k], c.directions()[k]);
  CHECK(std::abs(sum_of_dots(grads, c.directions()) - tangent) <= testing::kAdjointTolerance * scale);
}

/// The gradient graph with the gradients' tangents, H ẋ, in the gradients' place.
Graph hessian_product(const Graph& grad) {
  std::vector<std::size_t> params;
  for (std::size_t i = 0; i < grad.parameters().size(); ++i)
    if (grad.parameters()[i].role == Role::param) params.push_back(i);
  std::vector<bool> is_gradient;
  for (const Graph::Result& r : grad.results) is_gradient.push_back(r.role == Role::grad);
  Graph product = autodiff::push_forward(grad, params, is_gradient);
  product.results.erase(product.results.begin(),
                        product.results.begin() + static_cast<std::ptrdiff_t>(grad.results.size()));
  return product;
}

void check_second_derivatives(const Case& c, Random& random) {
  const Program jacobian = autodiff::transpose(autodiff::linearise(c.program()));
  const Graph& grad = *jacobian.find("grad");
  std::vector<HostTensor> weights;
  for (const TensorInfo& param : c.program().params)
    weights.push_back(testing::random_direction(param.type, random));
  const double product = sum_of_dots(gradients(c, hessian_product(grad)), weights);
  const double expected = testing::five_point_difference(
      [&](double t) { return sum_of_dots(gradients(c, grad, t), weights); }, testing::kOpStep);
  CHECK(product == doctest::Approx(expected).epsilon(testing::kOpDifference).scale(1));
}

/// The op was applied at all the extents, if it has axes at all.
void check_extents(const std::vector<RandomNode>& nodes) {
  const auto has_extent = [&](std::int64_t extent) {
    return std::ranges::any_of(nodes, [&](const RandomNode& node) { return touches_extent(node, extent); });
  };
  const bool has_axes = std::ranges::any_of(nodes, [](const RandomNode& node) {
    return std::ranges::any_of(node.operands, [](const Type& t) { return t.rank() > 0; }) ||
           std::ranges::any_of(node.results, [](const Type& t) { return t.rank() > 0; });
  });
  if (!has_axes) return;
  for (std::int64_t extent : kExtents) CHECK_MESSAGE(has_extent(extent), "not applied at extent " << extent);
}

/// The record's derivatives of a composite op are those of the ops that it is written in, and no dearer.
void check_fused_derivatives(const Case& c) {
  const Case parts = c.expanded();
  const Program fused = autodiff::transpose(autodiff::linearise(c.program())),
                derived = autodiff::transpose(autodiff::linearise(parts.program()));
  const auto check_equal = [&](const Graph& a, const Graph& b) {
    const std::vector<HostTensor> x = gradients(c, a), y = gradients(parts, b);
    for (std::size_t k = 0; k < x.size(); ++k) {
      const double tolerance = testing::kFusedTolerance * (1 + largest(x[k].values));
      for (std::size_t i = 0; i < x[k].values.size(); ++i)
        CHECK(std::abs(x[k].values[i] - y[k].values[i]) <= tolerance);
    }
  };
  check_equal(*fused.find("grad"), *derived.find("grad"));
  check_equal(hessian_product(*fused.find("grad")), hessian_product(*derived.find("grad")));
  const auto node_count = [](const Program& program) {
    return passes::drop_unused(passes::expand_composites(program)).find("grad")->node_count();
  };
  CHECK(node_count(fused) <= node_count(derived));
}

std::string text_of(const RandomNode& node) {
  std::string text(def(node.op).name);
  for (const Type& type : node.operands) text += " " + type.text();
  return text;
}

void check_application(const RandomNode& node, Random& random) {
  INFO(text_of(node));
  const Case c(node, random);
  verify(c.program());
  check_round_trip(c.program());
  if (!has_float_result(node)) return;
  // The greatest of nothing is infinite, and does not move.
  const bool is_finite = std::isfinite(c.loss_at(0));
  CHECK((is_finite || is_empty(node.operands[0])));
  const bool moves = !std::holds_alternative<NotDifferentiable>(def(node.op).derivative);
  check_derivatives(c, moves && is_finite);
  if (!is_finite) return;
  check_second_derivatives(c, random);
  if (moves && std::holds_alternative<CompositeLowering>(def(node.op).lowering)) check_fused_derivatives(c);
}

TEST_CASE(
    "every op: its JVP is the difference quotient, its transpose the JVP's adjoint, and so is its "
    "derivative's") {
  for (Op op : all_ops()) {
    if (!def(op).reference) continue;
    Random random(static_cast<std::uint64_t>(op) + 1);
    const bool has_body = std::holds_alternative<ThroughBody>(def(op).derivative);
    const std::vector<RandomNode> nodes =
        testing::random_nodes(op, ElementType::f64, has_body ? kCasesOfBody : kCases, random);
    INFO(def(op).name);
    CHECK_MESSAGE(!nodes.empty(), "no application was found");
    if (!has_body) check_extents(nodes);
    for (const RandomNode& node : nodes) check_application(node, random);
  }
}

TEST_CASE("softmax_cross_entropy of classes: the contract, with labels that are none") {
  Random random(1);
  for (std::int64_t classes : {0, 1, 5, 7})
    for (const Shape& samples : {Shape{}, Shape{7}, Shape{2, 3}, Shape{65}, Shape{0}}) {
      RandomNode node{Op::softmax_cross_entropy_, {{ElementType::f64, samples}}, {}, {}};
      node.operands[0].shape.push_back(classes);
      for (ElementType ids : {ElementType::i32, ElementType::i64, ElementType::u8}) {
        node.operands.resize(1);
        node.operands.push_back({ids, samples});
        node.results = def(node.op).type_rule(node.operands, {});
        check_application(node, random);
      }
    }
}

}  // namespace
}  // namespace mlpc
