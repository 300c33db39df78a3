#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "compiler/autodiff/autodiff.h"
#include "compiler/passes/passes.h"
#include "ir/builder.h"
#include "ir/verify.h"
#include "tests/support/random_program.h"

namespace mlpc {
namespace {

using namespace ir;

constexpr std::int64_t kExtent = 7;
std::int64_t extent(std::string_view) { return kExtent; }

std::size_t count_of(const Graph& graph, Op op) {
  std::size_t count = 0;
  for (std::uint32_t i = 0; i < graph.node_count(); ++i) count += graph.node({i}).op == op;
  return count;
}

TEST_CASE("recomputed segments give the same values, whatever their number") {
  std::size_t recomputed = 0;
  testing::OpCounts counts;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    testing::Random random(seed);
    const Program jacobian = autodiff::transpose(
        autodiff::linearise(testing::random_program(30, ElementType::f64, random, counts)));
    const Graph& grad = *jacobian.find("grad");
    const std::vector<HostTensor> expected = evaluate(grad, testing::arguments_for(grad, kExtent), extent);
    for (std::int64_t segments : {1, 2, 3, 8, 64}) {
      const Program program = passes::recompute_segments(jacobian, segments, extent);
      verify(program);
      const Graph& again = *program.find("grad");
      const std::vector<HostTensor> values = evaluate(again, testing::arguments_for(again, kExtent), extent);
      REQUIRE(values.size() == expected.size());
      for (std::size_t i = 0; i < values.size(); ++i)
        CHECK(std::ranges::equal(values[i].values, expected[i].values, [](double a, double b) {
          return a == b || (std::isnan(a) && std::isnan(b));
        }));
      if (segments == 1) CHECK(count_of(again, Op::recompute_) == 0);
      recomputed += count_of(again, Op::recompute_);
    }
  }
  CHECK(recomputed > 100);
}

TEST_CASE("a chain in 4 segments computes no more than its forward part again") {
  Program program;
  program.model = "m";
  program.element = ElementType::f64;
  program.target = "x86-64-v4";
  const Type type{ElementType::f64, {8}};
  program.params = {{"w", type}};
  assign_offsets(program.params);
  Graph graph;
  graph.name = "forward";
  Builder b(graph);
  const ValueId w = graph.add_parameter("w", type, Role::param, 0);
  ValueId h = w;
  for (int i = 0; i < 40; ++i) h = b.value(Op::tanh_, {b.mul(h, w)});
  graph.results.push_back({"loss", Role::loss_total, 0, b.reduce_sum(h, {0})});
  program.graphs.push_back(std::move(graph));
  const Program jacobian = autodiff::transpose(autodiff::linearise(program));
  const Graph again = *passes::recompute_segments(jacobian, 4, extent).find("grad");
  const std::size_t tanhs = count_of(again, Op::tanh_);
  CHECK(tanhs > 60);                            // all segments but the last one are computed again
  CHECK(tanhs <= 80);                           // once
  CHECK(count_of(again, Op::recompute_) <= 8);  // a segment reads the parameter and what crosses its cut
}

}  // namespace
}  // namespace mlpc
