#include "compiler/codegen/jit.h"

#include <fstream>
#include <sstream>

#include "ir/error.h"
#include "tests/compiler/codegen/model_samples.h"

using namespace mlpc;
using namespace mlpc::codegen;

TEST_CASE("the JIT refuses code for other machines") {
  CHECK_THROWS_WITH_AS(JitModel(tiny_program("wasm32")), doctest::Contains("does not run in this process"),
                       Error);
}

TEST_CASE("two models live in one process, and one survives the other") {
  auto first = std::make_unique<JitModel>(tiny_program(host_row()));
  JitModel second(tiny_program(host_row()));
  first.reset();
  JitModel moved = std::move(second);
  TinyCall call(moved.table());
  CHECK(call.plan_and_call(MLPC_INFER) == MLPC_OK);
}

TEST_CASE("no memory is writable and executable while a model lives") {
  const JitModel model(tiny_program(host_row()));
  std::ifstream maps("/proc/self/maps");
  REQUIRE(maps.good());
  for (std::string line; std::getline(maps, line);)
    CHECK_MESSAGE(line.find("rwx") == std::string::npos, line);
}
