#include "compiler/codegen/kernel_facts.h"

#include <doctest/doctest.h>

#include "ir/error.h"
#include "tests/compiler/codegen/kernel_samples.h"

namespace mlpc::codegen {
namespace {

using ir::ElementType;
using ir::Kernel;
using ir::Loop;
using ir::ScalarId;
using ir::VarId;

/// y[i] = x[i] over 8 turns.
Kernel copy() {
  Kernel kernel;
  kernel.name = "copy";
  kernel.buffers = {{"x", {ElementType::f32, {8}}, false}, {"y", {ElementType::f32, {8}}, true}};
  kernel.var_count = kernel.scalar_count = 1;
  Loop loop{{0}, 8, {}, {}};
  loop.body.push_back({ir::Load{{0}, {0}, {at({0})}}});
  loop.body.push_back({ir::Store{{1}, {at({0})}, {0}}});
  kernel.body.push_back({std::move(loop)});
  return kernel;
}

Loop& loop_of(Kernel& kernel) { return std::get<Loop>(kernel.body[0].kind); }
ir::Load& load_of(Kernel& kernel) { return std::get<ir::Load>(loop_of(kernel).body[0].kind); }
ir::Store& store_of(Kernel& kernel) { return std::get<ir::Store>(loop_of(kernel).body[1].kind); }

}  // namespace

TEST_CASE("a well-formed kernel's scalars have types and the variables that they depend on") {
  const Kernel kernel = copy();
  const KernelFacts facts = check_kernel(kernel);
  CHECK(facts.type_of[0] == ElementType::f32);
  CHECK(facts.vars_of[0] == VarSet{0});
}

TEST_CASE("ill-formed kernels are refused with the kernel's name and the cause") {
  const auto refused = [](auto change, const char* text) {
    Kernel kernel = copy();
    change(kernel);
    CHECK_THROWS_WITH_AS(check_kernel(kernel), text, Error);
  };
  refused([](Kernel& k) { load_of(k).buffer = {9}; }, "kernel `copy` uses buffer 9, which it has not");
  refused([](Kernel& k) { load_of(k).index.clear(); }, "kernel `copy` indexes `x` with 0 of 1 axes");
  refused([](Kernel& k) { load_of(k).index = {at({5})}; }, "kernel `copy` uses i5 outside its loop");
  refused([](Kernel& k) { store_of(k).value = {3}; }, "kernel `copy` uses %3 where it is not visible");
  refused([](Kernel& k) { store_of(k).buffer = {0}; }, "kernel `copy` stores to `x`, which is not written");
  refused([](Kernel& k) { store_of(k).index = {ir::AffineIndex{}}; },
          "kernel `copy` stores several turns of i0 to one element of `y`");
  refused([](Kernel& k) { loop_of(k).schedule.unroll = 0; },
          "kernel `copy` unrolls a loop 0 times, not 1 … 64");
  refused([](Kernel& k) { k.body.push_back(k.body[0]); },
          "kernel `copy` loops over i0 twice or out of bounds");
  refused([](Kernel& k) { k.scalar_count = UINT32_MAX; }, "kernel `copy` has too many ids");
  refused([](Kernel& k) { k.tasks = {{{0}, 0}}; }, "kernel `copy` has tasks of 0 turns");
  refused([](Kernel& k) { k.tasks = {{{7}, 4}}; }, "kernel `copy` has no loop over i7 for its tasks");
  refused([](Kernel& k) { loop_of(k).limit = Loop::Limit{at({5}), 8}; },
          "kernel `copy` uses i5 outside its loop");
  refused([](Kernel& k) { loop_of(k).limit = Loop::Limit{{0, {}, ScalarId{0}}, 8}; },
          "kernel `copy` limits i0 by a scalar");
  refused(
      [](Kernel& k) {
        loop_of(k).limit = Loop::Limit{{}, 8};
        k.tasks = {{{0}, 4}};
      },
      "kernel `copy` has no loop over i0 for its tasks");
  refused([](Kernel& k) { k.buffers[1].type.element = ElementType::i64; },
          "kernel `copy` stores a f32 to `y`");
  refused(
      [](Kernel& k) {
        k.scalar_count = 2;
        loop_of(k).body.push_back({ir::Let{{1}, ir::ScalarOp::add_, ElementType::f32, {{0}}, {}}});
      },
      "kernel `copy` gives `add` 1 operands");
  refused(
      [](Kernel& k) {
        k.scalar_count = 2;
        loop_of(k).body.push_back({ir::Let{{1}, ir::ScalarOp::not_, ElementType::f32, {{0}}, {}}});
      },
      "kernel `copy` has a `not` of type f32 whose operands do not fit");
}

TEST_CASE("unrolling that would make code without bounds is refused") {
  Kernel kernel = copy();
  kernel.var_count = 8;
  for (std::uint32_t var = 1; var < 8; ++var) {
    Loop outer{{var}, 1000, {64, false}, std::move(kernel.body)};
    kernel.body.clear();
    kernel.body.push_back({std::move(outer)});
  }
  CHECK_THROWS_WITH_AS(check_kernel(kernel), "kernel `copy` unrolls into more than 262144 statements", Error);
}

TEST_CASE("nesting is bounded, so that no file can exhaust the stack") {
  Kernel kernel = copy();
  kernel.var_count = 200;
  for (std::uint32_t var = 1; var < 200; ++var) {
    Loop outer{{var}, 2, {}, std::move(kernel.body)};
    kernel.body.clear();
    kernel.body.push_back({std::move(outer)});
  }
  CHECK_THROWS_WITH_AS(check_kernel(kernel), "kernel `copy` nests loops deeper than 48", Error);
}

TEST_CASE("a reduction's shape, types and chains are checked") {
  const auto refused = [](auto change, const char* text) {
    Kernel kernel = copy();
    kernel.buffers[1].type.shape = {};
    kernel.var_count = 1;
    kernel.scalar_count = 2;
    ir::Reduce reduce;
    reduce.ranges = {{{0}, 8}};
    reduce.body.push_back({ir::Load{{0}, {0}, {at({0})}}});
    reduce.accumulators = {{{1}, ir::Reducer::sum, ElementType::f32, {{0}}}};
    change(reduce);
    kernel.body.clear();
    kernel.body.push_back({std::move(reduce)});
    kernel.body.push_back({ir::Store{{1}, {}, {1}}});
    CHECK_THROWS_WITH_AS(check_kernel(kernel), text, Error);
  };
  refused([](ir::Reduce& r) { r.lanes = 12; },
          "kernel `copy` reduces in 12 chains, which is not 0 or a power of two to 64");
  refused([](ir::Reduce& r) { r.ranges.clear(); }, "kernel `copy` has a reduction over nothing");
  refused([](ir::Reduce& r) { r.accumulators[0].reducer = ir::Reducer::any; },
          "kernel `copy` has a reduction of type f32");
  refused([](ir::Reduce& r) { r.accumulators[0].type = ElementType::f64; },
          "kernel `copy` accumulates a f32 in a f64");
  refused([](ir::Reduce& r) { r.accumulators[0].reducer = ir::Reducer::fma; },
          "kernel `copy` accumulates 1 values");
  refused([](ir::Reduce& r) { r.accumulators[0].start = ir::ScalarId{0}; },
          "kernel `copy` uses %0 where it is not visible");
  refused([](ir::Reduce& r) { r.body.push_back({ir::Store{{1}, {}, {0}}}); },
          "kernel `copy` stores to `y` inside a reduction");
}

}  // namespace mlpc::codegen
