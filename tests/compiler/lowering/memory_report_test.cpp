#include "compiler/lowering/memory_report.h"

#include <doctest/doctest.h>

#include "ir/text.h"

namespace mlpc {
namespace {

/// h = relu(x W), loss = Σ (h V)², with its gradient, as the pipeline leaves it.
constexpr const char* kJoint = R"(mlpc.graph 1 joint
model m : f32
source ""
target "x86-64-v4"
dim B
param "W" : f32[8, 16] offset 0 init "" @0
param "V" : f32[16, 4] offset 512 init "" @0
input "x" : f32[B, 8]
train "{}"
graph grad {
  %x = parameter input 0 "x" : f32[B, 8]
  %W = parameter param 0 "W" : f32[8, 16]
  %V = parameter param 1 "V" : f32[16, 4]
  %loss_bar = parameter loss_bar 0 "loss_bar" : f64[]
  %z = einsum("bi,ij->bj", %x, %W) : f32[B, 16]
  %h = clamp_min(%z; bound=f32(0)) : f32[B, 16]
  %y = einsum("bi,ij->bj", %h, %V) : f32[B, 4]
  %y2 = mul(%y, %y) : f32[B, 4]
  %L = reduce_sum(%y2; axes=[0, 1]) : f32[]
  %zero = constant(; value=f32(0)) : f32[]
  %zeros = broadcast(%zero; shape=[B, 16], axes=[]) : f32[B, 16]
  %mask = gt(%h, %zeros) : bool[B, 16]
  %twice = add(%y, %y) : f32[B, 4]
  %lb = convert(%loss_bar; to=f32) : f32[]
  %lbs = broadcast(%lb; shape=[B, 4], axes=[]) : f32[B, 4]
  %ybar = mul(%twice, %lbs) : f32[B, 4]
  %hbar = einsum("bj,ij->bi", %ybar, %V) : f32[B, 16]
  %zbar = where(%mask, %hbar, %zeros) : f32[B, 16]
  %Vbar = einsum("bi,bj->ij", %h, %ybar) : f32[16, 4]
  %Wbar = einsum("bi,bj->ij", %x, %zbar) : f32[8, 16]
  return loss_total 0 "loss" %L
  return grad 0 "W" %Wbar
  return grad 1 "V" %Vbar
}
)";

TEST_CASE("what other kernels read is kept and masks are computed again, with their bytes") {
  const std::string report = lowering::memory_report(ir::parse_program(kJoint, "dump"), {2});
  const std::size_t again = report.find("computed again in the backward pass\n"),
                    workspace = report.find("workspace\n");
  REQUIRE(again != std::string::npos);
  REQUIRE(workspace != std::string::npos);
  const std::string kept = report.substr(0, again), recomputed = report.substr(again, workspace - again);
  CHECK(kept.find("  h                            64*B ") != std::string::npos);
  CHECK(kept.find("  z ") == std::string::npos);  // clamped in its own kernel
  CHECK(recomputed.find("  mask                         16*B ") != std::string::npos);
  CHECK(recomputed.find("  twice                        16*B ") != std::string::npos);
  CHECK(report.find("  slot 0 ") != std::string::npos);
}

TEST_CASE("without a loss there is nothing to report") {
  ir::Program program = ir::parse_program(kJoint, "dump");
  program.graphs[0].name = "infer";
  CHECK(lowering::memory_report(program, {2}) ==
        "the model has no loss: nothing is kept for a backward pass\n");
}

}  // namespace
}  // namespace mlpc
