#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <limits>

#include "compiler/passes/pipeline.h"
#include "ir/builder.h"
#include "ir/text.h"
#include "tests/support/compiled/compiled.h"
#include "tests/support/compiled/interpreted.h"
#include "tests/support/random_nodes.h"
#include "tests/support/tolerance.h"

// Every op, compiled, against its f64 reference.

namespace mlpc {
namespace {

using namespace ir;
using testing::CompiledProgram;
using testing::empty_program;
using testing::Random;
using testing::RandomNode;
using testing::same_bits;

constexpr std::size_t kCases = 12;  // applications of each op, all in one model

std::int64_t no_dim(std::string_view) { return 0; }

/// One model whose `infer` computes all these applications.
struct Model {
  Program program;
  std::vector<HostTensor> arguments;
};

void add_node(Model& model, Graph& graph, const RandomNode& node, Random& random) {
  std::vector<ValueId> operands;
  for (std::size_t k = 0; k < node.operands.size(); ++k) {
    const auto index = static_cast<std::uint32_t>(model.program.inputs.size());
    model.program.inputs.push_back({fmt::format("x{}", index), node.operands[k]});
    operands.push_back(graph.add_parameter(fmt::format("x{}", index), node.operands[k], Role::input, index));
    model.arguments.push_back(testing::random_operand(node.operands[k], k, random.chance(0.5), random));
    if (node.operands[k].element == ElementType::f32)  // what f32 holds
      for (double& x : model.arguments.back().values) x = static_cast<float>(x);
  }
  Builder b(graph);
  const Node made = graph.node(b.make(node.op, operands, node.attributes));
  for (std::uint32_t r = 0; r < made.result_count; ++r)
    graph.results.push_back(
        {fmt::format("y{}", graph.results.size()), Role::output, 0, Graph::result(made, r)});
}

Model model_of(Op op, ElementType floats, Random& random) {
  Model model{empty_program(floats), {}};
  Graph graph;
  graph.name = "infer";
  for (const RandomNode& node : testing::random_nodes(op, floats, kCases, random))
    add_node(model, graph, node, random);
  model.program.graphs.push_back(std::move(graph));
  return model;
}

void check_close(const Graph& graph, const std::vector<HostTensor>& values,
                 const std::vector<HostTensor>& expected) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Type& type = graph.type(graph.results[i].value);
    const double error = testing::kUnitsOfOp * testing::unit_of(type.element);
    for (std::size_t j = 0; j < expected[i].values.size(); ++j)
      CHECK_MESSAGE(testing::agree(values[i].values[j], expected[i].values[j],
                                   error * std::max(1.0, std::abs(expected[i].values[j]))),
                    type.text() << " element " << j << ": " << values[i].values[j] << ", not "
                                << expected[i].values[j]);
  }
}

void check_op(Op op, ElementType floats) {
  INFO(def(op).name);
  Random random(static_cast<std::uint64_t>(op) + 100);
  const Model model = model_of(op, floats, random);
  const Program joint = passes::run_pipeline(model.program, Stage::joint);
  const Graph& graph = *model.program.find("infer");
  std::vector<HostTensor> arguments;  // a scan may not need all of them
  for (const Graph::Parameter& p : joint.find("infer")->parameters())
    arguments.push_back(model.arguments[p.index]);
  const std::vector<HostTensor> fused = CompiledProgram(joint, 2).run("infer", arguments);
  check_close(graph, fused, evaluate(graph, model.arguments, no_dim));
  CHECK(same_bits(CompiledProgram(joint, 0).run("infer", arguments), fused));
}

TEST_CASE("every op compiled in f32 is its reference, and has the same bits unfused") {
  for (Op op : all_ops())
    if (def(op).reference) check_op(op, ElementType::f32);
}

TEST_CASE("every op compiled in f64 is its reference, and has the same bits unfused") {
  for (Op op : all_ops())
    if (def(op).reference) check_op(op, ElementType::f64);
}

