#include <cstring>
#include <limits>

#include "compiler/codegen/model_codegen.h"
#include "ir/error.h"
#include "ir/workspace.h"
#include "tests/compiler/codegen/model_samples.h"

using namespace mlpc;
using namespace mlpc::codegen;

TEST_CASE("a plan holds the dims, and the workspace is where the last slot ends, each rounded up to 64") {
  const JitModel model(tiny_program(host_row()));
  TinyCall call(model.table());
  REQUIRE(call.make_plan(MLPC_INFER, 7) == MLPC_OK);
  CHECK(call.plan()->size == model.table()->plan_bytes);
  CHECK(call.plan()->abi == MLPC_ABI_VERSION);
  CHECK(call.plan()->dims[0] == 7);
  CHECK(call.plan()->workspace_bytes == 64 + 128);  // 28 and 84 bytes
  REQUIRE(call.make_plan(MLPC_LOSS, 7) == MLPC_OK);
  CHECK(call.plan()->workspace_bytes == 0);
}

TEST_CASE("a plan refuses what no entry can run with") {
  const JitModel model(tiny_program(host_row()));
  TinyCall call(model.table());
  const std::int64_t rows = 3;
  const auto plan = model.table()->plan;
  CHECK(plan(nullptr, &rows, 1, MLPC_INFER) == MLPC_BAD_PLAN);
  CHECK(plan(call.plan(), nullptr, 1, MLPC_INFER) == MLPC_NULL_POINTER);
  for (const int workers : {0, -1, 1025, std::numeric_limits<int>::min()})
    CHECK(plan(call.plan(), &rows, workers, MLPC_INFER) == MLPC_BAD_WORKERS);
  CHECK(plan(call.plan(), &rows, 1024, MLPC_INFER) == MLPC_OK);
  for (const int entry : {-1, 6, 1000}) CHECK(plan(call.plan(), &rows, 1, entry) == MLPC_BAD_ENTRY);
}

TEST_CASE("dims are 0 … 2^40, and gradients need rows") {
  const JitModel model(tiny_program(host_row()));
  TinyCall call(model.table());
  const std::int64_t greatest = std::int64_t{1} << 40;
  for (const std::int64_t bad : {std::int64_t{-1}, greatest + 1, std::numeric_limits<std::int64_t>::min(),
                                 std::numeric_limits<std::int64_t>::max()})
    CHECK(call.make_plan(MLPC_LOSS, bad) == MLPC_BAD_DIM);
  CHECK(call.make_plan(MLPC_INFER, 0) == MLPC_OK);
  CHECK(call.make_plan(MLPC_LOSS, 0) == MLPC_OK);
  CHECK(call.make_plan(MLPC_GRAD, 0) == MLPC_BAD_DIM);
  CHECK(call.make_plan(MLPC_TRAIN_STEP, 0) == MLPC_BAD_DIM);
}

TEST_CASE("dims that break a relation of the model are refused, and so are relations that leave 64 bits") {
  // B·B ≥ 3·B - 2 holds everywhere; with 4·B it fails for 2 and 3.
  const std::string text = replaced(tiny_text(host_row()), "check B*B >= 3*B - 2", "check B*B >= 4*B - 3");
  const JitModel model(program_of(text));
  TinyCall call(model.table());
  CHECK(call.make_plan(MLPC_INFER, 1) == MLPC_OK);
  CHECK(call.make_plan(MLPC_INFER, 2) == MLPC_CHECK_FAILED);
  CHECK(call.make_plan(MLPC_INFER, 3) == MLPC_OK);
  CHECK(call.make_plan(MLPC_INFER, std::int64_t{1} << 40) == MLPC_TOO_LARGE);
  const JitModel equal(
      program_of(replaced(tiny_text(host_row()), "check B*B >= 3*B - 2", "check B*B == 3*B")));
  TinyCall other(equal.table());
  CHECK(other.make_plan(MLPC_INFER, 3) == MLPC_OK);
  CHECK(other.make_plan(MLPC_INFER, 2) == MLPC_CHECK_FAILED);
}

