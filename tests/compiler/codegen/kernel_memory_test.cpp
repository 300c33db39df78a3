#include "compiler/codegen/kernel_memory.h"

#include <doctest/doctest.h>

#include "tests/compiler/codegen/kernel_jit.h"
#include "tests/compiler/codegen/kernel_samples.h"

namespace mlpc::codegen {
namespace {

using ir::AffineIndex;
using ir::Dim;
using ir::ElementType;
using ir::KernelBuilder;
using ir::LoopSchedule;
using ir::Reducer;
using ir::Scalar;

const std::vector<Dims> kTables = {{{"M", 3}, {"N", 0}},   {{"M", 1}, {"N", 1}},   {{"M", 5}, {"N", 7}},
                                   {{"M", 33}, {"N", 17}}, {{"M", 16}, {"N", 64}}, {{"M", 70}, {"N", 37}}};

/// y[j, i] = x[i, j] + 1.
ir::Kernel transposed(ElementType type, const Dim& m, const Dim& n, LoopSchedule rows, LoopSchedule columns,
                      bool columns_outside) {
  KernelBuilder b("transposed");
  const auto x = b.add_buffer("x", {type, {m, n}}, false);
  const auto y = b.add_buffer("y", {type, {n, m}}, true);
  const auto i = b.new_var(), j = b.new_var();
  if (columns_outside) b.open_loop(j, n, columns);
  b.open_loop(i, m, rows);
  if (!columns_outside) b.open_loop(j, n, columns);
  b.store(y, {at(j), at(i)}, b.add(b.load(x, {at(i), at(j)}), b.constant(type, 1)));
  b.close_loop();
  b.close_loop();
  return b.finish();
}

}  // namespace

TEST_CASE("a transposing copy reads and writes each element once under every schedule") {
  const Dim m = Dim::named("M"), n = Dim::named("N");
  for (bool columns_outside : {false, true})
    for (int jam : {1, 3, 8, 16}) {
      INFO("jam " << jam << ", columns outside " << columns_outside);
      check_against_interpreter(transposed(ElementType::f32, m, n, {1, true}, {jam, false}, columns_outside),
                                kTables);
      check_against_interpreter(transposed(ElementType::f32, m, n, {jam, false}, {1, true}, columns_outside),
                                kTables);
      check_against_interpreter(
          transposed(ElementType::f32, 37, 50, {jam, false}, {2, true}, columns_outside), kTables);
    }
  check_against_interpreter(transposed(ElementType::u8, m, n, {16, false}, {1, true}, false), kTables);
  check_against_interpreter(transposed(ElementType::f64, m, n, {1, true}, {8, false}, false), kTables);
}

TEST_CASE("rows are gathered by an index, which may be in lanes, jammed or neither") {
  const Dim m = Dim::named("M"), n = Dim::named("N");
  for (const LoopSchedule& rows : {LoopSchedule{1, true}, LoopSchedule{3, false}, LoopSchedule{1, false}})
    for (const LoopSchedule& columns : {LoopSchedule{2, true}, LoopSchedule{1, false}}) {
      KernelBuilder b("gathered");
      const auto table = b.add_buffer("table", {ElementType::f32, {9, n}}, false);
      const auto row = b.add_buffer("row", {ElementType::i64, {m}}, false);
      const auto y = b.add_buffer("y", {ElementType::f32, {m, n}}, true);
      const auto i = b.new_var(), j = b.new_var();
      b.open_loop(i, m, rows);
      AffineIndex index;
      index.scalar = b.load(row, {at(i)}).id;
      b.open_loop(j, n, columns);
      b.store(y, {at(i), at(j)}, b.load(table, {index, at(j)}));
      b.close_loop();
      b.close_loop();
      check_against_interpreter(b.finish(), kTables, {.all_targets = true});
    }
}

TEST_CASE("an update in place reads each element before it is written") {
  const Dim batch = Dim::named("B");
  for (const ContractionSchedule& s : {ContractionSchedule{6, 4, 2}, ContractionSchedule{4, 2, 1, true}}) {
    KernelBuilder b("update");
    const auto x = b.add_buffer("x", {ElementType::f32, {batch, 20}}, false);
    const auto dy = b.add_buffer("dy", {ElementType::f32, {batch, 33}}, false);
    const auto old = b.add_buffer("old", {ElementType::f32, {20, 33}}, false);
    const auto updated = b.add_buffer("updated", {ElementType::f32, {20, 33}}, true);
    const auto i = b.new_var(), j = b.new_var(), k = b.new_var();
    b.open_loop(i, 20, {s.rows, false});
    b.open_loop(j, 33, {s.vectors, true});
    b.open_reduce({{k, batch}}, 0, s.unroll);
    const KernelBuilder::Reduction product[] = {
        {Reducer::fma, {b.load(x, {at(k), at(i)}), b.load(dy, {at(k), at(j)})}}};
    const Scalar gradient = b.close_reduce(product)[0];
    const Scalar step = b.mul(gradient, b.constant(ElementType::f32, 0.01));
    b.store(updated, {at(i), at(j)}, b.sub(b.load(old, {at(i), at(j)}), step));
    b.close_loop();
    b.close_loop();
    check_against_interpreter(b.finish(), {{{"B", 0}}, {{"B", 1}}, {{"B", 19}}},
                              {.alias = {2, 3}, .all_targets = true});
  }
}

TEST_CASE("constants, negative strides and strides of two turns are part of the address") {
  const Dim n = Dim::named("N");
  for (const LoopSchedule& schedule : {LoopSchedule{2, true}, LoopSchedule{3, false}}) {
    KernelBuilder b("windows");
    const auto x = b.add_buffer("x", {ElementType::f32, {Dim(2) * n + Dim(5)}}, false);
    const auto y = b.add_buffer("y", {ElementType::f32, {n}}, true);
    const auto reversed = b.add_buffer("reversed", {ElementType::f32, {n}}, true);
    const auto i = b.new_var();
    b.open_loop(i, n, schedule);
    const auto tap = [&](std::int64_t offset) { return b.load(x, {{Dim(offset), {{i, Dim(2)}}, {}}}); };
    const Scalar window = b.sub(b.add(tap(0), tap(4)), tap(6));
    b.store(y, {at(i)}, window);
    b.store(reversed, {{n - Dim(1), {{i, Dim(-1)}}, {}}}, b.load(x, {{n + Dim(2), {{i, Dim(-1)}}, {}}}));
    b.close_loop();
    check_against_interpreter(b.finish(), {{{"N", 0}}, {{"N", 1}}, {{"N", 19}}, {{"N", 100}}});
  }
}

TEST_CASE("free strides move each jammed row by its own pointer") {
  const Dim m = Dim::named("M"), n = Dim::named("N");
  for (const LoopSchedule& rows : {LoopSchedule{4, false}, LoopSchedule{1, true}}) {
    KernelBuilder b("row_sums");
    const auto x = b.add_buffer("x", {ElementType::f32, {n, m}}, false);
    const auto y = b.add_buffer("y", {ElementType::f32, {n}}, true);
    const auto i = b.new_var(), k = b.new_var();
    b.open_loop(i, n, rows);
    b.open_reduce({{k, m}}, 0, 3);
    const KernelBuilder::Reduction sum[] = {{Reducer::sum, {b.load(x, {at(i), at(k)})}}};
    b.store(y, {at(i)}, b.close_reduce(sum)[0]);
    b.close_loop();
    check_against_interpreter(b.finish(), kTables);
  }
}

}  // namespace mlpc::codegen
