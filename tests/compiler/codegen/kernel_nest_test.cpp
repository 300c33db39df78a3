#include "compiler/codegen/kernel_nest.h"

#include <doctest/doctest.h>

#include "tests/compiler/codegen/kernel_jit.h"
#include "tests/compiler/codegen/kernel_samples.h"

namespace mlpc::codegen {
namespace {

using ir::Dim;
using ir::ElementType;
using ir::LoopSchedule;

const std::vector<Dims> kDims = {{{"N", 0}}, {{"N", 1}}, {{"N", 7}}, {{"N", 65}}, {{"N", 200}}};
const std::vector<Dims> kNoDims = {{{"N", 0}}};

}  // namespace

TEST_CASE("a loop with a free extent covers each turn once under every schedule") {
  for (const LoopSchedule& schedule :
       {LoopSchedule{1, false}, LoopSchedule{1, true}, LoopSchedule{3, true}, LoopSchedule{4, true},
        LoopSchedule{2, false}, LoopSchedule{6, false}}) {
    INFO("unroll " << schedule.unroll << ", lanes " << schedule.lanes);
    check_against_interpreter(pointwise(ElementType::f32, Dim::named("N"), schedule), kDims,
                              {.all_targets = true});
    // Of multiples of a vector, and of some, nothing is left over.
    for (std::int64_t factor : {16, 48, 64})
      check_against_interpreter(pointwise(ElementType::f32, Dim(factor) * Dim::named("N"), schedule), kDims,
                                {.all_targets = true});
  }
}

TEST_CASE("a loop with a constant extent is cut into balanced tiles that cover each turn once") {
  for (std::int64_t extent : {0, 1, 2, 10, 33, 65, 100})
    for (const LoopSchedule& schedule :
         {LoopSchedule{1, true}, LoopSchedule{4, true}, LoopSchedule{6, false}}) {
      INFO("extent " << extent << ", unroll " << schedule.unroll << ", lanes " << schedule.lanes);
      check_against_interpreter(pointwise(ElementType::f32, extent, schedule), kNoDims);
    }
}

namespace {

/// y[i] = -x[i], in chunks of 48 turns.
ir::Kernel in_chunks(const Dim& extent, LoopSchedule chunks, LoopSchedule turns, std::int64_t block) {
  constexpr std::int64_t kChunk = 48;
  ir::KernelBuilder b("chunks");
  const auto x = b.add_buffer("x", {ElementType::f32, {extent}}, false);
  const auto y = b.add_buffer("y", {ElementType::f32, {extent}}, true);
  const auto chunk = b.new_var(), i = b.new_var();
  if (block) b.add_task_split(chunk, block);
  const ir::AffineIndex first = Dim(kChunk) * at(chunk);
  b.open_loop(chunk, Dim::ceildiv(extent, kChunk), chunks);
  b.open_loop(i, kChunk, turns, ir::Loop::Limit{first, extent});
  b.store(y, {first + at(i)}, b.neg(b.load(x, {first + at(i)})));
  b.close_loop();
  b.close_loop();
  return b.finish();
}

}  // namespace

TEST_CASE("a loop with a limit ends there, under every schedule of it and of the loop around it") {
  for (const LoopSchedule& chunks : {LoopSchedule{1, false}, LoopSchedule{3, false}, LoopSchedule{2, true}})
    for (const LoopSchedule& turns :
         {LoopSchedule{1, false}, LoopSchedule{6, false}, LoopSchedule{1, true}, LoopSchedule{2, true}})
      for (std::int64_t block : {0, 1, 2}) {
        INFO("unroll " << turns.unroll << ", lanes " << turns.lanes << ", block " << block);
        check_against_interpreter(in_chunks(Dim::named("N"), chunks, turns, block), kDims,
                                  {.all_targets = true});
      }
  check_against_interpreter(in_chunks(100, {1, false}, {6, false}, 1), kNoDims);
}

TEST_CASE("every element type has the interpreter's bits") {
  for (ElementType type : {ElementType::f64, ElementType::i32, ElementType::i64, ElementType::u8}) {
    INFO("type " << std::string(ir::name_of(type)));
    check_against_interpreter(pointwise(type, Dim::named("N"), {2, true}), kDims, {.all_targets = true});
    check_against_interpreter(pointwise(type, 37, {1, true}), kNoDims, {.contents = Contents::extreme});
  }
}

TEST_CASE("tasks cover the loop's turns once, whatever their order") {
  for (std::int64_t block : {1, 32, 1000})
    for (const LoopSchedule& schedule : {LoopSchedule{6, false}, LoopSchedule{2, true}}) {
      INFO("block " << block);
      check_against_interpreter(pointwise(ElementType::f32, Dim::named("N"), schedule, block), kDims);
      for (std::int64_t extent : {64, 80, 1056, 1064})
        check_against_interpreter(pointwise(ElementType::f32, extent, schedule, block), kNoDims);
    }
}

namespace {

/// y[i, j] = x[i] - z[j], in tasks of both loops; a scalar stands between them.
ir::Kernel table(const Dim& rows, const Dim& columns, LoopSchedule row, LoopSchedule column) {
  ir::KernelBuilder b("table");
  const auto x = b.add_buffer("x", {ElementType::f32, {rows}}, false);
  const auto z = b.add_buffer("z", {ElementType::f32, {columns}}, false);
  const auto y = b.add_buffer("y", {ElementType::f32, {rows, columns}}, true);
  const auto i = b.new_var(), j = b.new_var();
  b.add_task_split(i, 4);
  b.add_task_split(j, 32);
  b.open_loop(i, rows, row);
  b.open_loop(j, columns, column);
  b.store(y, {at(i), at(j)}, b.sub(b.load(x, {at(i)}), b.load(z, {at(j)})));
  b.close_loop();
  b.close_loop();
  return b.finish();
}

}  // namespace

TEST_CASE("tasks of two loops are numbered with the last one fastest and cover the table") {
  const Dim m = Dim::named("M"), n = Dim::named("N");
  const std::vector<Dims> dims = {{{"M", 9}, {"N", 70}}, {{"M", 1}, {"N", 1}}, {{"M", 0}, {"N", 5}}};
  check_against_interpreter(table(m, n, {3, false}, {2, true}), dims);
  check_against_interpreter(table(m, n, {2, true}, {3, false}), dims);
  check_against_interpreter(table(m, n, {1, true}, {1, true}), dims);
  const CompiledKernel compiled(table(m, n, {}, {}), *runnable_targets().back(), {"M", "N"});
  CHECK(compiled.task_count({9, 70}) == 3 * 3);
  CHECK(compiled.task_count({0, 70}) == 0);
}

TEST_CASE("contractions have the interpreter's bits whatever the tile") {
  const std::vector<Dims> rows = {{{"M", 0}}, {{"M", 1}}, {{"M", 5}}, {{"M", 8}}, {{"M", 13}}, {{"M", 32}}};
  const Dim m = Dim::named("M"), n = Dim::named("N"), k = Dim::named("K");
  check_against_interpreter(contraction(ElementType::f32, m, 10, 7, {6, 4, 2}), rows, {.all_targets = true});
  check_against_interpreter(contraction(ElementType::f32, m, 64, 7, {8, 3, 1}), rows);
  check_against_interpreter(contraction(ElementType::f32, m, 65, 1, {1, 1, 4}), rows);
  check_against_interpreter(contraction(ElementType::f32, m, 256, 7, {6, 4, 2, true}), rows);
  check_against_interpreter(contraction(ElementType::f32, m, 65, 784, {6, 4, 2, true}), {{{"M", 13}}},
                            {.all_targets = true});
  check_against_interpreter(contraction(ElementType::f32, 32, 64, 20, {6, 4, 2, true}), {{{"M", 0}}});
  check_against_interpreter(contraction(ElementType::f64, m, 65, 7, {4, 2, 3}), rows);
  check_against_interpreter(contraction(ElementType::f32, m, n, k, {6, 4, 2, false, 8}),
                            {{{"K", 5}, {"M", 0}, {"N", 3}},
                             {{"K", 1}, {"M", 7}, {"N", 65}},
                             {{"K", 9}, {"M", 20}, {"N", 200}},
                             {{"K", 0}, {"M", 3}, {"N", 17}}});
}

namespace {

/// y[i, j] = Σ x[i, k] w[k, j], in `count` blocks of the sum, which all rows pass before the next one starts.
ir::Kernel contraction_in_blocks(const Dim& rows, const Dim& columns, std::int64_t count, std::int64_t size) {
  ir::KernelBuilder b("blocks");
  const auto x = b.add_buffer("x", {ElementType::f32, {rows, count * size}}, false);
  const auto w = b.add_buffer("w", {ElementType::f32, {count * size, columns}}, false);
  const auto y = b.add_buffer("y", {ElementType::f32, {rows, columns}}, true);
  const auto i = b.new_var(), j = b.new_var(), k = b.new_var(), first = b.new_var(), block = b.new_var();
  b.open_loop(j, columns, {4, true});
  b.open_loop(first, rows, {});
  b.store(y, {at(first), at(j)}, b.constant(ElementType::f32, 0));
  b.close_loop();
  const ir::Scalar none = b.open_recurrence(block, count, ir::Constant::of_integer(ElementType::i64, 0));
  b.open_loop(i, rows, {6, false});
  const ir::Scalar before = b.load(y, {at(i), at(j)});
  b.open_reduce(std::vector<ir::Reduce::Range>{{k, size}}, 0, 2);
  const ir::AffineIndex turn = Dim(size) * at(block) + at(k);
  const ir::KernelBuilder::Reduction sum{
      ir::Reducer::fma, {b.load(x, {at(i), turn}), b.load(w, {turn, at(j)})}, before};
  b.store(y, {at(i), at(j)}, b.close_reduce({&sum, 1}).front());
  b.close_loop();
  b.close_recurrence(none);
  b.close_loop();
  return b.finish();
}

}  // namespace

TEST_CASE("a sum in blocks goes on where it stopped, for every number of rows") {
  std::vector<Dims> rows;
  for (std::int64_t m : {0, 1, 4, 5, 6, 7, 9, 11, 14, 19, 20, 23, 33}) rows.push_back({{"M", m}});
  const Dim m = Dim::named("M");
  check_against_interpreter(contraction_in_blocks(m, 64, 3, 5), rows, {.all_targets = true});
  check_against_interpreter(contraction_in_blocks(m, 70, 2, 4), rows, {.all_targets = true});
  check_against_interpreter(contraction_in_blocks(13, 17, 4, 1), {{}}, {.all_targets = true});
}

namespace {

/// y[i, j] (or y[j, i]) = tanh(erf(c) · z[i] + c) + exp(c), c = Σ x[i, k] w[k, j]: an epilogue that is rolled
/// into a loop.
ir::Kernel contraction_with_long_epilogue(const Dim& rows, std::int64_t columns, bool is_turned) {
  ir::KernelBuilder b("epilogue");
  const auto x = b.add_buffer("x", {ElementType::f32, {rows, 5}}, false);
  const auto w = b.add_buffer("w", {ElementType::f32, {5, columns}}, false);
  const auto z = b.add_buffer("z", {ElementType::f32, {rows}}, false);
  const ir::Shape shape = is_turned ? ir::Shape{columns, rows} : ir::Shape{rows, columns};
  const auto y = b.add_buffer("y", {ElementType::f32, shape}, true);
  const auto i = b.new_var(), j = b.new_var(), k = b.new_var();
  b.open_loop(i, rows, {6, false});
  const ir::Scalar factor = b.load(z, {at(i)});
  b.open_loop(j, columns, {4, true});
  b.open_reduce(std::vector<ir::Reduce::Range>{{k, 5}}, 0, 1);
  const ir::KernelBuilder::Reduction sum{ir::Reducer::fma,
                                         {b.load(x, {at(i), at(k)}), b.load(w, {at(k), at(j)})}};
  const ir::Scalar c = b.close_reduce({&sum, 1}).front();
  ir::Scalar value = c;
  for (int turn = 0; turn < 20; ++turn) value = b.add(b.mul(value, factor), c);
  b.store(y, is_turned ? std::vector{at(j), at(i)} : std::vector{at(i), at(j)}, value);
  b.close_loop();
  b.close_loop();
  return b.finish();
}

}  // namespace

TEST_CASE("a long epilogue has the interpreter's bits, by rows or by vectors") {
  const std::vector<Dims> rows = {{{"M", 0}}, {{"M", 1}}, {{"M", 5}}, {{"M", 13}}, {{"M", 32}}};
  for (const bool is_turned : {false, true})
    for (const std::int64_t columns : {64, 70, 256}) {
      CAPTURE(is_turned);
      CAPTURE(columns);
      check_against_interpreter(contraction_with_long_epilogue(Dim::named("M"), columns, is_turned), rows);
    }
}

}  // namespace mlpc::codegen
