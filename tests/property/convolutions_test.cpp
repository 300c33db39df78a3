#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "compiler/passes/pipeline.h"
#include "ir/builder.h"
#include "ir/error.h"
#include "tests/support/compiled/compiled.h"
#include "tests/support/compiled/interpreted.h"
#include "tests/support/random_program.h"
#include "tests/support/tolerance.h"

// Convolutions and pooling, as a frontend writes them, with their gradients: what is compiled has the values
// of the graph before any rewrite, and the same bits at every level.

namespace mlpc {
namespace {

using namespace ir;
using testing::CompiledProgram;

const Dim kN = Dim::named(testing::kFreeDim);

struct Geometry {
  std::int64_t channels, outputs, extent, taps, stride = 1, dilation = 1, padding = 0;
  std::int64_t windows() const { return (extent + 2 * padding - dilation * (taps - 1) - 1) / stride + 1; }
  std::string text() const {
    return fmt::format("{} -> {} channels, {}², {} taps, stride {}, dilation {}, padding {}", channels,
                       outputs, extent, taps, stride, dilation, padding);
  }
};

ValueId windows_of(Builder& b, ValueId x, const Geometry& g) {
  const Shape extents = {g.windows(), g.taps};
  return b.window(b.window(x, 2, extents, g.stride, g.dilation), 4, extents, g.stride, g.dilation);
}

ValueId convolution(Builder& b, ValueId x, ValueId w, const Geometry& g) {
  const Shape around = {0, 0, g.padding, g.padding};
  const ValueId operands[] = {windows_of(b, b.pad(x, around, around), g), w};
  return b.einsum("ncaubv,ocuv->noab", operands);
}

ValueId sum_of_squares(Builder& b, ValueId x) { return b.reduce_sum(b.mul(x, x), {0, 1, 2, 3}); }

/// loss = Σ max-pooled² + Σ mean-pooled² of conv(x · s, w) + bias: gradients by s need the input's.
Program program_of(const Geometry& g, ElementType floats) {
  Program program;
  program.model = "m";
  program.element = floats;
  program.target = "x86-64-v4";
  program.dims = {testing::kFreeDim};
  program.inputs = {{"x", {floats, {kN, g.channels, g.extent, g.extent}}}};
  program.params = {{"w", {floats, {g.outputs, g.channels, g.taps, g.taps}}},
                    {"bias", {floats, {g.outputs}}},
                    {"s", {floats, {g.channels}}}};
  assign_offsets(program.params);
  Graph graph;
  graph.name = "forward";
  const ValueId x = graph.add_parameter("x", program.inputs[0].type, Role::input, 0);
  std::vector<ValueId> params;
  for (std::uint32_t i = 0; i < program.params.size(); ++i)
    params.push_back(graph.add_parameter(program.params[i].path, program.params[i].type, Role::param, i));
  Builder b(graph);
  const ValueId scaled = b.mul(x, b.broadcast(params[2], program.inputs[0].type.shape, {1}));
  const ValueId product = convolution(b, scaled, params[0], g);
  const ValueId y = b.add(product, b.broadcast(params[1], b.type(product).shape, {1}));
  ValueId loss = sum_of_squares(b, y);
  if (g.windows() >= 2) {
    const Geometry pool{g.outputs, g.outputs, g.windows(), 2, 2};
    const ValueId parts = windows_of(b, y, pool);
    loss = b.add(loss, sum_of_squares(b, b.value(Op::reduce_max_, {parts}, {Integers{3, 5}})));
    loss = b.add(loss, sum_of_squares(b, b.reduce_sum(parts, {3, 5})));
  }
  graph.results.push_back({"y", Role::output, 0, y});
  graph.results.push_back({"loss", Role::loss_total, 0, loss});
  program.graphs.push_back(std::move(graph));
  return program;
}

const Geometry kGeometries[] = {
    {.channels = 3, .outputs = 16, .extent = 8, .taps = 3, .padding = 1},
    {.channels = 16, .outputs = 20, .extent = 5, .taps = 3, .padding = 1},
    {.channels = 2, .outputs = 3, .extent = 9, .taps = 5, .padding = 2},
    {.channels = 3, .outputs = 8, .extent = 8, .taps = 3, .stride = 2, .padding = 1},
    {.channels = 8, .outputs = 9, .extent = 7, .taps = 1, .stride = 2},
    {.channels = 2, .outputs = 8, .extent = 7, .taps = 2, .stride = 3},
    {.channels = 9, .outputs = 2, .extent = 9, .taps = 3, .dilation = 2, .padding = 3},
    {.channels = 1, .outputs = 1, .extent = 3, .taps = 3},
};

const Graph& grad_of(const Program& program) { return *program.find("grad"); }

bool is_near(const HostTensor& a, const HostTensor& b) {
  double greatest = 1;
  for (double value : b.values) greatest = std::max(greatest, std::abs(value));
  const double bound = testing::kUnitsOfConvolution * testing::unit_of(ElementType::f64) * greatest;
  return std::ranges::equal(a.values, b.values, [&](double value, double expected) {
    return testing::agree(value, expected, bound);
  });
}

std::vector<HostTensor> run(const Program& joint, int level, std::int64_t extent) {
  return CompiledProgram(joint, level)
      .run("grad", testing::arguments_for(grad_of(joint), extent), {{testing::kFreeDim, extent}});
}

/// The result of that role and index in another stage's graph.
const HostTensor& same_result(const Graph& graph, const std::vector<HostTensor>& values,
                              const Graph::Result& r) {
  const auto found = std::ranges::find_if(
      graph.results, [&](const Graph::Result& s) { return s.role == r.role && s.index == r.index; });
  REQUIRE(found != graph.results.end());
  return values[static_cast<std::size_t>(found - graph.results.begin())];
}

TEST_CASE("convolutions, pooling and their gradients are those of the graph before it was rewritten") {
  for (const Geometry& g : kGeometries) {
    INFO(g.text());
    const Program program = program_of(g, ElementType::f64);
    const Graph jacobian = grad_of(passes::run_pipeline(program, Stage::jacobian));
    const Program joint = passes::run_pipeline(program, Stage::joint);
    const std::int64_t extent = 3;
    const std::vector<HostTensor> expected = evaluate(jacobian, testing::arguments_for(jacobian, extent),
                                                      [&](std::string_view) { return extent; });
    const std::vector<HostTensor> values = run(joint, 2, extent);
    for (std::size_t i = 0; i < values.size(); ++i) {
      const Graph::Result& result = grad_of(joint).results[i];
      INFO(result.name);
      CHECK(is_near(values[i], same_result(jacobian, expected, result)));
    }
  }
}

TEST_CASE("convolutions and their gradients have the same bits at every level") {
  for (const Geometry& g : kGeometries) {
    INFO(g.text());
    const Program joint = passes::run_pipeline(program_of(g, ElementType::f32), Stage::joint);
    const std::vector<HostTensor> tiled = run(joint, 2, 5);
    for (int level : {0, 1}) {
      const std::vector<HostTensor> values = run(joint, level, 5);
      for (std::size_t i = 0; i < values.size(); ++i) {
        INFO(level << " " << grad_of(joint).results[i].name);
        CHECK(values[i].values == tiled[i].values);
      }
    }
  }
}

TEST_CASE("the gradient by a convolution's input is a convolution: no tap's product is stored") {
  const auto count = [](const Graph& graph, Op op) {
    int found = 0;
    for (std::uint32_t i = 0; i < graph.node_count(); ++i) found += graph.node({i}).op == op;
    return found;
  };
  constexpr std::int64_t kImages = 16;  // in lanes, where the sum of a weight is one for each of them
  const auto count_of = [](const Type& type) {
    return type.element_count().evaluate([](std::string_view) { return kImages; }).value();
  };
  for (const Geometry& g : kGeometries) {
    INFO(g.text());
    const Graph grad = grad_of(passes::run_pipeline(program_of(g, ElementType::f32), Stage::joint));
    CHECK(count(grad, Op::fold_) == 0);
    // At strides, a few elements behind the last window are computed, too.
    const std::int64_t width = g.extent + 2 * g.padding + g.stride;
    const std::int64_t most = std::max(g.channels * width * width, g.outputs * g.channels * g.taps * g.taps);
    for (std::uint32_t i = 0; i < grad.node_count(); ++i)
      if (grad.node({i}).op == Op::einsum_)
        CHECK(count_of(grad.type(Graph::result(grad.node({i})))) <=
              kImages * std::max(most, g.outputs * width * width));
  }
}

/// What a product of two operands, made of inputs with these values, is at every level, run and interpreted.
template <typename MakeOperands>
void check_product(const std::string& spec, const std::vector<HostTensor>& inputs, MakeOperands make,
                   const HostTensor& expected) {
  Program program = testing::empty_program(ElementType::f64);
  Graph graph;
  graph.name = "infer";
  std::vector<ValueId> given;
  for (std::uint32_t i = 0; i < inputs.size(); ++i) {
    const std::string name = fmt::format("x{}", i);
    const Type type{ElementType::f64, Shape(inputs[i].shape.begin(), inputs[i].shape.end())};
    program.inputs.push_back({name, type});
    given.push_back(graph.add_parameter(name, type, Role::input, i));
  }
  Builder b(graph);
  const std::array<ValueId, 2> operands = make(b, given);
  graph.results.push_back({"y", Role::output, 0, b.einsum(spec, operands)});
  program.graphs.push_back(std::move(graph));
  for (const int level : {0, 1, 2}) {
    CHECK(testing::same_bits(CompiledProgram(program, level).run("infer", inputs), {expected}));
    CHECK(testing::same_bits(testing::InterpretedProgram(program, level).run("infer", inputs), {expected}));
  }
}

/// Found by tests/property/long.sh: the sum's clips keep one operand from the zeros, not the other one.
TEST_CASE("a pad that both operands of a product of windows read") {
  check_product("ab,bc->ac", {{{1}, {3}}},
                [](Builder& b, const std::vector<ValueId>& x) {
                  const ValueId padded = b.pad(x[0], Shape{0}, Shape{1});
                  return std::array{b.window(padded, 0, {2, 1}, 1, 1),
                                    b.value(Op::flip_, {b.reshape(padded, {1, 2})}, {Integers{0}})};
                },
                {{2, 2}, {9, 0, 0, 0}});
}

/// Found by tests/property/long.sh: b is summed over in both operands, c in the windows alone.
TEST_CASE("a product of windows, of which the other operand does not have all letters") {
  check_product("ba,bc->a", {{{2, 4}, {1, 2, 3, 4, 5, 6, 7, 8}}, {{4}, {1, 2, 3, 4}}},
                [](Builder& b, const std::vector<ValueId>& x) {
                  return std::array{x[0], b.window(x[1], 0, {2, 2}, 2, 1)};
                },
                {{4}, {38, 48, 58, 68}});
}

/// Found by tests/property/long.sh: the sum of the blocks that were there already was read once, before all.
TEST_CASE("a product of windows in blocks, whose operands have no letter of a tile") {
  check_product("abc,bc->a",
                {{{2, 44, 3}, std::vector<double>(264, 1)}, {{136}, std::vector<double>(136, 1)}},
                [](Builder& b, const std::vector<ValueId>& x) {
                  return std::array{x[0], b.window(x[1], 0, {44, 3}, 3, 2)};
                },
                {{2}, {132, 132}});
}

}  // namespace
}  // namespace mlpc
