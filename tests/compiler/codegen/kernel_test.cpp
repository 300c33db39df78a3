#include <doctest/doctest.h>

#include "compiler/codegen/kernel_codegen.h"
#include "ir/error.h"
#include "ir/kernel_builder.h"
#include "tests/compiler/codegen/kernel_jit.h"

namespace mlpc::codegen {
namespace {

using ir::AffineIndex;
using ir::Dim;
using ir::ElementType;
using ir::KernelBuilder;
using ir::LoopSchedule;
using ir::Reducer;
using ir::Scalar;
using ir::ScalarOp;
using ir::Type;

AffineIndex at(ir::VarId var) { return AffineIndex::of(var); }

const std::vector<Dims> kPointwiseDims = {{{"N", 0}}, {{"N", 1}}, {{"N", 7}}, {{"N", 65}}, {{"N", 200}}};

std::vector<LoopSchedule> loop_schedules() {
  return {{1, false}, {1, true}, {3, true}, {4, true}, {2, false}, {6, false}};
}

/// y[i] = clamp(x[i] · 3 - |x[i]| / 7) in one type, and a row number converted.
ir::Kernel pointwise(ElementType type, Dim extent, LoopSchedule schedule, std::int64_t block = 0) {
  KernelBuilder b("pointwise");
  const auto x = b.add_buffer("x", {type, {extent}}, false);
  const auto y = b.add_buffer("y", {type, {extent}}, true);
  const auto i = b.new_var();
  if (block) b.add_task_split(i, block);
  b.open_loop(i, extent, schedule);
  const Scalar v = b.load(x, {at(i)});
  const Scalar scaled = b.mul(v, b.constant(type, 3));
  const Scalar part = b.div(b.abs(v), b.constant(type, 7));
  const Scalar turn = b.convert(b.index_value(at(i)), type);
  const Scalar sum = b.add(b.sub(scaled, part), turn);
  const Scalar limit = b.constant(type, 100);
  b.store(y, {at(i)}, b.select(b.compare(ScalarOp::lt_, limit, sum), limit, sum));
  b.close_loop();
  return b.finish();
}

}  // namespace

TEST_CASE("pointwise kernels give the interpreter's bits under every schedule") {
  for (ElementType type :
       {ElementType::f32, ElementType::f64, ElementType::i32, ElementType::i64, ElementType::u8})
    for (const LoopSchedule& schedule : {LoopSchedule{1, false}, LoopSchedule{4, true}}) {
      INFO("type " << std::string(ir::name_of(type)));
      check_against_interpreter(pointwise(type, Dim::named("N"), schedule), kPointwiseDims);
    }
  for (const LoopSchedule& schedule : loop_schedules()) {
    INFO("unroll " << schedule.unroll << ", lanes " << schedule.lanes);
    check_against_interpreter(pointwise(ElementType::f32, Dim::named("N"), schedule), kPointwiseDims);
  }
}

TEST_CASE("constant extents are cut into balanced tiles that cover each turn once") {
  for (std::int64_t extent : {0, 1, 2, 7, 10, 16, 33, 65, 100, 256})
    for (const LoopSchedule& schedule : loop_schedules()) {
      INFO("extent " << extent << ", unroll " << schedule.unroll << ", lanes " << schedule.lanes);
      check_against_interpreter(pointwise(ElementType::f32, extent, schedule), {{{"N", 0}}});
    }
}

TEST_CASE("tasks cover the loop's turns once") {
  for (std::int64_t block : {1, 7, 32, 64, 1000})
    for (const LoopSchedule& schedule : {LoopSchedule{6, false}, LoopSchedule{2, true}}) {
      INFO("block " << block);
      check_against_interpreter(pointwise(ElementType::f32, Dim::named("N"), schedule, block),
                                kPointwiseDims);
      check_against_interpreter(pointwise(ElementType::f32, 64, schedule, block), {{{"N", 0}}});
    }
}

namespace {

struct RowSchedule {
  LoopSchedule row, column;
  int lanes, unroll;
};

/// Like softmax: a row's maximum, then the sum of a function of the difference, then the quotient.
ir::Kernel normalised_rows(Dim rows, Dim columns, const RowSchedule& s, std::int64_t row_block) {
  KernelBuilder b("normalised_rows");
  const Type type{ElementType::f32, {rows, columns}};
  const auto x = b.add_buffer("x", type, false);
  const auto y = b.add_buffer("y", type, true);
  const auto i = b.new_var();
  if (row_block) b.add_task_split(i, row_block);
  b.open_loop(i, rows, s.row);
  const auto reduced = [&](Reducer reducer, auto value_of) {
    const auto j = b.new_var();
    b.open_reduce({{j, columns}}, s.lanes, s.unroll);
    const Scalar value = value_of(b.load(x, {at(i), at(j)}));
    const KernelBuilder::Reduction reductions[] = {{reducer, {value}}};
    return b.close_reduce(reductions)[0];
  };
  const Scalar most = reduced(Reducer::max, [](Scalar v) { return v; });
  const auto weight = [&](Scalar v) { return b.unary(ScalarOp::sqrt_, b.sub(most, v)); };
  const Scalar sum = reduced(Reducer::sum, weight);
  const auto j = b.new_var();
  b.open_loop(j, columns, s.column);
  b.store(y, {at(i), at(j)}, b.div(weight(b.load(x, {at(i), at(j)})), sum));
  b.close_loop();
  b.close_loop();
  return b.finish();
}

}  // namespace

TEST_CASE("reductions along rows give the interpreter's bits under every schedule") {
  const std::vector<RowSchedule> schedules = {
      {{1, false}, {1, true}, 16, 1}, {{1, false}, {2, true}, 4, 3},  {{3, false}, {1, true}, 16, 2},
      {{1, true}, {1, false}, 0, 2},  {{2, true}, {1, false}, 0, 1},  {{1, true}, {4, false}, 16, 1},
      {{4, false}, {3, false}, 0, 4}, {{1, false}, {1, true}, 64, 1}, {{2, false}, {2, true}, 1, 2}};
  const Dim m = Dim::named("M"), n = Dim::named("N");
  const std::vector<Dims> dims = {{{"M", 0}, {"N", 3}},  {{"M", 1}, {"N", 1}},    {{"M", 7}, {"N", 65}},
                                  {{"M", 33}, {"N", 7}}, {{"M", 18}, {"N", 130}}, {{"M", 3}, {"N", 0}}};
  for (const RowSchedule& schedule : schedules) {
    INFO("rows " << schedule.row.unroll << (schedule.row.lanes ? " lanes" : "") << ", chains "
                 << schedule.lanes);
    check_against_interpreter(normalised_rows(m, n, schedule, 0), dims);
    check_against_interpreter(normalised_rows(m, n, schedule, 8), dims);
    check_against_interpreter(normalised_rows(m, 70, schedule, 0), dims);
    check_against_interpreter(normalised_rows(5, 10, schedule, 0), {{{"N", 0}}});
  }
}

namespace {

/// All reducers over the first axis (columns, strided) or the second (rows), in one reduction.
ir::Kernel all_reducers(ElementType type, bool columns, LoopSchedule schedule, int lanes, int unroll) {
  KernelBuilder b("all_reducers");
  const Dim m = Dim::named("M"), n = Dim::named("N");
  const Dim kept = columns ? n : m, reduced = columns ? m : n;
  const auto x = b.add_buffer("x", {type, {m, n}}, false);
  std::vector<KernelBuilder::Reduction> reductions;
  std::vector<ir::BufferId> results;
  for (const char* name : {"sum", "prod", "max", "min"})
    results.push_back(b.add_buffer(name, {type, {kept}}, true));
  for (const char* name : {"any", "all"})
    results.push_back(b.add_buffer(name, {ElementType::boolean, {kept}}, true));
  results.push_back(b.add_buffer("argmax", {ElementType::i64, {kept}}, true));
  const auto i = b.new_var(), k = b.new_var();
  b.open_loop(i, kept, schedule);
  b.open_reduce({{k, reduced}}, lanes, unroll);
  const Scalar v = columns ? b.load(x, {at(k), at(i)}) : b.load(x, {at(i), at(k)});
  const Scalar positive = b.compare(ScalarOp::gt_, v, b.constant(type, 3));
  for (Reducer reducer : {Reducer::sum, Reducer::prod, Reducer::max, Reducer::min})
    reductions.push_back({reducer, {v}});
  for (Reducer reducer : {Reducer::any, Reducer::all}) reductions.push_back({reducer, {positive}});
  reductions.push_back({Reducer::argmax, {v}});
  const std::vector<Scalar> values = b.close_reduce(reductions);
  for (std::size_t r = 0; r < values.size(); ++r) b.store(results[r], {at(i)}, values[r]);
  b.close_loop();
  return b.finish();
}

}  // namespace

TEST_CASE("every reducer keeps its order, its identity and the lowest position of ties") {
  const std::vector<Dims> dims = {{{"M", 1}, {"N", 0}},
                                  {{"M", 0}, {"N", 3}},
                                  {{"M", 5}, {"N", 7}},
                                  {{"M", 65}, {"N", 33}},
                                  {{"M", 20}, {"N", 100}}};
  for (ElementType type : {ElementType::f32, ElementType::f64, ElementType::i32, ElementType::u8})
    for (bool columns : {false, true})
      for (int lanes : {0, 4, 16}) {
        INFO("type " << std::string(ir::name_of(type)) << ", columns " << columns << ", chains " << lanes);
        check_against_interpreter(all_reducers(type, columns, {2, true}, lanes, 2), dims);
        check_against_interpreter(all_reducers(type, columns, {3, false}, lanes, 3), dims);
      }
}

namespace {

struct ContractionSchedule {
  int rows, vectors, unroll;
  bool columns_outside = false;
};

/// c[i, j] = clamp(Σₖ a[i, k] · w[k, j] + bias[j], 0).
ir::Kernel contraction(ElementType type, Dim m, Dim n, Dim k_extent, const ContractionSchedule& s,
                       std::int64_t row_block = 0) {
  KernelBuilder b("contraction");
  const auto a = b.add_buffer("a", {type, {m, k_extent}}, false);
  const auto w = b.add_buffer("w", {type, {k_extent, n}}, false);
  const auto bias = b.add_buffer("bias", {type, {n}}, false);
  const auto c = b.add_buffer("c", {type, {m, n}}, true);
  const auto i = b.new_var(), j = b.new_var(), k = b.new_var();
  if (row_block) b.add_task_split(i, row_block);
  const auto open_columns = [&] { b.open_loop(j, n, {s.vectors, true}); };
  if (s.columns_outside) open_columns();
  b.open_loop(i, m, {s.rows, false});
  if (!s.columns_outside) open_columns();
  b.open_reduce({{k, k_extent}}, 0, s.unroll);
  const KernelBuilder::Reduction product[] = {
      {Reducer::fma, {b.load(a, {at(i), at(k)}), b.load(w, {at(k), at(j)})}}};
  const Scalar sum = b.add(b.close_reduce(product)[0], b.load(bias, {at(j)}));
  const Scalar zero = b.constant(type, 0);
  b.store(c, {at(i), at(j)}, b.select(b.compare(ScalarOp::gt_, sum, zero), sum, zero));
  b.close_loop();
  b.close_loop();
  return b.finish();
}

}  // namespace

TEST_CASE("contractions give the interpreter's bits whatever the tile") {
  const std::vector<Dims> rows = {{{"M", 0}}, {{"M", 1}}, {{"M", 5}}, {{"M", 8}}, {{"M", 13}}, {{"M", 32}}};
  const Dim m = Dim::named("M");
  for (std::int64_t columns : {10, 64, 65, 256})
    for (const ContractionSchedule& s : {ContractionSchedule{6, 4, 2}, ContractionSchedule{6, 4, 2, true},
                                         ContractionSchedule{8, 3, 1}, ContractionSchedule{1, 1, 4}}) {
      INFO("N " << columns << ", tile " << s.rows << "x" << s.vectors);
      check_against_interpreter(contraction(ElementType::f32, m, columns, 7, s), rows);
    }
  for (std::int64_t depth : {1, 7, 784})
    check_against_interpreter(contraction(ElementType::f32, m, 65, depth, {6, 4, 2}), {{{"M", 13}}});
  check_against_interpreter(contraction(ElementType::f32, 32, 64, 20, {6, 4, 2, true}), {{{"M", 0}}});
  check_against_interpreter(contraction(ElementType::f64, m, 65, 7, {4, 2, 3}), rows);
  const Dim n = Dim::named("N"), k = Dim::named("K");
  check_against_interpreter(contraction(ElementType::f32, m, n, k, {6, 4, 2}, 8),
                            {{{"M", 0}, {"N", 3}, {"K", 5}},
                             {{"M", 7}, {"N", 65}, {"K", 1}},
                             {{"M", 20}, {"N", 200}, {"K", 9}},
                             {{"M", 3}, {"N", 17}, {"K", 0}}});
}

}  // namespace mlpc::codegen
