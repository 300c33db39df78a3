#include <doctest/doctest.h>
#include <fmt/format.h>

#include "ir/error.h"
#include "ir/text.h"
#include "tests/support/kernels_text.h"

namespace mlpc::ir {
namespace {

/// A program of one kernel, which copies 4 numbers, with these actions.
std::string program_of(std::string_view actions) {
  return testing::kernels_text(
      "dim T\ninput \"x\" : f32[T, 4]\n", testing::copying_kernel("k0", "4"),
      fmt::format("  input 0\n  result output \"y\" : f32[4]\n  slot 128\n{}", actions));
}

std::string error_of(std::string_view actions) { return testing::error_of_kernels(program_of(actions)); }

TEST_CASE("loops over turns are read as they are printed, nested ones, too") {
  const std::string text = program_of(R"(  turns T reverse {
    call 0(input 0 [turn 0 by 16], workspace 0 [next 0 by 64])
    turns 2*T + 1 {
      call 0(workspace 0 [now 0 by 64] [turn 1 by 0], result 0) when T >= 3
    }
  }
  call 0(workspace 0 [last T by 64] [fixed by 16], result 0)
)");
  const KernelProgram program = parse_kernels(text, "dump");
  CHECK(print(program) == text);
  const auto& loop = std::get<TurnLoop>(program.entries[0].actions[0].kind);
  CHECK(loop.reverse);
  const auto& call = std::get<KernelCall>(loop.actions[0].kind);
  CHECK(call.buffers[0].offsets == std::vector<TurnOffset>{{TurnOffset::Kind::turn, 0, Dim(0), Dim(16)}});
}

TEST_CASE("a turn that is in no loop, and loops too deep, are errors that say why") {
  CHECK(error_of("  turns T {\n    call 0(input 0 [turn 1 by 16], result 0)\n  }\n") ==
        "dump: error: entry infer: there is no loop 1 around a call");
  CHECK(error_of("  call 0(scalar turn 0, result 0)\n") ==
        "dump: error: entry infer: turn is no scalar of a call");
  CHECK(error_of("  turns T {\n    check_finite f32 result 0\n  }\n") ==
        "dump: error: entry infer: a check stands in a loop");
  CHECK(error_of("  turns Q {\n  }\n") == "dump: error: entry infer: a length's `Q` is no dim of the model");
  CHECK(error_of("  call 0(input 0 [now 0 by 16], result 0)\n") ==
        "dump: error: entry infer: there is no loop 0 around a call");
  std::string deep;
  for (int i = 0; i < 40; ++i) deep += "  turns T {\n";
  CHECK(error_of(deep).find("loops are nested too deep") != std::string::npos);
}

TEST_CASE("a phase is read as it is printed, and has kernels that are cut alike, no check and no phase") {
  std::string text = program_of(
      "  phase {\n    call 0(input 0, workspace 0)\n    turns T {\n      call 0(input 0 "
      "[turn 0 by 16], workspace 0)\n    }\n  }\n");
  CHECK(print(parse_kernels(text, "dump")) == text);  // one task
  text.insert(text.find("  for %i0"), "  task %i0 block 2\n");
  CHECK(print(parse_kernels(text, "dump")) == text);
  const std::size_t kernel = text.find("kernel k0"), entry = text.find("entry");
  std::string other = text.substr(kernel, entry - kernel);
  other.replace(other.find("block 2"), 7, "block 1");
  text.insert(entry, other);
  text.replace(text.rfind("call 0"), 6, "call 1");
  CHECK_THROWS_WITH_AS(parse_kernels(text, "dump"),
                       "dump: error: entry infer: the kernels of a phase are cut into different tasks",
                       Error);
  CHECK(error_of("  phase {\n  }\n") ==
        "dump: error: entry infer: the kernels of a phase are cut into different tasks");
  CHECK(error_of("  phase {\n    check_finite f32 result 0\n  }\n") ==
        "dump: error: entry infer: a check stands in a loop");
  CHECK(error_of("  phase {\n    phase {\n    }\n  }\n") ==
        "dump: error: entry infer: a phase stands in another one");
}

}  // namespace
}  // namespace mlpc::ir
