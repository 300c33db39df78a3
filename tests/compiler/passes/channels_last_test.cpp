#include <doctest/doctest.h>

#include "compiler/passes/passes.h"
#include "ir/builder.h"

namespace mlpc {
namespace {

using namespace ir;

constexpr std::int64_t kExtent = 8, kTaps = 3;

ValueId convolution(Builder& b, ValueId x, ValueId w) {
  const Shape around = {0, 0, 1, 1}, extents = {kExtent, kTaps};
  const ValueId windows = b.window(b.window(b.pad(x, around, around), 2, extents, 1, 1), 4, extents, 1, 1);
  const ValueId operands[] = {windows, w};
  return b.einsum("ncaubv,ocuv->noab", operands);
}

/// The transposes of relu(conv(relu(conv(x)) + bias)) over `channels`.
int transposes(std::int64_t channels) {
  const Dim n = Dim::named("B");
  const ElementType f32 = ElementType::f32;
  Program program;
  Graph graph;
  const ValueId x = graph.add_parameter("x", {f32, {n, channels, kExtent, kExtent}}, Role::input, 0);
  ValueId w[2], bias = graph.add_parameter("bias", {f32, {channels}}, Role::param, 2);
  for (std::uint32_t i = 0; i < 2; ++i)
    w[i] = graph.add_parameter(i ? "w1" : "w0", {f32, {channels, channels, kTaps, kTaps}}, Role::param, i);
  Builder b(graph);
  ValueId y = convolution(b, x, w[0]);
  y = b.add(y, b.broadcast(bias, b.type(y).shape, {1}));
  y = convolution(b, b.value(Op::max_, {y, b.full_like(y, 0)}), w[1]);
  graph.results.push_back({"y", Role::output, 0, b.value(Op::max_, {y, b.full_like(y, 0)})});
  program.graphs.push_back(std::move(graph));
  const Graph after = passes::drop_unused(passes::channels_last(program)).graphs[0];
  CHECK(after.type(after.results[0].value) == program.graphs[0].type(program.graphs[0].results[0].value));
  int count = 0;
  for (std::uint32_t i = 0; i < after.node_count(); ++i) count += after.node({i}).op == Op::transpose_;
  return count;
}

TEST_CASE("between convolutions channels stay last: transposes stand at inputs, weights and results") {
  CHECK(transposes(16) == 4);
}

TEST_CASE("a few channels stay where they are") { CHECK(transposes(6) == 0); }

}  // namespace
}  // namespace mlpc
