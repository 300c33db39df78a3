#include <doctest/doctest.h>

#include <cmath>
#include <vector>

#include "ir/builder.h"
#include "ir/evaluate.h"
#include "tests/support/compiled/compiled.h"
#include "tests/support/random_program.h"
#include "tests/support/tolerance.h"

// Products of matrices that are large enough for schedules of their own: sums in blocks, rows in lanes,
// packing.

namespace mlpc {
namespace {

using namespace ir;
using testing::CompiledProgram;

/// y = relu(x W + bias), z = (y > 0) · (d V'), v = d' x: forward, backward and gradient of a dense layer.
Program dense_layer(std::int64_t depth, std::int64_t columns, ElementType floats, std::string target) {
  const Dim rows = Dim::named(testing::kFreeDim);
  Program program;
  program.model = "m";
  program.element = floats;
  program.target = std::move(target);
  program.dims = {testing::kFreeDim};
  program.inputs = {{"x", {floats, {rows, depth}}}, {"d", {floats, {rows, depth}}}};
  program.params = {
      {"W", {floats, {depth, columns}}}, {"V", {floats, {columns, depth}}}, {"bias", {floats, {columns}}}};
  assign_offsets(program.params);
  Graph graph;
  graph.name = "infer";
  Builder b(graph);
  std::vector<ValueId> in, params;
  for (std::uint32_t i = 0; i < 2; ++i)
    in.push_back(graph.add_parameter(program.inputs[i].name, program.inputs[i].type, Role::input, i));
  for (std::uint32_t i = 0; i < 3; ++i)
    params.push_back(graph.add_parameter(program.params[i].path, program.params[i].type, Role::param, i));
  const auto einsum = [&](const char* spec, ValueId left, ValueId right) {
    const ValueId operands[] = {left, right};
    return b.einsum(spec, operands);
  };
  const ValueId sum = einsum("bk,kn->bn", in[0], params[0]);
  const ValueId zeros = b.full_like(sum, 0);
  const ValueId y = b.value(Op::max_, {b.add(sum, b.broadcast(params[2], b.type(sum).shape, {1})), zeros});
  const ValueId z = b.where(b.compare(Op::gt_, y, zeros), einsum("bk,nk->bn", in[1], params[1]), zeros);
  graph.results.push_back({"y", Role::output, 0, y});
  graph.results.push_back({"z", Role::output, 1, z});
  graph.results.push_back({"v", Role::output, 2, einsum("bk,bj->jk", in[0], in[1])});
  program.graphs.push_back(std::move(graph));
  return program;
}

bool is_near(const std::vector<HostTensor>& values, const std::vector<HostTensor>& expected, double bound) {
  for (std::size_t i = 0; i < values.size(); ++i)
    for (std::size_t j = 0; j < values[i].values.size(); ++j)
      if (!testing::agree(values[i].values[j], expected[i].values[j], bound)) return false;
  return true;
}

struct Case {
  std::int64_t depth, columns;
  ElementType floats;
  const char* target;
  std::vector<std::int64_t> rows;
};
/// The values of the evaluator, and the same bits at every level and in any order of the tasks.
void check(const Case& c) {
  INFO(c.depth << " × " << c.columns << " " << c.target);
  const Program program = dense_layer(c.depth, c.columns, c.floats, c.target);
  const Graph& graph = program.graphs.front();
  const double bound = testing::units_of_products(c.depth) * testing::unit_of(c.floats);
  const CompiledProgram tiled(program, 2), fused(program, 1), plain(program, 0);
  for (std::int64_t rows : c.rows) {
    INFO(rows << " rows");
    const std::vector<HostTensor> arguments = testing::arguments_for(graph, rows);
    const testing::Dims dims = {{testing::kFreeDim, rows}};
    const std::vector<HostTensor> values = tiled.run("infer", arguments, dims);
    CHECK(is_near(values, evaluate(graph, arguments, [&](std::string_view) { return rows; }), bound));
    CHECK(testing::same_bits(values, tiled.run_backwards("infer", arguments, dims)));
    CHECK(testing::same_bits(values, fused.run("infer", arguments, dims)));
    CHECK(testing::same_bits(values, plain.run("infer", arguments, dims)));
  }
}

TEST_CASE("large products have the evaluator's values, and the same bits at every level") {
  const std::vector<std::int64_t> many = {1, 2, 128, 150,
                                          300};  // W turned in registers, chunks of δ, blocks of X'δ
  check({264, 1024, ElementType::f32, "x86-64-v4", {0, 1, 5, 19, 33}});  // two blocks of the sum
  check({264, 1030, ElementType::f32, "x86-64-v3", {7, 19}});            // and columns that leave a tail
  check({264, 520, ElementType::f64, "x86-64-v4", {5, 20}});
  check({96, 80, ElementType::f32, "x86-64-v4", many});
  check({96, 80, ElementType::f32, "x86-64-v3", many});
  check({72, 96, ElementType::f64, "x86-64", many});
}

TEST_CASE("products whose tasks pack what they read, for a small cache") {
  check({128, 128, ElementType::f64, "x86-64-v3", {15, 16, 300}});  // a few turns, and two blocks of X'δ
}

TEST_CASE("products whose tasks pack what they read, of f32") {
  check({320, 384, ElementType::f32, "x86-64-v3", {0, 1, 15, 16, 43}});
  check({256, 256, ElementType::f32, "x86-64", {4, 21}});
}

}  // namespace
}  // namespace mlpc
