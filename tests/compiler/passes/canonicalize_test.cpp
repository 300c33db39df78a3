#include <doctest/doctest.h>

#include "compiler/passes/passes.h"
#include "ir/builder.h"
#include "ir/text.h"
#include "tests/support/golden.h"

namespace mlpc {
namespace {

TEST_CASE("each exact rule rewrites its pattern") {
  const char* name = "canonicalize/rules.ir";
  const ir::Program program = ir::parse_program(testing::golden_input(name), name);
  CHECK(testing::matches_golden(name, ir::print(passes::drop_unused(passes::canonicalize(program)))));
}

TEST_CASE("what is canonical stays") {
  const char* name = "canonicalize/rules.ir";
  const ir::Program once = passes::canonicalize(ir::parse_program(testing::golden_input(name), name));
  CHECK(ir::print(passes::canonicalize(once)) == ir::print(once));
}

namespace {

/// x padded to [4, 10] from column `first` on, and so on, all added up: the op of the result.
ir::Op op_of_sum(std::initializer_list<std::pair<std::int64_t, std::int64_t>> parts) {
  ir::Program program;
  program.stage = ir::Stage::joint;
  ir::Graph graph;
  graph.name = "infer";
  ir::Builder b(graph);
  std::optional<ir::ValueId> sum;
  for (const auto& [first, extent] : parts) {
    const auto number = static_cast<std::uint32_t>(graph.parameters().size());
    const ir::ValueId part = graph.add_parameter(
        fmt::format("x{}", number), {ir::ElementType::f32, {4, extent}}, ir::Role::input, number);
    const ir::ValueId padded = b.pad(part, {0, first}, {0, 10 - first - extent});
    sum = sum ? b.add(*sum, padded) : padded;
  }
  graph.results.push_back({"y", ir::Role::output, 0, *sum});
  program.graphs.push_back(std::move(graph));
  const ir::Graph after = passes::canonicalize(program).graphs.front();
  return after.producer(after.results.front().value).op;
}

}  // namespace

TEST_CASE("parts that lie side by side are joined; not those that overlap or leave a gap") {
  CHECK(op_of_sum({{0, 3}, {3, 5}, {8, 2}}) == ir::Op::concat_);
  CHECK(op_of_sum({{8, 2}, {0, 3}, {3, 5}}) == ir::Op::concat_);
  CHECK(op_of_sum({{0, 3}, {2, 8}}) == ir::Op::add_);
  CHECK(op_of_sum({{0, 3}, {4, 6}}) == ir::Op::add_);
  CHECK(op_of_sum({{0, 3}, {3, 6}}) == ir::Op::add_);
}

}  // namespace
}  // namespace mlpc
