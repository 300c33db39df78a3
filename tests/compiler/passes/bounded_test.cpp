#include <doctest/doctest.h>

#include <cmath>
#include <limits>

#include "compiler/passes/passes.h"
#include "ir/builder.h"
#include "ir/evaluate.h"

namespace mlpc {
namespace {

using namespace ir;

TEST_CASE("tanh(softplus(x)) and its derivative's sigmoid are made of one exp, and as exact") {
  constexpr double kInfinity = std::numeric_limits<double>::infinity();
  HostTensor x{{0}, {kInfinity, -kInfinity, std::numeric_limits<double>::quiet_NaN(), 0.0, -0.0, 800, -700}};
  for (double value = -40; value < 40; value += 0.37) x.values.push_back(value);
  x.shape = {static_cast<std::int64_t>(x.values.size())};
  Program program;
  Graph graph;
  const ValueId v = graph.add_parameter("x", {ElementType::f64, {x.shape[0]}}, Role::input, 0);
  Builder b(graph);
  const ValueId results[] = {b.value(Op::tanh_, {b.value(Op::softplus_, {v})}), b.value(Op::sigmoid_, {v})};
  for (std::uint32_t i = 0; i < 2; ++i)
    graph.results.push_back({i ? "sigmoid" : "factor", Role::output, i, results[i]});
  program.graphs.push_back(graph);
  const Graph after = passes::drop_unused(passes::rewrite_bounded(program)).graphs[0];
  int exps = 0;
  for (std::uint32_t i = 0; i < after.node_count(); ++i) {
    exps += after.node({i}).op == Op::exp_;
    CHECK((after.node({i}).op != Op::tanh_ && after.node({i}).op != Op::sigmoid_));
  }
  CHECK(exps == 1);
  // exp and at most five roundings behind it.
  constexpr double kRelative = 16 * std::numeric_limits<double>::epsilon();
  const auto no_dims = [](std::string_view) -> std::int64_t { return 0; };
  const std::vector<HostTensor> now = evaluate(after, {&x, 1}, no_dims),
                                expected = evaluate(graph, {&x, 1}, no_dims);
  for (std::size_t r = 0; r < 2; ++r)
    for (std::size_t i = 0; i < x.values.size(); ++i) {
      INFO(x.values[i]);
      const double a = now[r].values[i], e = expected[r].values[i];
      CHECK((std::isnan(e) ? std::isnan(a) : std::abs(a - e) <= kRelative * e));
    }
}

}  // namespace
}  // namespace mlpc
