#include <doctest/doctest.h>

#include "compiler/codegen/kernel_facts.h"
#include "ir/error.h"
#include "tests/compiler/codegen/kernel_jit.h"
#include "tests/compiler/codegen/kernel_samples.h"

namespace mlpc::codegen {
namespace {

using ir::AffineIndex;
using ir::BufferId;
using ir::Dim;
using ir::ElementType;
using ir::KernelBuilder;
using ir::LoopSchedule;
using ir::Scalar;
using ir::ScalarOp;

const std::vector<Dims> kTables = {{{"M", 3}, {"N", 0}}, {{"M", 0}, {"N", 5}},   {{"M", 1}, {"N", 1}},
                                   {{"M", 5}, {"N", 7}}, {{"M", 33}, {"N", 17}}, {{"M", 16}, {"N", 64}}};

Scalar is_inside(KernelBuilder& b, const AffineIndex& index, const Dim& extent) {
  const Scalar at = b.index_value(index), end = b.index_value({extent, {}, {}});
  return b.binary(ScalarOp::and_, b.compare(ScalarOp::ge_, at, b.index_value({})),
                  b.compare(ScalarOp::lt_, at, end));
}

AffineIndex shifted(ir::VarId var, std::int64_t by) { return {Dim(by), {{var, 1}}, {}}; }

/// y[i, j] = x[i - 1, j - 2] + rows[i - 1] + 1, where each stands for 0 outside of its buffer.
ir::Kernel padded(ElementType type, LoopSchedule rows, LoopSchedule columns, const Dim& m = Dim::named("M"),
                  const Dim& n = Dim::named("N")) {
  KernelBuilder b("padded");
  const auto x = b.add_buffer("x", {type, {m, n}}, false);
  const auto row = b.add_buffer("row", {type, {m}}, false);
  const auto y = b.add_buffer("y", {type, {m + Dim(2), n + Dim(5)}}, true);
  const auto i = b.new_var(), j = b.new_var();
  b.open_loop(i, m + Dim(2), rows);
  b.open_loop(j, n + Dim(5), columns);
  const AffineIndex at_row = shifted(i, -1), at_column = shifted(j, -2);
  const Scalar has_row = is_inside(b, at_row, m), has_column = is_inside(b, at_column, n);
  const Scalar both = b.binary(ScalarOp::and_, has_row, has_column);
  const Scalar sum = b.add(b.load(x, {at_row, at_column}, both), b.load(row, {at_row}, both));
  b.store(y, {at(i), at(j)}, b.add(sum, b.constant(type, 1)));
  b.close_loop();
  b.close_loop();
  return b.finish();
}

/// sums[row[t], j] += x[t, j], t by t.
ir::Kernel scattered(LoopSchedule columns, std::int64_t block) {
  KernelBuilder b("scattered");
  const Dim turns = Dim::named("M"), n = Dim::named("N");
  const auto x = b.add_buffer("x", {ElementType::f32, {turns, n}}, false);
  const auto row = b.add_buffer("row", {ElementType::i64, {turns}}, false);
  const auto sums = b.add_buffer("sums", {ElementType::f32, {9, n}}, true);
  const auto j = b.new_var(), r = b.new_var(), t = b.new_var();
  if (block) b.add_task_split(j, block);
  b.open_loop(j, n, columns);
  b.open_loop(r, 9, {});
  b.store(sums, {at(r), at(j)}, b.constant(ElementType::f32, 0));
  b.close_loop();
  const Scalar nothing = b.open_recurrence(t, turns, ir::Constant::of_integer(ElementType::i64, 0));
  const AffineIndex id{0, {}, b.load(row, {at(t)}).id};
  b.store(sums, {id, at(j)}, b.add(b.load(sums, {id, at(j)}), b.load(x, {at(t), at(j)})));
  b.close_recurrence(nothing);
  b.close_loop();
  return b.finish();
}

}  // namespace

TEST_CASE("a load whose guard is false gives 0 and touches nothing, in lanes of either axis or none") {
  for (const LoopSchedule& rows : {LoopSchedule{1, true}, LoopSchedule{3, false}, LoopSchedule{1, false}})
    for (const LoopSchedule& columns : {LoopSchedule{2, true}, LoopSchedule{4, false}})
      check_against_interpreter(padded(ElementType::f32, rows, columns), kTables, {.all_targets = true});
  for (ElementType type : {ElementType::f64, ElementType::i32, ElementType::u8})
    check_against_interpreter(padded(type, {1, false}, {2, true}), kTables);
}

TEST_CASE("a half of a vector whose lanes are all known to be off is not loaded") {
  for (ElementType type : {ElementType::f32, ElementType::f64, ElementType::i64})
    for (std::int64_t extent : {0, 1, 2, 3, 9})
      check_against_interpreter(padded(type, {1, false}, {1, true}, 1, extent), {{}}, {.all_targets = true});
}

TEST_CASE("the turns of a recurrence read what earlier ones stored, in lanes, tasks or neither") {
  for (const LoopSchedule& columns : {LoopSchedule{1, false}, LoopSchedule{1, true}, LoopSchedule{4, true}})
    check_against_interpreter(scattered(columns, columns.unroll > 1 ? 32 : 0), kTables,
                              {.all_targets = true});
}

TEST_CASE("a guard is a bool") {
  KernelBuilder b("bad");
  const auto x = b.add_buffer("x", {ElementType::f32, {4}}, false);
  b.load(x, {{}}, b.index_value({}));
  CHECK_THROWS_WITH_AS(check_kernel(b.finish()), "kernel `bad` guards a load by what is no bool", Error);
}

}  // namespace mlpc::codegen
