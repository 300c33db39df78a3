#include <doctest/doctest.h>
#include <fmt/format.h>

#include <cmath>
#include <numeric>

#include "compiler/lowering/lower.h"
#include "compiler/passes/pipeline.h"
#include "ir/builder.h"
#include "ir/kernel_tasks.h"
#include "ir/text.h"
#include "tests/support/compiled/compiled.h"
#include "tests/support/compiled/interpreted.h"
#include "tests/support/random_scan.h"
#include "tests/support/tolerance.h"

// Loops over turns: their values and gradients are the evaluator's, compiled at -O0 and -O2, with the same
// bits, and interpreted, read back from their text.

namespace mlpc {
namespace {

using namespace ir;
using testing::CompiledProgram;
using testing::Dims;
using testing::empty_program;
using testing::InterpretedProgram;
using testing::Random;
using testing::RandomNode;
using testing::same_bits;
using Values = std::vector<HostTensor>;

constexpr std::size_t kScans = 5;  // with random bodies

/// The scan of parameters and inputs; its loss is ⟨ȳ, y⟩ with numbers ȳ.
Program program_of(const RandomNode& node) {
  Program program = empty_program(ElementType::f64);
  Graph graph;
  graph.name = "forward";
  Builder b(graph);
  std::vector<ValueId> operands;
  for (const Type& type : node.operands) {
    const bool is_param = is_float(type.element);
    const std::string name = fmt::format("p{}", operands.size());
    const std::size_t index = is_param ? program.params.size() : program.inputs.size();
    if (is_param)
      program.params.push_back({name, type});
    else
      program.inputs.push_back({name, type});
    operands.push_back(graph.add_parameter(name, type, is_param ? Role::param : Role::input,
                                           static_cast<std::uint32_t>(index)));
  }
  const Node made = graph.node(b.make(node.op, operands, node.attributes));
  ValueId loss = b.scalar(ElementType::f64, 0);
  for (std::uint32_t r = 0; r < made.result_count; ++r) {
    const ValueId y = Graph::result(made, r);
    graph.results.push_back({fmt::format("y{}", r), Role::output, 0, y});
    if (!is_float(b.type(y).element)) continue;
    Integers all(b.type(y).rank());
    std::iota(all.begin(), all.end(), 0);
    const ValueId weighted = b.mul(y, b.full_like(y, 0.25 + 0.5 * r));
    loss = b.add(loss, b.convert(b.reduce_sum(weighted, all), ElementType::f64));
  }
  graph.results.push_back({"loss", Role::loss_total, 0, loss});
  assign_offsets(program.params);
  program.graphs.push_back(std::move(graph));
  return program;
}

double largest_error(const Values& a, const Values& b) {
  double largest = 0;
  for (std::size_t i = 0; i < a.size(); ++i)
    for (std::size_t j = 0; j < a[i].values.size(); ++j)
      largest = std::max(largest,
                         std::abs(a[i].values[j] - b[i].values[j]) / std::max(1.0, std::abs(b[i].values[j])));
  return largest;
}

Values arguments_for(const Graph& graph, const Dims& dims, std::uint64_t seed) {
  Random random(seed);
  Values out;
  for (const Graph::Parameter& p : graph.parameters()) {
    Type type = graph.type(p.value);
    for (Dim& extent : type.shape) extent = extent.evaluate(testing::value_in(dims)).value();
    if (p.role == Role::accumulate)
      out.push_back({{}, {0}});
    else if (p.role == Role::loss_bar)
      out.push_back({{}, {1}});
    else
      out.push_back(testing::random_operand(type, out.size() % 3, false, random));
    if (graph.type(p.value).element == ElementType::f32)
      for (double& x : out.back().values) x = static_cast<float>(x) / 4;
  }
  return out;
}

/// Every entry of the program at these dims, at every level: one of them interpreted.
void check_program(const Program& program, const std::vector<Dims>& at,
                   double units = testing::kUnitsOfScan) {
  const double tolerance = units * testing::unit_of(program.element);
  const Program joint = passes::run_pipeline(program, Stage::joint);
  const CompiledProgram plain(joint, 0), tiled(joint, 2);
  const InterpretedProgram interpreted(joint, 2);
  for (const Graph& graph : joint.graphs)
    for (const Dims& dims : at) {
      const Values arguments = arguments_for(graph, dims, 1);
      const Values expected = evaluate(graph, arguments, testing::value_in(dims));
      const Values values = tiled.run(graph.name, arguments, dims);
      INFO(graph.name);
      CHECK(largest_error(values, expected) <= tolerance);
      CHECK(same_bits(values, plain.run(graph.name, arguments, dims)));
      CHECK(same_bits(values, tiled.run_backwards(graph.name, arguments, dims)));
      CHECK(same_bits(values, plain.run_backwards(graph.name, arguments, dims)));
      CHECK(largest_error(interpreted.run(graph.name, arguments, dims), expected) <= tolerance);
    }
}

TEST_CASE(
    "scans over random bodies and their gradients are the evaluator's, with the same bits at -O0 and -O2") {
  Random random(5);
  for (std::size_t i = 0; i < kScans; ++i) {
    INFO("scan " << i);
    check_program(program_of(testing::random_scan(ElementType::f64, random)), {{}});
  }
}

/// Gates of a state [B, 20] over T turns of inputs [B, 20], from below and from above, the latter in reverse;
/// the turn's number is read; the weights are a stack of two, one for each direction.
Program recurrent_program() {
  return parse_program(R"(mlpc.graph 1 graph
model m : f32
source ""
target "x86-64-v4"
dim B
dim T
param "U" : f32[20, 20] offset 0 init "" @0
param "V" : f32[20, 20] offset 1600 init "" @0
param "b" : f32[20] offset 3200 init "" @0
state "s" : f32[20] offset 0 init "" @0
input "xs" : f32[T, B, 20]
train "{}"
graph body.0 {
  %t = parameter turn 0 "t" : i64[]
  %U = parameter const 0 "U" : f32[20, 20]
  %V = parameter const 1 "V" : f32[20, 20]
  %b = parameter const 2 "b" : f32[20]
  %h = parameter loop 0 "h" : f32[B, 20]
  %c = parameter loop 1 "c" : f32[B, 20]
  %m = parameter loop 2 "m" : f32[20]
  %x = parameter sequence 0 "x" : f32[B, 20]
  %hu = einsum("bi,ij->bj", %h, %U) : f32[B, 20]
  %zu = add(%hu, %x) : f32[B, 20]
  %bs = broadcast(%b; shape=[B, 20], axes=[1]) : f32[B, 20]
  %z = add(%zu, %bs) : f32[B, 20]
  %gu = einsum("bi,ji->bj", %h, %V) : f32[B, 20]
  %gz = add(%gu, %x) : f32[B, 20]
  %f = sigmoid(%z) : f32[B, 20]
  %g = tanh(%gz) : f32[B, 20]
  %fc = mul(%f, %c) : f32[B, 20]
  %c_next = add(%fc, %g) : f32[B, 20]
  %tanh_c = tanh(%c_next) : f32[B, 20]
  %t_float = convert(%t; to=f32) : f32[]
  %small = constant(; value=f32(0.01)) : f32[]
  %t_small = mul(%t_float, %small) : f32[]
  %ts = broadcast(%t_small; shape=[B, 20], axes=[]) : f32[B, 20]
  %h_new = mul(%f, %tanh_c) : f32[B, 20]
  %h_next = add(%h_new, %ts) : f32[B, 20]
  %top = reduce_max(%z; axes=[0]) : f32[20]
  %m_next = max(%m, %top) : f32[20]
  return loop 0 "h" %h_next
  return loop 1 "c" %c_next
  return loop 2 "m" %m_next
  return stacked 0 "hs" %h_next
}
graph forward {
  %U = parameter param 0 "U" : f32[20, 20]
  %V = parameter param 1 "V" : f32[20, 20]
  %b = parameter param 2 "b" : f32[20]
  %s = parameter state 0 "s" : f32[20]
  %xs = parameter input 0 "xs" : f32[T, B, 20]
  %zero = constant(; value=f32(0)) : f32[]
  %h0 = broadcast(%zero; shape=[B, 20], axes=[]) : f32[B, 20]
  %h, %c, %m, %hs = scan(%U, %V, %b, %h0, %h0, %s, %xs; body=body.0, consts=3, loops=3, length=[T], reverse=0) : f32[B, 20], f32[B, 20], f32[20], f32[T, B, 20]
  %h1, %c1, %m1, %hs1 = scan(%V, %U, %b, %c, %h, %m, %hs; body=body.0, consts=3, loops=3, length=[T], reverse=1) : f32[B, 20], f32[B, 20], f32[20], f32[T, B, 20]
  %squares = mul(%hs1, %hs1) : f32[T, B, 20]
  %y = reduce_sum(%squares; axes=[0, 1, 2]) : f32[]
  return loss_total 0 "loss" %y
  return output 0 "hs" %hs1
  return output 0 "last" %c1
  return state 0 "s" %m1
}
)",
                       "test");
}

TEST_CASE("a recurrent net of free length and rows: 0, 1 and more turns, few rows and many") {
  check_program(recurrent_program(),
                {{{"B", 1}, {"T", 1}}, {{"B", 3}, {"T", 2}}, {{"B", 17}, {"T", 5}}, {{"B", 70}, {"T", 3}}});
}

TEST_CASE("a loop without turns gives its first values") {
  const Program program = parse_program(R"(mlpc.graph 1 graph
model m : f64
source ""
target "x86-64-v4"
dim T
input "h0" : f64[3]
input "ws" : f64[T, 3]
train "{}"
graph body.0 {
  %t = parameter turn 0 "t" : i64[]
  %g = parameter loop 0 "g" : f64[3]
  %h = parameter loop 1 "h" : f64[3]
  %k = parameter loop 2 "k" : f64[3]
  %w = parameter sequence 0 "w" : f64[3]
  %h_next = sub(%w, %g) : f64[3]
  return loop 0 "g" %h
  return loop 1 "h" %h_next
  return loop 2 "k" %k
  return stacked 0 "gs" %g
}
graph infer {
  %h0 = parameter input 0 "h0" : f64[3]
  %ws = parameter input 1 "ws" : f64[T, 3]
  %g0 = neg(%h0) : f64[3]
  %g, %h, %k, %gs = scan(%g0, %h0, %g0, %ws; body=body.0, consts=0, loops=3, length=[T], reverse=1) : f64[3], f64[3], f64[3], f64[T, 3]
  return output 0 "g" %g
  return output 0 "h" %h
  return output 0 "k" %k
  return output 0 "gs" %gs
}
)",
                                        "test");
  check_program(program, {{{"T", 0}}, {{"T", 1}}, {{"T", 2}}, {{"T", 5}}}, 0);
}

