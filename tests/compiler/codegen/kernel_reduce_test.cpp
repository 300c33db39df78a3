#include "compiler/codegen/kernel_reduce.h"

#include <doctest/doctest.h>

#include "tests/compiler/codegen/kernel_jit.h"
#include "tests/compiler/codegen/kernel_samples.h"

namespace mlpc::codegen {
namespace {

using ir::Dim;
using ir::ElementType;
using ir::KernelBuilder;
using ir::LoopSchedule;
using ir::Reducer;
using ir::Scalar;
using ir::ScalarOp;

struct RowSchedule {
  LoopSchedule row, column;
  int lanes, unroll;
};

/// Like softmax: a row's maximum, then the sum of a function of the difference, then the quotient.
ir::Kernel normalised_rows(const Dim& rows, const Dim& columns, const RowSchedule& s,
                           std::int64_t row_block) {
  KernelBuilder b("normalised_rows");
  const ir::Type type{ElementType::f32, {rows, columns}};
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

TEST_CASE("reductions along rows have the interpreter's bits under every schedule") {
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
    check_against_interpreter(normalised_rows(m, 70, schedule, 8), dims);
  }
}

namespace {

/// All reducers over the first axis (columns, strided) or the second (rows), in one reduction.
ir::Kernel all_reducers(ElementType type, bool columns, LoopSchedule schedule, int lanes, int unroll) {
  KernelBuilder b("all_reducers");
  const Dim m = Dim::named("M"), n = Dim::named("N");
  const Dim kept = columns ? n : m, reduced = columns ? m : n;
  const auto x = b.add_buffer("x", {type, {m, n}}, false);
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
  const Scalar positive = b.compare(ScalarOp::gt_, v, b.constant(type, 0));
  std::vector<KernelBuilder::Reduction> reductions;
  for (Reducer reducer : {Reducer::sum, Reducer::prod, Reducer::max, Reducer::min})
    reductions.push_back({reducer, {v}});
  for (Reducer reducer : {Reducer::any, Reducer::all}) reductions.push_back({reducer, {positive}});
  reductions.push_back({Reducer::argmax, {v}});
  const std::vector<Scalar> values = b.close_reduce(reductions);
  for (std::size_t r = 0; r < values.size(); ++r) b.store(results[r], {at(i)}, values[r]);
  b.close_loop();
  return b.finish();
}

const std::vector<Dims> kTables = {{{"M", 1}, {"N", 0}},
                                   {{"M", 0}, {"N", 3}},
                                   {{"M", 5}, {"N", 7}},
                                   {{"M", 65}, {"N", 33}},
                                   {{"M", 20}, {"N", 100}}};

}  // namespace

TEST_CASE("every reducer keeps its order and its identity; NaN wins; ties of argmax go to the first") {
  for (bool columns : {false, true}) {
    INFO("columns " << columns);
    check_against_interpreter(all_reducers(ElementType::f32, columns, {2, true}, 0, 2), kTables,
                              {.contents = Contents::extreme});
    check_against_interpreter(all_reducers(ElementType::f32, columns, {1, true}, 4, 1), kTables,
                              {.contents = Contents::extreme});
    check_against_interpreter(all_reducers(ElementType::f32, columns, {3, false}, 16, 2), kTables,
                              {.contents = Contents::extreme, .all_targets = true});
  }
  for (ElementType type : {ElementType::f64, ElementType::i32, ElementType::i64, ElementType::u8})
    for (const auto& contents : {Contents::ordinary, Contents::extreme}) {
      INFO("type " << std::string(ir::name_of(type)));
      check_against_interpreter(all_reducers(type, false, {2, false}, 16, 1), kTables,
                                {.contents = contents});
    }
}

TEST_CASE("a reduction over several variables takes the last one fastest") {
  const Dim n = Dim::named("N");
  KernelBuilder b("planes");
  const auto x = b.add_buffer("x", {ElementType::f32, {n, 3, 5, 7}}, false);
  const auto sum = b.add_buffer("sum", {ElementType::f32, {n}}, true);
  const auto most = b.add_buffer("most", {ElementType::i64, {n}}, true);
  const auto i = b.new_var(), p = b.new_var(), q = b.new_var(), r = b.new_var();
  b.open_loop(i, n, {2, false});
  b.open_reduce({{p, 3}, {q, 5}, {r, 7}}, 0, 2);
  const Scalar v = b.load(x, {at(i), at(p), at(q), at(r)});
  const KernelBuilder::Reduction reductions[] = {{Reducer::sum, {v}}, {Reducer::argmax, {v}}};
  const std::vector<Scalar> values = b.close_reduce(reductions);
  b.store(sum, {at(i)}, values[0]);
  b.store(most, {at(i)}, values[1]);
  b.close_loop();
  const ir::Kernel kernel = b.finish();
  check_against_interpreter(kernel, {{{"N", 5}}, {{"N", 0}}});
  check_against_interpreter(kernel, {{{"N", 5}}}, {.contents = Contents::extreme});
}

namespace {

/// c[i, j] = Σₖ a[i, k] · w[j, k]: chains along k, as a dot product has them.
ir::Kernel dot_products(const Dim& m, std::int64_t n, const Dim& depth, int rows, int columns, int lanes) {
  KernelBuilder b("dot_products");
  const auto a = b.add_buffer("a", {ElementType::f32, {m, depth}}, false);
  const auto w = b.add_buffer("w", {ElementType::f32, {n, depth}}, false);
  const auto c = b.add_buffer("c", {ElementType::f32, {m, n}}, true);
  const auto i = b.new_var(), j = b.new_var(), k = b.new_var();
  b.open_loop(i, m, {rows, false});
  b.open_loop(j, n, {columns, false});
  b.open_reduce({{k, depth}}, lanes, 2);
  const KernelBuilder::Reduction product[] = {
      {Reducer::fma, {b.load(a, {at(i), at(k)}), b.load(w, {at(j), at(k)})}}};
  b.store(c, {at(i), at(j)}, b.close_reduce(product)[0]);
  b.close_loop();
  b.close_loop();
  return b.finish();
}

}  // namespace

TEST_CASE("chains in lanes fold in halves, whatever is jammed around them") {
  const Dim m = Dim::named("M"), k = Dim::named("K");
  for (int lanes : {2, 32}) {
    INFO("chains " << lanes);
    check_against_interpreter(dot_products(m, 10, k, 4, 4, lanes),
                              {{{"K", 0}, {"M", 2}}, {{"K", 5}, {"M", 3}}, {{"K", 100}, {"M", 9}}});
    check_against_interpreter(dot_products(m, 10, 77, 2, 3, lanes), {{{"M", 4}}});
  }
}

namespace {

struct Clipping {
  std::int64_t extent, taps, stride, dilation, padding;
  std::int64_t windows() const { return (extent + 2 * padding - dilation * (taps - 1) - 1) / stride + 1; }
};

/// y[n, h, w, o] = b[o] + Σ x[n, stride · h + dilation · p - padding, …, c] · v[p, q, c, o], of taps inside
/// the image. `flips`: taps from the last to the first, so that the index falls where the turn rises.
ir::Kernel clipped_windows(const Clipping& g, LoopSchedule row, LoopSchedule pixel, LoopSchedule channel,
                           int unroll, bool flips) {
  KernelBuilder b("clipped_windows");
  const Dim images = Dim::named("N");
  const auto x = b.add_buffer("x", {ElementType::f32, {images, g.extent, g.extent, 5}}, false);
  const auto v = b.add_buffer("v", {ElementType::f32, {g.taps, g.taps, 5, 20}}, false);
  const auto bias = b.add_buffer("bias", {ElementType::f32, {20}}, false);
  const auto y = b.add_buffer("y", {ElementType::f32, {images, g.windows(), g.windows(), 20}}, true);
  const auto n = b.new_var(), o = b.new_var(), h = b.new_var(), w = b.new_var();
  const auto p = b.new_var(), q = b.new_var(), c = b.new_var();
  b.add_task_split(n, 1);
  b.open_loop(n, images, {});
  b.open_loop(o, 20, channel);
  b.open_loop(h, g.windows(), row);
  b.open_loop(w, g.windows(), pixel);
  const Scalar start = b.load(bias, {at(o)});
  const auto under = [&](ir::VarId window, ir::VarId tap) {
    const ir::AffineIndex turn = flips ? ir::AffineIndex{g.taps - 1, {}, {}} + Dim(-1) * at(tap) : at(tap);
    return ir::AffineIndex{-g.padding, {}, {}} + Dim(g.stride) * at(window) + Dim(g.dilation) * turn;
  };
  const ir::AffineIndex i = under(h, p), j = under(w, q);
  b.open_reduce({{p, g.taps}, {q, g.taps}, {c, 5}}, 0, unroll, {{i, g.extent}, {j, g.extent}});
  const KernelBuilder::Reduction product[] = {
      {Reducer::fma, {b.load(x, {at(n), i, j, at(c)}), b.load(v, {at(p), at(q), at(c), at(o)})}, start}};
  b.store(y, {at(n), at(h), at(w), at(o)}, b.close_reduce(product)[0]);
  for (int loop = 0; loop < 4; ++loop) b.close_loop();
  return b.finish();
}

/// The gradient of v: the taps are rows of the tile, the pixels are the sum.
ir::Kernel clipped_taps(const Clipping& g, LoopSchedule tap, LoopSchedule channel, int unroll) {
  KernelBuilder b("clipped_taps");
  const Dim images = Dim::named("N");
  const auto x = b.add_buffer("x", {ElementType::f32, {images, g.extent, g.extent}}, false);
  const auto y = b.add_buffer("y", {ElementType::f32, {images, g.windows(), g.windows(), 20}}, false);
  const auto v = b.add_buffer("v", {ElementType::f32, {g.taps, g.taps, 20}}, true);
  const auto n = b.new_var(), o = b.new_var(), h = b.new_var(), w = b.new_var();
  const auto p = b.new_var(), q = b.new_var();
  b.open_loop(o, 20, channel);
  b.open_loop(p, g.taps, {});
  b.open_loop(q, g.taps, tap);
  const auto under = [&](ir::VarId window, ir::VarId turn) {
    return ir::AffineIndex{-g.padding, {}, {}} + Dim(g.stride) * at(window) + Dim(g.dilation) * at(turn);
  };
  const ir::AffineIndex i = under(h, p), j = under(w, q);
  b.open_reduce({{n, images}, {h, g.windows()}, {w, g.windows()}}, 0, unroll, {{i, g.extent}, {j, g.extent}});
  const KernelBuilder::Reduction product[] = {
      {Reducer::fma, {b.load(x, {at(n), i, j}), b.load(y, {at(n), at(h), at(w), at(o)})}}};
  b.store(v, {at(p), at(q), at(o)}, b.close_reduce(product)[0]);
  for (int loop = 0; loop < 3; ++loop) b.close_loop();
  return b.finish();
}

const Clipping kClippings[] = {{8, 3, 1, 1, 1}, {5, 5, 1, 1, 4}, {7, 3, 2, 1, 1},
                               {9, 3, 1, 2, 2}, {6, 4, 3, 2, 3}, {2, 5, 1, 1, 4}};

}  // namespace

TEST_CASE("a clipped sum runs no turn outside of the image, whatever is jammed or in lanes") {
  const std::vector<Dims> images = {{{"N", 2}}};
  for (const Clipping& g : kClippings)
    for (const bool flips : {false, true}) {
      INFO(g.extent << "², " << g.taps << " taps, stride " << g.stride << ", dilation " << g.dilation
                    << ", padding " << g.padding << (flips ? ", flipped" : ""));
      const LoopSchedule alone{1, false}, tile{4, false}, tall{8, false}, lanes{1, true};
      check_against_interpreter(clipped_windows(g, alone, tile, {2, true}, 1, flips), images,
                                {.contents = Contents::extreme, .all_targets = true});
      check_against_interpreter(clipped_windows(g, {2, false}, tall, lanes, 2, flips), images);
      check_against_interpreter(clipped_windows(g, tall, alone, {4, false}, 3, flips), images);
      check_against_interpreter(clipped_windows(g, tile, lanes, alone, 1, flips), images);
    }
}

TEST_CASE("a clipped sum over pixels runs those that a tap reaches, whatever is jammed or in lanes") {
  const std::vector<Dims> images = {{{"N", 3}}};
  for (const Clipping& g : kClippings) {
    INFO(g.extent << "², " << g.taps << " taps");
    for (const int tap : {1, 2, 5})
      check_against_interpreter(clipped_taps(g, {tap, false}, {2, true}, tap), images,
                                {.contents = Contents::extreme, .all_targets = true});
    check_against_interpreter(clipped_taps(g, {1, true}, {3, false}, 2), images);
  }
}

}  // namespace mlpc::codegen