TEST_CASE(
    "softmax_cross_entropy of large logits keeps its digits, and a class that has no weight may be "
    "impossible") {
  const Program program = parse_program(R"(mlpc.graph 1 graph
model m : f32
source ""
target "x86-64-v4"
input "z" : f32[2, 3]
input "q" : f32[2, 3]
input "y" : i32[2]
train "{}"
graph infer {
  %z = parameter input 0 "z" : f32[2, 3]
  %q = parameter input 1 "q" : f32[2, 3]
  %y = parameter input 2 "y" : i32[2]
  %a, %log_p = softmax_cross_entropy(%z, %q) : f32[2], f32[2, 3]
  %b, %same = softmax_cross_entropy(%z, %y) : f32[2], f32[2, 3]
  return output 0 "a" %a
  return output 0 "b" %b
}
)",
                                        "text");
  const Program joint = passes::run_pipeline(program, Stage::joint);
  const std::vector<HostTensor> results =
      CompiledProgram(joint, 2).run("infer", {{{2, 3}, {16384, 16385, -HUGE_VAL, 1e30, 0, -HUGE_VAL}},
                                              {{2, 3}, {0.75, 0.25, 0, 1, 0, 0}},
                                              {{2}, {1, 0}}});
  const double error = testing::kUnitsOfCrossEntropy * testing::unit_of(ElementType::f32);
  const double log_sum = std::log1p(std::exp(-1.0));  // beside the larger logit
  CHECK(std::abs(results[0].values[0] - (log_sum + 0.75)) <= error);
  CHECK(std::abs(results[1].values[0] - log_sum) <= error);
  CHECK(results[0].values[1] == 0);
  CHECK(results[1].values[1] == 0);
}

/// What the entry `infer` gives for an input: interpreted and compiled, at every level.
std::vector<std::vector<HostTensor>> all_runs(const Program& program, const HostTensor& x) {
  std::vector<std::vector<HostTensor>> results;
  for (const int level : {0, 1, 2}) {
    results.push_back(testing::InterpretedProgram(program, level).run("infer", {x}));
    results.push_back(CompiledProgram(program, level).run("infer", {x}));
  }
  return results;
}

/// Found by tests/property/long.sh.
TEST_CASE("integers that a narrower type does not hold become its ends") {
  const Program program = parse_program(R"(mlpc.graph 1 joint
model m : f64
source ""
target "x86-64-v4"
input "x" : i64[6]
train "{}"
graph infer {
  %x = parameter input 0 "x" : i64[6]
  %i = convert(%x; to=i32) : i32[6]
  %u = convert(%x; to=u8) : u8[6]
  %v = convert(%i; to=u8) : u8[6]
  %b = convert(%x; to=bool) : bool[6]
  return output 0 "i" %i
  return output 1 "u" %u
  return output 2 "v" %v
  return output 3 "b" %b
}
)",
                                        "text");
  const double least = std::numeric_limits<std::int32_t>::min(),
               most = std::numeric_limits<std::int32_t>::max();
  const HostTensor x{{6}, {-1, 300, 256, -0x1p40, 0x1p40, 0}};
  const std::vector<double> bytes = {0, 255, 255, 0, 255, 0};
  for (const std::vector<HostTensor>& results : all_runs(program, x)) {
    CHECK(results[0].values == std::vector<double>{-1, 300, 256, least, most, 0});
    CHECK(results[1].values == bytes);
    CHECK(results[2].values == bytes);
    CHECK(results[3].values == std::vector<double>{1, 1, 1, 1, 1, 0});
  }
}

TEST_CASE("what an axis of extent 1 stays beside is read in the turn that made it") {
  // The reshape reads t in t's own kernel, before t has been stored.
  const Program program = parse_program(R"(mlpc.graph 1 joint
model m : f64
source ""
target "x86-64-v4"
input "x" : f64[1]
train "{}"
graph infer {
  %x = parameter input 0 "x" : f64[1]
  %t = tanh(%x) : f64[1]
  %r = reshape(%t; shape=[1, 1]) : f64[1, 1]
  %q = mul(%r, %r) : f64[1, 1]
  return output 0 "t" %t
  return output 0 "q" %q
}
)",
                                        "text");
  for (const int level : {0, 1, 2}) {
    const std::vector<HostTensor> results =
        testing::InterpretedProgram(program, level).run("infer", {{{1}, {0.5}}});
    CHECK(results[1].values[0] == results[0].values[0] * results[0].values[0]);
  }
}