/// Rows of U lie 1 KiB apart, and the way back reads it turned: both are packed. The inputs' contraction
/// waits for no turn; nor does that of their cotangents.
Program packed_program() {
  return parse_program(R"(mlpc.graph 1 graph
model m : f64
source ""
target "x86-64-v4"
dim B
dim T
param "U" : f64[64, 128] offset 0 init "" @0
param "W" : f64[8, 128] offset 65536 init "" @0
param "x0" : f64[8] offset 73728 init "" @0
input "xs" : f64[T, B, 8]
train "{}"
graph body.0 {
  %t = parameter turn 0 "t" : i64[]
  %U = parameter const 0 "U" : f64[64, 128]
  %W = parameter const 1 "W" : f64[8, 128]
  %h = parameter loop 0 "h" : f64[B, 64]
  %x = parameter sequence 0 "x" : f64[B, 8]
  %hu = einsum("bi,ij->bj", %h, %U) : f64[B, 128]
  %xw = einsum("bi,ij->bj", %x, %W) : f64[B, 128]
  %z = add(%hu, %xw) : f64[B, 128]
  %za = slice(%z; start=[0, 0], extent=[B, 64], step=[1, 1]) : f64[B, 64]
  %zb = slice(%z; start=[0, 64], extent=[B, 64], step=[1, 1]) : f64[B, 64]
  %a = tanh(%za) : f64[B, 64]
  %b = sigmoid(%zb) : f64[B, 64]
  %next = mul(%a, %b) : f64[B, 64]
  return loop 0 "h" %next
  return stacked 0 "hs" %next
}
graph forward {
  %U = parameter param 0 "U" : f64[64, 128]
  %W = parameter param 1 "W" : f64[8, 128]
  %x0 = parameter param 2 "x0" : f64[8]
  %xs = parameter input 0 "xs" : f64[T, B, 8]
  %x0s = broadcast(%x0; shape=[T, B, 8], axes=[2]) : f64[T, B, 8]
  %x = mul(%xs, %x0s) : f64[T, B, 8]
  %zero = constant(; value=f64(0)) : f64[]
  %h0 = broadcast(%zero; shape=[B, 64], axes=[]) : f64[B, 64]
  %h, %hs = scan(%U, %W, %h0, %x; body=body.0, consts=2, loops=1, length=[T], reverse=0) : f64[B, 64], f64[T, B, 64]
  %squares = mul(%hs, %hs) : f64[T, B, 64]
  %y = reduce_sum(%squares; axes=[0, 1, 2]) : f64[]
  return loss_total 0 "loss" %y
}
)",
                       "test");
}

