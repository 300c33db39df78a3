#include <cmath>
#include <limits>

#include "tests/compiler/codegen/model_samples.h"

using namespace mlpc;
using namespace mlpc::codegen;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

/// A hook that runs the tasks from the last to the first, and counts.
struct Backwards {
  std::int64_t calls = 0, tasks = 0;
  static void run(void* self, std::int64_t n, mlpc_task task, void* ctx) {
    auto* counts = static_cast<Backwards*>(self);
    ++counts->calls;
    counts->tasks += n;
    for (std::int64_t i = n; i-- > 0;) task(ctx, i, 0);
  }
};

}  // namespace

TEST_CASE("infer runs its kernels through the workspace, in the caller or by the hook") {
  for (const ir::Target* target : runnable_targets()) {
    CAPTURE(target->name);
    const JitModel model(tiny_program(target->name));
    TinyCall call(model.table());
    const std::array<float, 9> expected = {1, 4, 9, 4, 10, 18, 7, 16, 27};
    REQUIRE(call.plan_and_call(MLPC_INFER) == MLPC_OK);
    CHECK(call.y == expected);
    call.y.fill(0);
    Backwards hook;
    call.args.parallel = Backwards::run;
    call.args.host = &hook;
    REQUIRE(call.call(MLPC_INFER) == MLPC_OK);
    CHECK(call.y == expected);
    CHECK(hook.calls == 1);  // a kernel of one task needs no hook
    CHECK(hook.tasks == 2);  // three rows in blocks of two
  }
}

TEST_CASE("extent 0 gives the loss of no rows, and needs no input buffers") {
  const JitModel model(tiny_program(host_row()));
  TinyCall call(model.table());
  call.inputs = {nullptr, nullptr};
  call.args.inputs = call.inputs.data();
  CHECK(call.plan_and_call(MLPC_LOSS, 0) == MLPC_OK);
  CHECK(call.y[0] == 0);
  CHECK(call.plan_and_call(MLPC_INFER, 0) == MLPC_OK);
}

TEST_CASE("the gradient is of loss_bar times the loss, is added to on request, and leaves the state alone") {
  const JitModel model(tiny_program(host_row()));
  TinyCall call(model.table());
  call.args.loss_bar = 0.5;
  REQUIRE(call.plan_and_call(MLPC_GRAD) == MLPC_OK);
  CHECK(call.y[0] == 1 + 5 + 9);
  CHECK(call.grads.floats()[2] == 0.5F);
  call.args.flags = MLPC_ACCUMULATE;
  REQUIRE(call.call(MLPC_GRAD) == MLPC_OK);
  CHECK(call.grads.floats()[2] == 1.0F);
  CHECK(call.state_out.floats()[0] == 1);
  CHECK(call.state.floats()[0] == 0);
}

TEST_CASE("train_step writes parameters, slots and state in place") {
  const JitModel model(tiny_program(host_row()));
  TinyCall call(model.table());
  call.args.grads = nullptr;
  call.args.state_out = nullptr;
  REQUIRE(call.plan_and_call(MLPC_TRAIN_STEP) == MLPC_OK);
  CHECK(call.params.floats()[2] == 2);
  CHECK(call.slots.floats()[2] == 1);
  CHECK(call.state.floats()[0] == 1);
}

TEST_CASE("a loss that is not finite stops the step, if asked for, before anything is written") {
  const JitModel model(tiny_program(host_row()));
  for (const float bad : {kInfinity, -kInfinity, std::numeric_limits<float>::quiet_NaN()}) {
    TinyCall call(model.table());
    call.x[4] = bad;
    call.args.flags = MLPC_CHECK_FINITE;
    CHECK(call.plan_and_call(MLPC_TRAIN_STEP) == MLPC_NOT_FINITE);
    CHECK(call.params.floats()[2] == 3);
    CHECK(call.state.floats()[0] == 0);
    call.args.flags = 0;
    CHECK(call.call(MLPC_TRAIN_STEP) == MLPC_OK);
    CHECK(call.params.floats()[2] == 2);
  }
}

TEST_CASE("an index out of range is named by input and position, and nothing is written") {
  const JitModel model(tiny_program(host_row()));
  for (const std::int32_t bad :
       {3, -1, std::numeric_limits<std::int32_t>::max(), std::numeric_limits<std::int32_t>::min()}) {
    TinyCall call(model.table());
    call.t[1] = bad;
    call.y[0] = -7;
    CHECK(call.plan_and_call(MLPC_TRAIN_STEP) == MLPC_INDEX_OUT_OF_RANGE);
    CHECK(call.args.error_argument == 1);
    CHECK(call.args.error_position == 1);
    CHECK(call.params.floats()[2] == 3);
    CHECK(call.y[0] == -7);
  }
}

TEST_CASE("init fills the tensors and zeroes what is between them") {
  const JitModel model(tiny_program(host_row()));
  TinyCall call(model.table());
  REQUIRE(call.plan_and_call(MLPC_INIT, 0) == MLPC_OK);
  CHECK(call.params.floats()[0] == 1);
  CHECK(call.params.floats()[17] == 2);
  for (int i = 3; i < 16; ++i) CHECK(call.params.floats()[i] == 0);
  for (int i = 18; i < 32; ++i) CHECK(call.params.floats()[i] == 0);
  for (int i = 0; i < 16; ++i) CHECK(call.slots.floats()[i] == 0);
  CHECK(call.params.data()[128] == std::byte{0x5a});
}