TEST_CASE("what is read transposed has been made as a whole") {
  // Both stand in one kernel, whose turns are the first axis, and have equal axes behind it.
  const Program program = parse_program(R"(mlpc.graph 1 joint
model m : f64
source ""
target "x86-64-v4"
input "x" : f64[2, 3, 3]
train "{}"
graph infer {
  %x = parameter input 0 "x" : f64[2, 3, 3]
  %t = tanh(%x) : f64[2, 3, 3]
  %r = transpose(%t; permutation=[0, 2, 1]) : f64[2, 3, 3]
  %q = mul(%r, %r) : f64[2, 3, 3]
  return output 0 "t" %t
  return output 0 "q" %q
}
)",
                                        "text");
  HostTensor x{{2, 3, 3}, {}};
  for (int i = 0; i < 18; ++i) x.values.push_back(0.1 * i);
  for (const std::vector<HostTensor>& results : all_runs(program, x))
    for (std::size_t i = 0; i < 2; ++i)
      for (std::size_t j = 0; j < 3; ++j)
        for (std::size_t k = 0; k < 3; ++k) {
          const double t = results[0].values[9 * i + 3 * k + j];
          CHECK(results[1].values[9 * i + 3 * j + k] == t * t);
        }
}

TEST_CASE("random numbers are those of their own elements, in whatever order these are read") {
  const Program program = parse_program(R"(mlpc.graph 1 joint
model m : f64
source ""
target "x86-64-v4"
input "x" : f64[2, 3]
train "{}"
graph infer {
  %x = parameter input 0 "x" : f64[2, 3]
  %one = constant(; value=i64(1)) : i64[]
  %five = constant(; value=i64(5)) : i64[]
  %z = normal(%one, %one, %one, %five; shape=[3, 2], type=f64, mean=f64(0), deviation=f64(1), stream=7) : f64[3, 2]
  %t = transpose(%z; permutation=[1, 0]) : f64[2, 3]
  %turned = add(%x, %t) : f64[2, 3]
  %r = reshape(%z; shape=[2, 3]) : f64[2, 3]
  %same = add(%x, %r) : f64[2, 3]
  %u = normal(%one, %one, %one, %five; shape=[3], type=f64, mean=f64(0), deviation=f64(1), stream=7) : f64[3]
  %b = broadcast(%u; shape=[2, 3], axes=[1]) : f64[2, 3]
  %rows = add(%x, %b) : f64[2, 3]
  return output 0 "z" %z
  return output 1 "turned" %turned
  return output 2 "same" %same
  return output 3 "rows" %rows
}
)",
                                        "text");
  const HostTensor x{{2, 3}, std::vector<double>(6, 0)};
  const auto row = testing::CompiledProgram(program, 0).run("infer", {x})[3].values;
  for (const std::vector<HostTensor>& results : all_runs(program, x)) {
    const std::vector<double>& z = results[0].values;
    CHECK(results[1].values == std::vector{z[0], z[2], z[4], z[1], z[3], z[5]});
    CHECK(results[2].values == z);
    CHECK(results[3].values == std::vector{row[0], row[1], row[2], row[0], row[1], row[2]});
    CHECK(std::abs(row[0] - row[1]) > 0.01);
  }
}

TEST_CASE("random numbers that nobody else reads are turned like those in memory") {
  const auto program = [](std::string_view result) {
    return parse_program(fmt::format(R"(mlpc.graph 1 joint
model m : f64
source ""
target "x86-64-v4"
input "x" : f64[2, 3]
train "{{}}"
graph infer {{
  %x = parameter input 0 "x" : f64[2, 3]
  %one = constant(; value=i64(1)) : i64[]
  %z = uniform(%one, %one, %one, %one; shape=[3, 2], type=f64, low=f64(0), high=f64(1), stream=7) : f64[3, 2]
{}
}}
)",
                                     result),
                         "text");
  };
  const HostTensor x{{2, 3}, std::vector<double>(6, 0)};
  const std::vector<double> z = all_runs(program("  return output 0 \"z\" %z"), x).front().front().values;
  const Program turned = program(R"(  %t = transpose(%z; permutation=[1, 0]) : f64[2, 3]
  %sum = add(%x, %t) : f64[2, 3]
  return output 0 "sum" %sum)");
  for (const std::vector<HostTensor>& results : all_runs(turned, x))
    CHECK(results[0].values == std::vector{z[0], z[2], z[4], z[1], z[3], z[5]});
}

}  // namespace
}  // namespace mlpc
