#include "compiler/driver/memory_bound.h"

#include <doctest/doctest.h>

#include "compiler/driver/mlpc.hpp"
#include "ir/error.h"

namespace mlpc {
namespace {

using driver::CompileOptions;
using driver::parse_memory_bound;

/// Twelve layers, each of whose results the backward part reads.
driver::Source deep_net() {
  std::string text = "model deep {\n  input x[B, 24]; input y[B, 24]\n  h = x\n";
  for (int i = 0; i < 12; ++i) text += "  h = h |> dense(24, tanh)\n";
  return {text + "  loss l = sum((h - y)^2)\n}\n", "deep.net"};
}

constexpr std::int64_t kRows = 32;

/// A gradient of the net at fixed parameters and data, and the workspace that it took.
struct Result {
  std::vector<char> gradients;
  std::int64_t workspace = 0;
};

/// Memory for the C ABI.
char* aligned(std::vector<char>& bytes, std::int64_t count) {
  constexpr std::size_t kAlignment = 64;
  bytes.assign(static_cast<std::size_t>(count) + kAlignment, 0);
  const auto address = reinterpret_cast<std::uintptr_t>(bytes.data());
  return bytes.data() + (kAlignment - address % kAlignment) % kAlignment;
}

Result gradient_of(const std::string& dump) {
  const CompiledModel model = CompiledModel::from_source(dump, "deep.joint");
  const mlpc_model& table = model.table();
  std::vector<char> storage[5];
  auto* plan = reinterpret_cast<mlpc_plan*>(aligned(storage[0], table.plan_bytes));
  REQUIRE(table.plan(plan, &kRows, 1, MLPC_GRAD) == MLPC_OK);
  auto* params = reinterpret_cast<float*>(aligned(storage[1], table.params_bytes));
  for (std::int64_t i = 0; i < table.params_bytes / 4; ++i)
    params[i] = static_cast<float>((i * 7919) % 101) / 200 - 0.25F;
  std::vector<float> x(kRows * 24), y(kRows * 24);
  for (std::size_t i = 0; i < x.size(); ++i) {
    x[i] = static_cast<float>(i % 17) / 17;
    y[i] = static_cast<float>(i % 13) / 13;
  }
  char* grads = aligned(storage[2], table.params_bytes);
  const void* inputs[] = {x.data(), y.data()};
  float losses[2];
  void* results[] = {&losses[0], &losses[1]};
  mlpc_args args{};
  args.size = sizeof args;
  args.inputs = inputs;
  args.results = results;
  args.params = params;
  args.grads = grads;
  args.workspace = aligned(storage[3], plan->workspace_bytes);
  args.loss_bar = 1;
  REQUIRE(model.entry(MLPC_GRAD)->call(plan, &args) == MLPC_OK);
  return {{grads, grads + table.params_bytes}, plan->workspace_bytes};
}

std::string joint_text(std::optional<driver::MemoryBound> bound) {
  CompileOptions options;
  options.memory = std::move(bound);
  return driver::stage_text(deep_net(), options, driver::StopAt::joint);
}

TEST_CASE("within a bound, parts are computed again: the same bits from a smaller workspace") {
  const Result whole = gradient_of(joint_text(std::nullopt));
  const std::int64_t bound = whole.workspace * 6 / 10;
  const Result less = gradient_of(joint_text(driver::MemoryBound{bound, {{"B", kRows}}}));
  CHECK(less.workspace <= bound);
  CHECK(less.gradients == whole.gradients);
}

TEST_CASE("a bound that holds anyway changes nothing; one that cannot hold is refused") {
  CHECK(joint_text(driver::MemoryBound{1 << 30, {{"B", kRows}}}).find("recompute(") == std::string::npos);
  CHECK_THROWS_AS(joint_text(driver::MemoryBound{64, {{"B", kRows}}}), Error);
  CHECK_THROWS_WITH_AS(joint_text(driver::MemoryBound{1 << 30, {}}),
                       "--memory needs an extent of each free dim: --memory=1073741824,B=…", Error);
}

TEST_CASE("bounds are read strictly") {
  CHECK(parse_memory_bound("1000").bytes == 1000);
  CHECK(parse_memory_bound("64K").bytes == 65536);
  const driver::MemoryBound bound = parse_memory_bound("2M,B=128,T=3");
  CHECK(bound.bytes == 2 << 20);
  CHECK(bound.extent("B") == 128);
  CHECK(bound.extent("T") == 3);
  for (const char* text : {"", "K", "-1", "0", "1.5G", "9999999999999G", "1,B", "1,=3", "1,B=0", "1,", "1X"})
    CHECK_THROWS_AS(parse_memory_bound(text), Error);
}

}  // namespace
}  // namespace mlpc