TEST_CASE("slots begin where the highest ends that they are above, whatever the dims are") {
  const ir::KernelProgram program =
      program_of(replaced(tiny_text(host_row()), "  slot 4*B\n  slot 12*B above 0\n",
                          "  slot 4*B\n  slot 12*B above 0\n  slot 900\n  slot 4*B*B above 2\n"
                          "  slot 36*B*B for 3*B tasks of 12*B above 3\n  slot 8*B above 1, 4\n"));
  const ir::LoweredEntry& infer = program.entries[0];
  REQUIRE(infer.slots.size() == 6);
  const JitModel model(program);
  TinyCall call(model.table());
  for (const std::int64_t rows : {0, 1, 3, 64, 5000})
    for (const int workers : {1, 3, 1024}) {
      REQUIRE(model.table()->plan(call.plan(), &rows, workers, MLPC_INFER) == MLPC_OK);
      const auto expected = ir::lay_out(infer.slots, [&](std::string_view) { return rows; }, workers);
      CHECK(call.plan()->workspace_bytes == expected->bytes);
      std::vector<std::int64_t> offsets(infer.slots.size());
      std::memcpy(offsets.data(), call.plan_memory.data() + sizeof(mlpc_plan) + sizeof(std::int64_t),
                  offsets.size() * sizeof(std::int64_t));
      CHECK(offsets == expected->offsets);
    }
}

TEST_CASE("sizes that no memory has are refused before any of them wraps") {
  for (const std::string_view slot :
       {"4*B*B*B", "4*B*B*B*B*B*B*B*B", "4*max(B*B*B, 3)", "4*floordiv(B*B*B, 2)", "4611686018427387904*B"}) {
    CAPTURE(slot);
    const JitModel model(program_of(
        replaced(replaced(tiny_text(host_row()), "slot 4*B\n", std::string("slot ").append(slot) + "\n"),
                 "check B*B >= 3*B - 2 @0\n", "")));
    TinyCall call(model.table());
    CHECK(call.make_plan(MLPC_INFER, 1) == (slot.starts_with("46") ? MLPC_TOO_LARGE : MLPC_OK));
    CHECK(call.make_plan(MLPC_INFER, 1 << 20) == MLPC_TOO_LARGE);
    CHECK(call.make_plan(MLPC_INFER, std::int64_t{1} << 40) == MLPC_TOO_LARGE);
    CHECK(call.make_plan(MLPC_INFER, 0) == MLPC_OK);
  }
}

TEST_CASE("a plan that was refused, or is another model's or another entry's, runs nothing") {
  const JitModel model(tiny_program(host_row()));
  TinyCall call(model.table());
  REQUIRE(call.make_plan(MLPC_LOSS, 3) == MLPC_OK);
  CHECK(call.call(MLPC_INFER) == MLPC_BAD_PLAN);
  CHECK(call.make_plan(MLPC_LOSS, -1) == MLPC_BAD_DIM);
  CHECK(call.call(MLPC_LOSS) == MLPC_BAD_PLAN);
  for (const auto& [from, to] :
       {std::pair{"slot 4*B", "slot 400*B"}, std::pair{"source \"5eed\"", "source \"5eee\""},
        std::pair{"fc.b\" : f32[2] offset 64", "fc.b\" : f32[2] offset 128"}}) {
    CAPTURE(from);
    const JitModel other(program_of(replaced(tiny_text(host_row()), from, to)));
    REQUIRE(TinyCall(other.table()).table->plan_bytes == model.table()->plan_bytes);
    const std::int64_t rows = 3;
    REQUIRE(other.table()->plan(call.plan(), &rows, 1, MLPC_INFER) == MLPC_OK);
    CHECK(call.call(MLPC_INFER) == MLPC_BAD_PLAN);
  }
}

TEST_CASE("a model has 16 dims at most, and a name that C can prefix") {
  std::string dims;
  for (int i = 0; i < 16; ++i) dims += fmt::format("dim D{}\n", i);
  CHECK_THROWS_WITH_AS(JitModel(program_of(replaced(tiny_text(host_row()), "dim B\n", "dim B\n" + dims))),
                       doctest::Contains("17 free dims"), Error);
  for (const char* name : {"int", "_tiny", "mlpc_tiny"})
    CHECK_THROWS_WITH_AS(
        JitModel(program_of(replaced(tiny_text(host_row()), "model tiny", std::string("model ") + name))),
        doctest::Contains(name), Error);
}
