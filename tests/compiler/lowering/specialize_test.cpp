#include "compiler/lowering/specialize.h"

#include <doctest/doctest.h>

#include "compiler/lowering/lower.h"
#include "ir/error.h"
#include "ir/kernel_tasks.h"
#include "ir/text.h"
#include "tests/support/kernels_text.h"

namespace mlpc::lowering {
namespace {

/// A layer, whose contraction has a kernel for few rows and one for chunks of many, and an entry without free
/// dims.
ir::KernelProgram layer() {
  return lower(ir::parse_program(R"(mlpc.graph 1 joint
model m : f32
source ""
target "x86-64-v4"
dim B
dim T
input "x" : f32[B, 784]
input "W" : f32[784, 512]
input "s" : f32[64]
train "{}"
graph infer {
  %x = parameter input 0 "x" : f32[B, 784]
  %W = parameter input 1 "W" : f32[784, 512]
  %z = einsum("ij,jk->ik", %x, %W) : f32[B, 512]
  %y = tanh(%z) : f32[B, 512]
  return output 0 "y" %y
}
graph loss {
  %s = parameter input 2 "s" : f32[64]
  %l = reduce_sum(%s; axes=[0]) : f32[]
  return loss_total 0 "loss" %l
}
)",
                                 "test"),
               {2});
}

const ir::Specialization* specialization_of(const ir::LoweredEntry& entry) {
  return std::get_if<ir::Specialization>(&entry.actions.front().kind);
}

}  // namespace

TEST_CASE("a specialized entry has kernels in which the dim is a number, and no guards") {
  ir::KernelProgram program = layer();
  const std::vector<ir::Action> general = program.entries[0].actions;
  const std::size_t kernels = program.kernels.size();
  specialize(program, {{"B", 128}});
  const ir::Specialization* special = specialization_of(program.entries[0]);
  REQUIRE(special);
  CHECK(special->actions.size() < general.size());  // few rows have calls of their own
  CHECK(program.entries[0].actions.size() == 1 + general.size());
  CHECK(program.kernels.size() > kernels);
  for (const std::uint32_t k : ir::kernels_of(special->actions)) {
    const std::string text = ir::print(program.kernels[k]);
    CHECK(k >= kernels);
    CHECK(text.find("B") == std::string::npos);
    CHECK(text.find("below") == std::string::npos);  // a limit that holds everywhere
  }
  for (const ir::Action& action : special->actions)
    if (const auto* call = std::get_if<ir::KernelCall>(&action.kind)) CHECK_FALSE(call->guard);
  CHECK_FALSE(specialization_of(program.entries[1]));  // nothing depends on it
  const std::string text = ir::print(program);
  CHECK(ir::print(ir::parse_kernels(text, "specialized")) == text);  // and the verifier takes it
}

TEST_CASE("limits that some turns reach stay") {
  ir::KernelProgram program = layer();
  specialize(program, {{"B", 130}});
  bool has_limit = false;
  for (const std::uint32_t k : ir::kernels_of(specialization_of(program.entries[0])->actions))
    has_limit |= ir::print(program.kernels[k]).find("below 130") != std::string::npos;
  CHECK(has_limit);
}

TEST_CASE("several specializations stand before the actions for all extents, each once") {
  ir::KernelProgram program = layer();
  specialize(program, {{"B", 1}});
  specialize(program, {{"B", 128}});
  const std::string text = ir::print(program);
  specialize(program, {{"B", 1}});
  CHECK(ir::print(program) == text);
  CHECK(specialization_of(program.entries[0])->dims == Extents{{"B", 128}});
}

TEST_CASE("extents that cannot be are refused") {
  ir::KernelProgram program = layer();
  CHECK_THROWS_WITH(specialize(program, {{"N", 1}}), "cannot specialize: there is no free dim `N`");
  CHECK_THROWS_WITH(specialize(program, {{"B", 1}, {"B", 2}}), "cannot specialize: `B` is given twice");
  CHECK_THROWS_WITH(specialize(program, {{"B", 0}}), "cannot specialize: `B` has the extent 0");
}

TEST_CASE("the verifier wants specializations first, with extents of free dims") {
  ir::KernelProgram program = layer();
  specialize(program, {{"B", 2}});
  const std::string text = ir::print(program);
  const auto refused = [&](const std::string& from, const std::string& to) {
    std::string changed = text;
    changed.replace(changed.find(from), from.size(), to);
    return testing::error_of_kernels(changed, "k");
  };
  CHECK(refused("specialized B 2", "specialized N 2") ==
        "k: error: entry infer: a specialization's `N` is no dim of the model");
  CHECK(refused("specialized B 2", "specialized B 0") ==
        "k: error: entry infer: a specialization is for the extent 0 of `B`");
  CHECK(refused("specialized B 2", "specialized") == "k: error: entry infer: a specialization has no dims");
  CHECK(refused("specialized B 2 {", "specialized T 1 { specialized B 2 { }") ==
        "k: error: entry infer: a specialization does not stand before all else");
}

}  // namespace mlpc::lowering