TEST_CASE("arguments that are missing or too small are refused") {
  const JitModel model(tiny_program(host_row()));
  TinyCall call(model.table());
  REQUIRE(call.make_plan(MLPC_INFER, 3) == MLPC_OK);
  const auto infer = model.table()->entries[MLPC_INFER].call;
  CHECK(infer(nullptr, &call.args) == MLPC_BAD_PLAN);
  CHECK(infer(call.plan(), nullptr) == MLPC_BAD_ARGUMENTS);
  call.args.size = sizeof call.args - 8;
  CHECK(infer(call.plan(), &call.args) == MLPC_BAD_ARGUMENTS);
}

TEST_CASE("a null buffer is refused, whichever it is") {
  const JitModel model(tiny_program(host_row()));
  const auto code_without = [&](int entry, auto remove) {
    TinyCall call(model.table());
    remove(call);
    return call.plan_and_call(entry);
  };
  CHECK(code_without(MLPC_INFER, [](TinyCall& c) { c.args.inputs = nullptr; }) == MLPC_NULL_POINTER);
  CHECK(code_without(MLPC_INFER, [](TinyCall& c) { c.args.results = nullptr; }) == MLPC_NULL_POINTER);
  CHECK(code_without(MLPC_INFER, [](TinyCall& c) { c.inputs[0] = nullptr; }) == MLPC_NULL_POINTER);
  CHECK(code_without(MLPC_INFER, [](TinyCall& c) { c.results[0] = nullptr; }) == MLPC_NULL_POINTER);
  CHECK(code_without(MLPC_INFER, [](TinyCall& c) { c.args.params = nullptr; }) == MLPC_NULL_POINTER);
  CHECK(code_without(MLPC_INFER, [](TinyCall& c) { c.args.workspace = nullptr; }) == MLPC_NULL_POINTER);
  CHECK(code_without(MLPC_GRAD, [](TinyCall& c) { c.args.grads = nullptr; }) == MLPC_NULL_POINTER);
  CHECK(code_without(MLPC_GRAD, [](TinyCall& c) { c.args.state_out = nullptr; }) == MLPC_NULL_POINTER);
  CHECK(code_without(MLPC_UPDATE, [](TinyCall& c) { c.args.slots = nullptr; }) == MLPC_NULL_POINTER);
  CHECK(code_without(MLPC_LOSS, [](TinyCall& c) {
          c.args.params = c.args.state = c.args.slots = c.args.grads = c.args.workspace = nullptr;
        }) == MLPC_OK);
}

TEST_CASE("a buffer off its alignment is refused") {
  const JitModel model(tiny_program(host_row()));
  const auto code_with = [&](int entry, auto move) {
    TinyCall call(model.table());
    move(call);
    return call.plan_and_call(entry, 2);
  };
  CHECK(code_with(MLPC_INFER, [](TinyCall& c) {
          c.inputs[0] = reinterpret_cast<std::byte*>(c.x.data()) + 2;
        }) == MLPC_MISALIGNED);
  CHECK(code_with(MLPC_INFER, [](TinyCall& c) { c.inputs[0] = c.x.data() + 1; }) == MLPC_OK);
  CHECK(code_with(MLPC_INFER, [](TinyCall& c) { c.args.params = c.params.data() + 32; }) == MLPC_MISALIGNED);
  CHECK(code_with(MLPC_INFER, [](TinyCall& c) { c.args.workspace = c.workspace.data() + 32; }) ==
        MLPC_MISALIGNED);
  CHECK(code_with(MLPC_GRAD, [](TinyCall& c) { c.args.state_out = c.state_out.data() + 4; }) ==
        MLPC_MISALIGNED);
}

TEST_CASE("a written buffer that meets another is refused; read ones may share memory") {
  const JitModel model(tiny_program(host_row()));
  const auto code_with = [&](int entry, auto move) {
    TinyCall call(model.table());
    move(call);
    return call.plan_and_call(entry);
  };
  CHECK(code_with(MLPC_INFER, [](TinyCall& c) { c.results[0] = c.x.data(); }) == MLPC_OVERLAP);
  CHECK(code_with(MLPC_INFER, [](TinyCall& c) { c.results[0] = c.x.data() + 8; }) == MLPC_OVERLAP);
  CHECK(code_with(MLPC_INFER, [](TinyCall& c) { c.args.workspace = c.args.params; }) == MLPC_OVERLAP);
  CHECK(code_with(MLPC_GRAD, [](TinyCall& c) { c.args.state_out = c.args.state; }) == MLPC_OVERLAP);
  CHECK(code_with(MLPC_UPDATE, [](TinyCall& c) { c.args.grads = c.args.params; }) == MLPC_OVERLAP);
  CHECK(code_with(MLPC_LOSS, [](TinyCall& c) { c.inputs[1] = c.inputs[0]; }) == MLPC_INDEX_OUT_OF_RANGE);
  CHECK(code_with(MLPC_LOSS, [](TinyCall& c) { c.args.params = c.args.slots; }) == MLPC_OK);
}