/// The calls in loops, or those that are in none.
std::vector<KernelCall> calls_of(const std::vector<Action>& actions, bool in_loops, bool is_in_loop = false) {
  std::vector<KernelCall> out;
  for (const Action& action : actions) {
    const auto* call = std::get_if<KernelCall>(&action.kind);
    if (call && in_loops == is_in_loop) out.push_back(*call);
    if (const std::vector<Action>* inside = actions_inside(action))
      for (KernelCall& inner :
           calls_of(*inside, in_loops, is_in_loop || std::holds_alternative<TurnLoop>(action.kind)))
        out.push_back(std::move(inner));
  }
  return out;
}

std::vector<const TurnLoop*> loops_of(const std::vector<Action>& actions) {
  std::vector<const TurnLoop*> out;
  for (const Action& action : actions) {
    if (const auto* loop = std::get_if<TurnLoop>(&action.kind)) out.push_back(loop);
    if (const auto* phase = std::get_if<Phase>(&action.kind))
      for (const TurnLoop* loop : loops_of(phase->actions)) out.push_back(loop);
  }
  return out;
}

std::size_t count_packing(const KernelProgram& program, const std::vector<KernelCall>& calls) {
  std::size_t count = 0;
  for (const KernelCall& call : calls)
    for (const KernelBuffer& buffer : program.kernels[call.kernel].buffers)
      count += buffer.is_written && buffer.type.rank() == 3 && buffer.type.shape[0].is_constant();
  return count;
}

