#include "compiler/codegen/kernel_scalar.h"

#include <doctest/doctest.h>

#include "tests/compiler/codegen/kernel_jit.h"
#include "tests/compiler/codegen/kernel_samples.h"

namespace mlpc::codegen {
namespace {

using ir::Dim;
using ir::ElementType;
using ir::KernelBuilder;
using ir::Scalar;
using ir::ScalarOp;

constexpr ElementType kTypes[] = {ElementType::f32, ElementType::f64, ElementType::i32,
                                  ElementType::i64, ElementType::u8,  ElementType::boolean};
const std::vector<Dims> kDims = {{{"N", 300}}};
constexpr RunOptions kExtreme = {.contents = Contents::extreme, .alias = {0, 0}, .all_targets = true};

/// A kernel of y₀[i] … = f(a[i], b[i]), one buffer for each result.
template <typename F>
ir::Kernel elementwise(ElementType type, F results_of) {
  const Dim n = Dim::named("N");
  KernelBuilder b("elementwise");
  const auto left = b.add_buffer("left", {type, {n}}, false);
  const auto right = b.add_buffer("right", {type, {n}}, false);
  const auto i = b.new_var();
  b.open_loop(i, n, {1, true});
  std::vector<Scalar> results = results_of(b, b.load(left, {at(i)}), b.load(right, {at(i)}));
  for (const Scalar& result : results)
    b.store(b.add_buffer("result", {result.type, {n}}, true), {at(i)}, result);
  b.close_loop();
  return b.finish();
}

}  // namespace

TEST_CASE("arithmetic of every type has the interpreter's bits at its edges") {
  for (ElementType type : kTypes) {
    if (type == ElementType::boolean) continue;
    INFO("type " << std::string(ir::name_of(type)));
    check_against_interpreter(elementwise(type,
                                          [&](KernelBuilder& b, Scalar x, Scalar y) {
                                            return std::vector{b.add(x, y), b.sub(x, y), b.mul(x, y),
                                                               b.div(x, y), b.neg(x),    b.abs(x)};
                                          }),
                              kDims, kExtreme);
  }
}

TEST_CASE("comparisons and selections of every type have the interpreter's bits") {
  for (ElementType type : kTypes) {
    INFO("type " << std::string(ir::name_of(type)));
    check_against_interpreter(elementwise(type,
                                          [&](KernelBuilder& b, Scalar x, Scalar y) {
                                            std::vector<Scalar> results;
                                            for (ScalarOp op : {ScalarOp::eq_, ScalarOp::ne_, ScalarOp::lt_,
                                                                ScalarOp::le_, ScalarOp::gt_, ScalarOp::ge_})
                                              results.push_back(b.compare(op, x, y));
                                            results.push_back(b.select(results[2], x, y));
                                            return results;
                                          }),
                              kDims, kExtreme);
  }
}

TEST_CASE("conversions round, truncate and saturate; NaN gives 0") {
  for (ElementType from : kTypes) {
    INFO("from " << std::string(ir::name_of(from)));
    check_against_interpreter(elementwise(from,
                                          [&](KernelBuilder& b, Scalar x, Scalar) {
                                            std::vector<Scalar> results;
                                            for (ElementType to : kTypes)
                                              if (to != from) results.push_back(b.convert(x, to));
                                            return results;
                                          }),
                              kDims, kExtreme);
  }
}

TEST_CASE("bits are masked, inverted and shifted; a shift by 64 or more leaves nothing") {
  for (ElementType type : {ElementType::boolean, ElementType::i32, ElementType::i64, ElementType::u8})
    check_against_interpreter(elementwise(type,
                                          [&](KernelBuilder& b, Scalar x, Scalar y) {
                                            return std::vector{b.binary(ScalarOp::and_, x, y),
                                                               b.binary(ScalarOp::or_, x, y),
                                                               b.unary(ScalarOp::not_, x)};
                                          }),
                              kDims, kExtreme);
  check_against_interpreter(elementwise(ElementType::i64,
                                        [&](KernelBuilder& b, Scalar x, Scalar y) {
                                          return std::vector{b.binary(ScalarOp::shift_right_, x, y)};
                                        }),
                            kDims, kExtreme);
}

TEST_CASE("fma rounds once where the target has it; copysign and square roots are exact") {
  for (ElementType type : {ElementType::f32, ElementType::f64})
    for (const Contents contents : {Contents::ordinary, Contents::extreme})
      check_against_interpreter(elementwise(type,
                                            [&](KernelBuilder& b, Scalar x, Scalar y) {
                                              return std::vector{b.fma(x, y, x),
                                                                 b.unary(ScalarOp::sqrt_, b.abs(x)),
                                                                 b.binary(ScalarOp::copysign_, x, y)};
                                            }),
                                kDims, {.contents = contents, .all_targets = true});
}

TEST_CASE("random bits follow from seed, turns, step, index and stream alone") {
  const Dim n = Dim::named("N");
  for (const ir::LoopSchedule& schedule : {ir::LoopSchedule{1, true}, ir::LoopSchedule{3, false}}) {
    KernelBuilder b("random");
    const auto seed = b.add_buffer("seed", {ElementType::i64, {}}, false);
    const auto step = b.add_buffer("step", {ElementType::i64, {}}, false);
    const auto turns = b.add_buffer("turns", {ElementType::i64, {}}, false);
    const auto y = b.add_buffer("y", {ElementType::i64, {n}}, true);
    const auto i = b.new_var();
    b.open_loop(i, n, schedule);
    const ir::AffineIndex index{Dim((std::int64_t{1} << 34) - 5), {{i, Dim(1)}}, {}};
    const Scalar key = b.random_key(b.load(seed, {}), b.load(turns, {}), b.constant(ElementType::i64, -77));
    b.store(y, {at(i)}, b.random_bits(key, b.load(step, {}), b.index_value(index)));
    b.close_loop();
    const ir::Kernel kernel = b.finish();
    check_against_interpreter(kernel, {{{"N", 41}}}, {.all_targets = true});
    check_against_interpreter(kernel, {{{"N", 41}}}, kExtreme);
  }
}

}  // namespace mlpc::codegen
