#include "compiler/lowering/lower.h"

#include <doctest/doctest.h>

#include "ir/text.h"
#include "tests/compiler/lowering/graphs.h"

namespace mlpc {
namespace {

using ir::BufferRef;
using ir::Builder;
using ir::Dim;
using ir::ElementType;
using ir::Graph;
using ir::Op;
using ir::Role;
using ir::ValueId;
using testing::f32;

const Dim kB = Dim::named("B");

std::size_t kernel_calls(const ir::LoweredEntry& entry) {
  std::size_t count = 0;
  for (const ir::Action& action : entry.actions) count += std::holds_alternative<ir::KernelCall>(action.kind);
  return count;
}

Graph two_dense_layers() {
  Graph graph;
  graph.name = "infer";
  const ValueId x = graph.add_parameter("x", f32({kB, 64}), Role::input, 0);
  const ValueId w1 = graph.add_parameter("fc1.W", f32({64, 64}), Role::param, 0);
  const ValueId b1 = graph.add_parameter("fc1.b", f32({64}), Role::param, 1);
  const ValueId w2 = graph.add_parameter("fc2.W", f32({64, 64}), Role::param, 2);
  const ValueId b2 = graph.add_parameter("fc2.b", f32({64}), Role::param, 3);
  Builder b(graph);
  const ValueId h = testing::dense(b, testing::dense(b, x, w1, b1), w2, b2);
  graph.results.push_back({"h", Role::output, 0, h});
  return graph;
}

/// y = x W, with rows of W `columns` elements long; or of W transposed.
Graph product(std::int64_t columns, bool turned) {
  Graph graph;
  graph.name = "infer";
  const ValueId x = graph.add_parameter("x", f32({kB, 128}), Role::input, 0);
  const ir::Shape shape = turned ? ir::Shape{columns, 128} : ir::Shape{128, columns};
  const ValueId w = graph.add_parameter("W", f32(shape), Role::param, 0);
  Builder b(graph);
  const ValueId operands[] = {x, w};
  graph.results.push_back({"y", Role::output, 0, b.einsum(turned ? "bk,nk->bn" : "bk,kn->bn", operands)});
  return graph;
}

/// p = softmax(x) over the last axis.
Graph softmax() {
  Graph graph;
  graph.name = "infer";
  const ValueId x = graph.add_parameter("x", f32({kB, 10}), Role::input, 0);
  Builder b(graph);
  const ValueId m = b.value(Op::reduce_max_, {x}, {ir::Integers{1}});
  const ValueId e = b.exp(b.sub(x, b.broadcast(m, {kB, 10}, {0})));
  const ValueId s = b.reduce_sum(e, {1});
  graph.results.push_back({"p", Role::output, 0, b.div(e, b.broadcast(s, {kB, 10}, {0}))});
  return graph;
}

/// W' = W - 0.1 xᵀ d; `reads_late` adds a result that is computed from the old W afterwards.
Graph update(bool reads_late) {
  Graph graph;
  graph.name = "train_step";
  const ValueId x = graph.add_parameter("x", f32({kB, 32}), Role::input, 0);
  const ValueId d = graph.add_parameter("d", f32({kB, 48}), Role::input, 1);
  const ValueId w = graph.add_parameter("W", f32({32, 48}), Role::param, 0);
  Builder b(graph);
  const ValueId operands[] = {x, d};
  const ValueId gradient = b.einsum("bi,bj->ij", operands);
  const ValueId updated = b.sub(w, b.mul(b.full_like(w, 0.1), gradient));
  graph.results.push_back({"W", Role::param, 0, updated});
  if (reads_late) {
    const ValueId late[] = {d, w};
    graph.results.push_back({"dx", Role::output, 0, b.einsum("bj,ij->bi", late)});
  }
  return graph;
}

std::vector<BufferRef> written_by(const ir::KernelProgram& program, std::size_t action) {
  const auto& call = std::get<ir::KernelCall>(program.entries[0].actions[action].kind);
  std::vector<BufferRef> written;
  for (std::size_t i = 0; i < call.buffers.size(); ++i)
    if (program.kernels[call.kernel].buffers[i].is_written) written.push_back(call.buffers[i]);
  return written;
}

}  // namespace

TEST_CASE("bias and activation are in the kernel of the contraction, and equal layers share it") {
  const ir::KernelProgram program = lowering::lower(testing::program_of(two_dense_layers()), {2});
  CHECK(program.kernels.size() == 2);  // for many rows, and for few
  REQUIRE(kernel_calls(program.entries[0]) == 4);
  for (const bool few : {false, true}) {
    const auto& call = std::get<ir::KernelCall>(program.entries[0].actions[few].kind);
    REQUIRE(call.guard);
    CHECK(call.guard->extent == kB);
    CHECK(call.guard->negated == few);
  }
  CHECK(program.entries[0].slots.size() == 1);
  CHECK(program.entries[0].slots[0].bytes == Dim(256) * kB);
}

TEST_CASE(
    "weights whose rows meet in few cache sets, or that are transposed, are packed by the kernel that reads "
    "them") {
  const auto slots = [](std::int64_t columns, bool turned) {
    return lowering::lower(testing::program_of(product(columns, turned)), {2}).entries[0].slots;
  };
  CHECK(slots(192, false).empty());
  REQUIRE(slots(256, false).size() == 1);
  CHECK(slots(256, false)[0].bytes == Dim(128 * 256 * 4));
  REQUIRE(slots(192, true).size() == 1);
  CHECK(kernel_calls(lowering::lower(testing::program_of(product(192, true)), {2}).entries[0]) == 1);
}

TEST_CASE("softmax is one kernel without a workspace") {
  const ir::KernelProgram program = lowering::lower(testing::program_of(softmax()), {2});
  CHECK(kernel_calls(program.entries[0]) == 1);
  CHECK(program.entries[0].slots.empty());
}

TEST_CASE("-O0 has a kernel an op") {
  const ir::KernelProgram program = lowering::lower(testing::program_of(softmax()), {0});
  CHECK(kernel_calls(program.entries[0]) == 5);  // max, sub, exp, sum, div: broadcasts cost nothing
}

TEST_CASE("an update is written in place by the kernel of its gradient") {
  const ir::KernelProgram program = lowering::lower(testing::program_of(update(false)), {2});
  REQUIRE(kernel_calls(program.entries[0]) == 1);
  CHECK(written_by(program, 0) == std::vector<BufferRef>{{BufferRef::Space::params, 0}});
}

TEST_CASE("an update whose old value is read later is copied in at the end") {
  const ir::KernelProgram program = lowering::lower(testing::program_of(update(true)), {2});
  REQUIRE(kernel_calls(program.entries[0]) == 4);  // W', transposed W, dx, copy
  CHECK(written_by(program, 0) == std::vector<BufferRef>{{BufferRef::Space::workspace, 0}});
  CHECK(written_by(program, 3) == std::vector<BufferRef>{{BufferRef::Space::params, 0}});
}

TEST_CASE("more scalars than a kernel may have are computed by several") {
  Graph graph;
  graph.name = "infer";
  Builder b(graph);
  const ValueId x = graph.add_parameter("x", f32({}), Role::input, 0);
  ValueId power = x;
  for (std::uint32_t i = 0; i < 100; ++i) {
    power = b.mul(power, x);
    graph.results.push_back({"p" + std::to_string(i), Role::output, i, power});
  }
  const ir::KernelProgram program = lowering::lower(testing::program_of(std::move(graph)), {2});
  CHECK(kernel_calls(program.entries[0]) == 4);
}

TEST_CASE("a result that is a parameter is copied") {
  Graph graph;
  graph.name = "infer";
  const ValueId x = graph.add_parameter("x", f32({kB, 10}), Role::input, 0);
  graph.results.push_back({"y", Role::output, 0, x});
  const ir::KernelProgram program = lowering::lower(testing::program_of(std::move(graph)), {2});
  REQUIRE(kernel_calls(program.entries[0]) == 1);
  CHECK(written_by(program, 0) == std::vector<BufferRef>{{BufferRef::Space::result, 0}});
}

TEST_CASE("a reshape that merges axes views the buffer of what it reads, row by row in one kernel") {
  Graph graph;
  graph.name = "infer";
  const ValueId x = graph.add_parameter("x", f32({kB, 4, 6}), Role::input, 0);
  Builder b(graph);
  const ValueId merged = b.reshape(b.exp(x), {kB, 24});
  graph.results.push_back({"y", Role::output, 0, b.reduce_sum(b.neg(merged), {1})});
  const ir::KernelProgram program = lowering::lower(testing::program_of(std::move(graph)), {2});
  CHECK(kernel_calls(program.entries[0]) == 1);
  CHECK(program.entries[0].slots.size() == 1);
}

}  // namespace mlpc