TEST_CASE(
    "weights of a loop are packed before its turns, and contractions that wait for none run before or "
    "behind") {
  const Program joint = passes::run_pipeline(packed_program(), Stage::joint);
  const KernelProgram program = lowering::lower(joint, {2});
  const std::vector<Action>& actions = program.entries[0].actions;
  CHECK(count_packing(program, calls_of(actions, true)) == 0);
  CHECK(count_packing(program, calls_of(actions, false)) == 2);
  std::size_t contractions = 0;  // in bodies
  const Graph& grad = *joint.find("grad");
  for (std::uint32_t i = 0; i < grad.node_count(); ++i)
    if (const Body* body = body_of(grad.node({i})))
      for (std::uint32_t k = 0; k < body->graph().node_count(); ++k)
        contractions += body->graph().node({k}).op == Op::einsum_;
  CHECK(contractions == 2);  // h U and z̄ Uᵀ
  check_program(packed_program(), {{{"B", 2}, {"T", 3}}, {{"B", 70}, {"T", 2}}});
}

TEST_CASE("kernels do not depend on the length, and equal bodies share them") {
  const auto kernels = [](const std::string& length) {
    std::string text = print(recurrent_program());
    for (std::size_t at = text.find("length=[T]"); at != std::string::npos; at = text.find("length=[T]"))
      text.replace(at, 10, "length=[" + length + "]");
    for (std::size_t at = text.find("[T, B"); at != std::string::npos; at = text.find("[T, B"))
      text.replace(at, 5, "[" + length + ", B");
    const Program joint = passes::run_pipeline(parse_program(text, "test"), Stage::joint);
    return lowering::lower(joint, {2});
  };
  // Fewer turns than 16 are too few for a weight's gradient to be a kernel without an epilogue (sums_much).
  const KernelProgram few = kernels("30"), many = kernels("300");
  CHECK(few.kernels.size() == many.kernels.size());
  const auto turns = [](const KernelProgram& program) { return loops_of(program.entries[0].actions); };
  REQUIRE(turns(few).size() == 4);  // two forward, two backward
  // All but one: the second loop's sequence is a result of the entry, too, and so is stored once more.
  const auto first = kernels_of(turns(few)[0]->actions), second = kernels_of(turns(few)[1]->actions);
  REQUIRE(first.size() == second.size());
  std::size_t different = 0;
  for (std::size_t i = 0; i < first.size(); ++i) different += first[i] != second[i];
  CHECK(different == 1);
}

}  // namespace
}  // namespace mlpc
