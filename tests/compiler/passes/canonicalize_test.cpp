#include <doctest/doctest.h>

#include "compiler/passes/passes.h"
#include "ir/text.h"
#include "tests/support/golden.h"

namespace mlpc {
namespace {

TEST_CASE("each exact rule rewrites its pattern") {
  const char* name = "canonicalize/rules.ir";
  const ir::Program program = ir::parse_program(testing::golden_input(name), name);
  CHECK(testing::matches_golden(name, ir::print(passes::drop_unused(passes::canonicalize(program)))));
}

TEST_CASE("what is canonical stays") {
  const char* name = "canonicalize/rules.ir";
  const ir::Program once = passes::canonicalize(ir::parse_program(testing::golden_input(name), name));
  CHECK(ir::print(passes::canonicalize(once)) == ir::print(once));
}

}  // namespace
}  // namespace mlpc
