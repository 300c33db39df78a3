#include <doctest/doctest.h>

#include <cstring>
#include <limits>
#include <string>
#include <vector>

#include "compiler/driver/mlpc.hpp"

// What the compiled entries say to wrong arguments: a code, and nothing is written.

namespace mlpc {
namespace {

constexpr const char* kNet =
    "model m {\n  input x[B, 3]; input y[B] : i32\n  z = x |> dense(4)\n  output p = softmax(z)\n"
    "  loss ce = mean(cross_entropy(z, y))\n  train { optimizer = sgd(lr = 0.1, momentum = 0.9) }\n}\n";

class Caller {
 public:
  explicit Caller(mlpc_entry_kind kind)
      : model_(CompiledModel::from_source(kNet, "m.net")), kind_(kind), entry_(*model_.entry(kind)) {
    args.size = sizeof args;
    args.inputs = inputs;
    args.results = results;
    args.params = memory[0];
    args.slots = memory[1];
    args.grads = memory[2];
    args.workspace = memory[3];
    args.steps = 1;
    args.loss_bar = 1;
    for (std::size_t i = 0; i < 8; ++i) results[i] = memory[4] + 1024 * i;
    REQUIRE(plan(2) == MLPC_OK);
  }
  int plan(int64_t batch) { return model_.table().plan(head(), &batch, 1, kind_); }
  int call() { return entry_.call(head(), &args); }
  mlpc_plan* head() { return reinterpret_cast<mlpc_plan*>(plan_); }

  alignas(64) char memory[5][8192] = {};
  float x[6] = {1, 2, 3, 4, 5, 6};
  int32_t y[2] = {0, 3};
  const void* inputs[2] = {x, y};
  void* results[8];
  mlpc_args args{};

 private:
  CompiledModel model_;
  mlpc_entry_kind kind_;
  const mlpc_entry& entry_;
  alignas(64) char plan_[4096] = {};
};

}  // namespace

TEST_CASE("a plan refuses dims, workers and entries that make no sense") {
  const CompiledModel model = CompiledModel::from_source(kNet, "m.net");
  alignas(64) char memory[4096];
  auto* plan = reinterpret_cast<mlpc_plan*>(memory);
  const auto code = [&](int64_t batch, int workers, int entry) {
    return model.table().plan(plan, &batch, workers, entry);
  };
  CHECK(code(8, 1, MLPC_INFER) == MLPC_OK);
  CHECK(code(0, 1, MLPC_INFER) == MLPC_OK);
  CHECK(code(0, 1, MLPC_GRAD) == MLPC_BAD_DIM);
  CHECK(code(-1, 1, MLPC_INFER) == MLPC_BAD_DIM);
  CHECK(code(INT64_MAX, 1, MLPC_INFER) == MLPC_BAD_DIM);
  CHECK(code(8, 0, MLPC_INFER) == MLPC_BAD_WORKERS);
  CHECK(code(8, 1025, MLPC_INFER) == MLPC_BAD_WORKERS);
  CHECK(code(8, 1, 99) == MLPC_BAD_ENTRY);
  CHECK(model.table().plan(nullptr, nullptr, 1, MLPC_INFER) == MLPC_BAD_PLAN);
  CHECK(model.table().plan(plan, nullptr, 1, MLPC_INFER) == MLPC_NULL_POINTER);
}

TEST_CASE("a call refuses a wrong plan, null, misaligned and overlapping buffers") {
  Caller c(MLPC_TRAIN_STEP);
  CHECK(c.call() == MLPC_OK);
  c.args.params = nullptr;
  CHECK(c.call() == MLPC_NULL_POINTER);
  c.args.params = c.memory[0] + 4;
  CHECK(c.call() == MLPC_MISALIGNED);
  c.args.params = c.memory[1];  // the slots
  CHECK(c.call() == MLPC_OVERLAP);
  c.args.params = c.memory[0];
  c.inputs[0] = nullptr;
  CHECK(c.call() == MLPC_NULL_POINTER);
  c.inputs[0] = c.memory[0];  // an input that is overwritten
  CHECK(c.call() == MLPC_OVERLAP);
  c.inputs[0] = c.x;
  c.args.size = 8;
  CHECK(c.call() == MLPC_BAD_ARGUMENTS);
  c.args.size = sizeof c.args;
  c.head()->magic ^= 1;
  CHECK(c.call() == MLPC_BAD_PLAN);
}

TEST_CASE("a label out of range is found before anything is written") {
  Caller c(MLPC_TRAIN_STEP);
  for (int32_t bad : {4, -1, INT32_MAX, INT32_MIN}) {
    c.y[1] = bad;
    std::memset(c.memory[4], 7, sizeof c.memory[4]);
    CHECK(c.call() == MLPC_INDEX_OUT_OF_RANGE);
    CHECK(c.args.error_argument == 1);
    CHECK(c.args.error_position == 1);
    for (char byte : c.memory[0]) CHECK(byte == 0);
    for (char byte : c.memory[4]) CHECK(byte == 7);
  }
}

TEST_CASE("a loss that is not finite leaves parameters and slots untouched, if that was asked for") {
  Caller c(MLPC_TRAIN_STEP);
  c.x[0] = std::numeric_limits<float>::quiet_NaN();
  c.args.flags = MLPC_CHECK_FINITE;
  CHECK(c.call() == MLPC_NOT_FINITE);
  for (char byte : c.memory[0]) CHECK(byte == 0);
  for (char byte : c.memory[1]) CHECK(byte == 0);
  c.args.flags = 0;
  CHECK(c.call() == MLPC_OK);
}

TEST_CASE("gradients accumulate on request") {
  Caller c(MLPC_GRAD);
  CHECK(c.call() == MLPC_OK);
  std::vector<float> once(16);
  std::memcpy(once.data(), c.memory[2], 48);
  c.args.flags = MLPC_ACCUMULATE;
  CHECK(c.call() == MLPC_OK);
  const auto* twice = reinterpret_cast<const float*>(c.memory[2]);
  bool any = false;
  for (std::size_t i = 0; i < 12; ++i) {
    CHECK(twice[i] == 2 * once[i]);
    any |= once[i] != 0;
  }
  CHECK(any);
}

}  // namespace mlpc
