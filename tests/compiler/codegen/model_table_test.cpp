#include "tests/compiler/codegen/model_samples.h"

using namespace mlpc;
using namespace mlpc::codegen;

TEST_CASE("the table tells names, types, shapes, offsets and sizes") {
  const JitModel model(tiny_program(host_row()));
  const mlpc_model& m = *model.table();
  CHECK(m.size == sizeof m);
  CHECK(m.abi == MLPC_ABI_VERSION);
  CHECK(std::string_view(m.name) == "tiny");
  CHECK(std::string_view(m.train) == R"({"batch":4})");
  CHECK(std::string_view(m.source_hash) == "5eed");
  CHECK(std::string_view(m.target).ends_with(host_row()));
  REQUIRE(m.dim_count == 1);
  CHECK(std::string_view(m.dims[0]) == "B");
  REQUIRE(m.param_count == 2);
  CHECK(m.params_bytes == 128);
  CHECK(m.params[1].size == sizeof(mlpc_tensor));
  CHECK(std::string_view(m.params[1].name) == "fc.b");
  CHECK(m.params[1].type == MLPC_F32);
  CHECK(m.params[1].rank == 1);
  CHECK(m.params[1].shape[0].constant == 2);
  CHECK(m.params[1].shape[0].dim == -1);
  CHECK(m.params[1].offset == 64);
  CHECK(m.params[1].bytes == 8);
  CHECK(std::string_view(m.params[1].initialiser) == "2");
  CHECK(m.state_count == 1);
  CHECK(m.state[0].rank == 0);
  CHECK(m.slot_count == 1);
  CHECK(m.slots_bytes == 64);
}

TEST_CASE("the table's entries have their inputs with index bounds, and their results with roles") {
  const JitModel model(tiny_program(host_row()));
  const mlpc_model& m = *model.table();
  REQUIRE(m.entry_count == 6);
  const char* names[] = {"infer", "loss", "grad", "update", "train_step", "init"};
  for (int i = 0; i < 6; ++i) {
    CHECK(m.entries[i].size == sizeof(mlpc_entry));
    CHECK(m.entries[i].kind == static_cast<std::uint32_t>(i));
    CHECK(std::string_view(m.entries[i].name) == names[i]);
  }
  const mlpc_entry& grad = m.entries[MLPC_GRAD];
  REQUIRE(grad.input_count == 2);
  CHECK(grad.inputs[0].shape[0].dim == 0);
  CHECK(grad.inputs[0].shape[1].constant == 3);
  CHECK(grad.inputs[0].role == 0);
  CHECK(grad.inputs[1].role == 1);
  CHECK(grad.inputs[1].bound == 3);
  CHECK(grad.inputs[1].type == MLPC_I32);
  REQUIRE(grad.result_count == 1);
  CHECK(grad.results[0].role == MLPC_LOSS_TOTAL);
}
