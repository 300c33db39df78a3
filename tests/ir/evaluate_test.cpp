#include "ir/evaluate.h"

#include <doctest/doctest.h>

#include "ir/builder.h"
#include "ir/error.h"

namespace mlpc::ir {
namespace {

std::int64_t three(std::string_view) { return 3; }

TEST_CASE("a graph with a free extent is evaluated for the extents of its parameters") {
  Graph graph;
  graph.name = "g";
  Builder b(graph);
  const Type type{ElementType::f32, {Dim::named("B"), 2}};
  const ValueId x = graph.add_parameter("x", type, Role::input);
  const ValueId sum = b.reduce_sum(b.mul(x, x), {0});
  graph.results.push_back({"sum", Role::output, 0, sum});
  const HostTensor given{{3, 2}, {1, 2, 3, 4, 5, 6}};
  const std::vector<HostTensor> results = evaluate(graph, {&given, 1}, three);
  REQUIRE(results.size() == 1);
  CHECK(results[0].shape == std::vector<std::int64_t>{2});
  CHECK(results[0].values == std::vector<double>{35, 56});

  const HostTensor turned{{2, 3}, {1, 2, 3, 4, 5, 6}};
  CHECK_THROWS_WITH_AS(evaluate(graph, {&turned, 1}, three),
                       "graph g: `x` is f32[B, 2], and is given in another shape", Error);
  CHECK_THROWS_WITH_AS(evaluate(graph, {}, three), "graph g has 1 parameters, 0 are given", Error);
}

TEST_CASE("a value that would fill the memory is refused before it is made") {
  Graph graph;
  graph.name = "g";
  Builder b(graph);
  const ValueId wide = b.full({ElementType::f32, {Dim::named("B") * Dim::named("B") * Dim(1 << 30)}}, 1);
  graph.results.push_back({"wide", Role::output, 0, wide});
  CHECK_THROWS_WITH_AS(evaluate(graph, {}, three), "graph g: a value has more than 134217728 elements",
                       Error);

  Graph none;
  none.name = "g";
  Builder c(none);
  const ValueId nothing = c.full({ElementType::f32, {Dim(1 << 30), Dim(1 << 30), Dim(0)}}, 1);
  none.results.push_back({"nothing", Role::output, 0, nothing});
  CHECK(evaluate(none, {}, three)[0].values.empty());
}

}  // namespace
}  // namespace mlpc::ir
