#include <doctest/doctest.h>

#include "compiler/codegen/kernel_facts.h"
#include "ir/error.h"
#include "tests/compiler/codegen/kernel_jit.h"
#include "tests/compiler/codegen/kernel_samples.h"

namespace mlpc::codegen {
namespace {

using ir::Dim;
using ir::ElementType;
using ir::KernelBuilder;
using ir::Scalar;

const std::vector<Dims> kDims = {
    {{"N", 1}, {"T", 5}}, {{"N", 41}, {"T", 1}}, {{"N", 5}, {"T", 33}}, {{"N", 7}, {"T", 0}}};

/// sₜ = sₜ₋₁ x[i, t] + t, from 1 on; y[i, T-1-t] = sₜ₋₁.
ir::Kernel recurrence(ElementType type, ir::LoopSchedule schedule, std::int64_t block) {
  KernelBuilder b("recurrence");
  const Dim n = Dim::named("N"), turns = Dim::named("T");
  const auto x = b.add_buffer("x", {type, {n, turns}}, false);
  const auto y = b.add_buffer("y", {type, {n, turns}}, true);
  const auto i = b.new_var(), t = b.new_var();
  if (block) b.add_task_split(i, block);
  b.open_loop(i, n, schedule);
  const Scalar before = b.open_recurrence(t, turns, ir::Constant::of(type, 1));
  const Scalar number = b.convert(b.index_value(at(t)), type);
  const Scalar after = b.add(b.mul(before, b.load(x, {at(i), at(t)})), number);
  b.store(y, {at(i), ir::AffineIndex{turns - Dim(1), {{t, -1}}, {}}}, before);
  b.close_recurrence(after);
  b.close_loop();
  return b.finish();
}

}  // namespace

TEST_CASE("a recurrence has the bits of its turns in order, under any schedule of the loops around it") {
  for (ElementType type : {ElementType::f32, ElementType::f64, ElementType::i32})
    for (const ir::LoopSchedule& schedule : {ir::LoopSchedule{1, false}, ir::LoopSchedule{4, false},
                                             ir::LoopSchedule{1, true}, ir::LoopSchedule{2, true}})
      check_against_interpreter(recurrence(type, schedule, schedule.unroll > 1 ? 32 : 0), kDims);
}

TEST_CASE("a recurrence along the first axis runs in lanes of the second") {
  KernelBuilder b("columns");
  const Dim n = Dim::named("N"), turns = Dim::named("T");
  const auto x = b.add_buffer("x", {ElementType::f32, {turns, n}}, false);
  const auto y = b.add_buffer("y", {ElementType::f32, {turns, n}}, true);
  const auto i = b.new_var(), t = b.new_var();
  b.open_loop(i, n, {2, true});
  const Scalar before = b.open_recurrence(t, turns, ir::Constant::of(ElementType::f32, 0));
  const Scalar after = b.add(before, b.load(x, {at(t), at(i)}));
  b.store(y, {at(t), at(i)}, after);
  b.close_recurrence(after);
  b.close_loop();
  check_against_interpreter(b.finish(), kDims, {.all_targets = true});
}

TEST_CASE("what a recurrence hands on has its type, and it stands in no reduction") {
  ir::Kernel kernel = recurrence(ElementType::f32, {}, 0);
  auto& loop = std::get<ir::Loop>(kernel.body.back().kind);
  auto& inner = std::get<ir::Recurrence>(loop.body.back().kind);
  const ir::ScalarId after = inner.after;
  for (const ir::Statement& s : inner.body)
    if (const auto* index = std::get_if<ir::IndexValue>(&s.kind)) inner.after = index->result;
  CHECK_THROWS_WITH_AS(
      check_kernel(kernel),
      fmt::format("kernel `recurrence` carries %{} on as another type", inner.after.index).c_str(), Error);
  inner.after = after;
  ir::Reduce reduce;
  reduce.ranges = {{loop.var, loop.extent}};
  reduce.body = std::move(loop.body);
  kernel.body.back() = {std::move(reduce)};
  CHECK_THROWS_WITH_AS(check_kernel(kernel),
                       "kernel `recurrence` has the recurrence over i1 inside a reduction", Error);
}

}  // namespace mlpc::codegen
