#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>

#include "compiler/lowering/lower.h"
#include "compiler/lowering/specialize.h"
#include "ir/kernel_tasks.h"
#include "ir/text.h"

// Loops over turns whose tasks are the same rows run without a meeting; so do the kernels of narrow nets.

namespace mlpc::lowering {
namespace {

/// A loop over T turns of B rows of 64 numbers; what is behind y in the body ends with the definition of
/// `next`.
ir::KernelProgram recurrent(const std::string& behind, const std::string& next) {
  const std::string text = fmt::format(R"(mlpc.graph 1 joint
model m : f32
source ""
target "x86-64-v4"
dim B
dim T
input "U" : f32[64, 64]
input "xs" : f32[T, B, 64]
train "{{}}"
graph body.0 {{
  %t = parameter turn 0 "t" : i64[]
  %U = parameter const 0 "U" : f32[64, 64]
  %h = parameter loop 0 "h" : f32[B, 64]
  %x = parameter sequence 0 "x" : f32[B, 64]
  %r = einsum("ij,jk->ik", %h, %U) : f32[B, 64]
  %z = add(%r, %x) : f32[B, 64]
  %y = tanh(%z) : f32[B, 64]
{0}  return loop 0 "h" %{1}
  return stacked 0 "hs" %{1}
}}
graph infer {{
  %U = parameter input 0 "U" : f32[64, 64]
  %xs = parameter input 1 "xs" : f32[T, B, 64]
  %zero = constant(; value=f32(0)) : f32[]
  %h0 = broadcast(%zero; shape=[B, 64], axes=[]) : f32[B, 64]
  %h, %hs = scan(%U, %h0, %xs; body=body.0, consts=1, loops=1, length=[T], reverse=0) : f32[B, 64], f32[T, B, 64]
  return output 0 "hs" %hs
}}
)",
                                       behind, next);
  return lower(ir::parse_program(text, "test"), {2});
}

/// Whether a phase has a whole loop over turns.
bool has_loop_in_phase(const ir::KernelProgram& program) {
  for (const ir::Action& action : program.entries[0].actions)
    if (const auto* phase = std::get_if<ir::Phase>(&action.kind))
      for (const ir::Action& inside : phase->actions)
        if (std::holds_alternative<ir::TurnLoop>(inside.kind)) return true;
  return false;
}

/// Two layers of some width, and the gradient of a third one's weights, whose input and cotangent they are.
ir::KernelProgram layers(int width) {
  const std::string text = fmt::format(R"(mlpc.graph 1 joint
model m : f64
source ""
target "x86-64-v4"
dim B
input "x" : f64[B, {0}]
input "U" : f64[{0}, {0}]
train "{{}}"
graph infer {{
  %x = parameter input 0 "x" : f64[B, {0}]
  %U = parameter input 1 "U" : f64[{0}, {0}]
  %a = einsum("ij,jk->ik", %x, %U) : f64[B, {0}]
  %b = tanh(%a) : f64[B, {0}]
  %c = einsum("ij,jk->ik", %b, %U) : f64[B, {0}]
  %g = einsum("bi,bj->ij", %b, %c) : f64[{0}, {0}]
  %d = tanh(%c) : f64[B, {0}]
  %s = reduce_sum(%d; axes=[0]) : f64[{0}]
  %e = einsum("ij,jk->ik", %d, %U) : f64[B, {0}]
  return output 0 "g" %g
  return output 1 "s" %s
  return output 2 "e" %e
}}
)",
                                       width);
  return lower(ir::parse_program(text, "test"), {2});
}

/// The calls of an entry by what they are in: those of each phase; those outside of any have their own.
std::vector<std::size_t> calls_of(const ir::LoweredEntry& entry) {
  std::vector<std::size_t> out;
  for (const ir::Action& action : entry.actions) {
    const auto* phase = std::get_if<ir::Phase>(&action.kind);
    out.push_back(phase ? phase->actions.size() : 1);
  }
  return out;
}

}  // namespace

TEST_CASE("tasks of a loop over turns are rows, where no turn reads another row") {
  const ir::KernelProgram program = recurrent("", "y");
  CHECK(has_loop_in_phase(program));
  const std::string text = ir::print(program);
  CHECK(ir::print(ir::parse_kernels(text, "phases")) == text);  // and the verifier takes it
  for (const ir::Action& action : program.entries[0].actions)
    if (const auto* phase = std::get_if<ir::Phase>(&action.kind))
      CHECK(ir::has_equal_tasks(program.kernels, phase->actions));
}

TEST_CASE("a phase that is specialized for few rows has one task") {
  ir::KernelProgram program = recurrent("", "y");
  specialize(program, {{"B", 1}});
  const std::string text = ir::print(program);
  CHECK(ir::print(ir::parse_kernels(text, "phases")) == text);
  const auto* special = std::get_if<ir::Specialization>(&program.entries[0].actions.front().kind);
  REQUIRE(special);
  for (const std::uint32_t k : ir::kernels_of(special->actions))
    CHECK(ir::task_count(program.kernels[k]) == ir::Dim(1));
}

TEST_CASE("a narrow net's kernels of all rows are a phase, and sums are added up behind it") {
  const ir::KernelProgram program = layers(32);
  // Three layers, for many rows and for few, and the parts of both sums; then what adds these up.
  CHECK(calls_of(program.entries[0]) == std::vector<std::size_t>{8, 1, 1});
  const std::string text = ir::print(program);
  CHECK(ir::print(ir::parse_kernels(text, "phases")) == text);
  CHECK(text.find("buffer %b0 : f64[floordiv(B, 128), 32, 32] written") != std::string::npos);
  CHECK(text.find("buffer %b0 : f64[floordiv(B, 128), 32] written") != std::string::npos);
}

TEST_CASE(
    "where a narrow net's gradient has tiles for tasks, no sum is in the phase, whose tasks have few rows") {
  const ir::KernelProgram program = layers(64);
  // Three layers; the parts of a sum; the gradient; what adds the parts up.
  CHECK(calls_of(program.entries[0]) == std::vector<std::size_t>{6, 1, 1, 1});
  const auto& phase = std::get<ir::Phase>(program.entries[0].actions[0].kind);
  CHECK(ir::task_count(program.kernels[ir::kernels_of(phase.actions).front()]).text() ==
        "floordiv(B + 35, 36)");
}

TEST_CASE("a wide layer's tasks meet, and its gradient has tiles for tasks") {
  const ir::KernelProgram program = layers(128);
  CHECK(std::ranges::all_of(calls_of(program.entries[0]), [](std::size_t calls) { return calls == 1; }));
  CHECK(ir::print(program).find("floordiv(B, 128), 128, 128]") == std::string::npos);
}

TEST_CASE("turns that sum over rows meet") {
  const std::string sums = R"(  %sum = reduce_sum(%y; axes=[0]) : f32[64]
  %sums = broadcast(%sum; shape=[B, 64], axes=[1]) : f32[B, 64]
  %mixed = mul(%y, %sums) : f32[B, 64]
)";
  CHECK_FALSE(has_loop_in_phase(recurrent(sums, "mixed")));
}

}  // namespace mlpc::lowering
