#include "compiler/codegen/header.h"

#include <fmt/format.h>

#include <fstream>

#include "compiler/codegen/model_codegen.h"
#include "tests/compiler/codegen/model_samples.h"
#include "tests/support/temporary.h"

using namespace mlpc;
using namespace mlpc::codegen;

namespace {

struct Folder {
  void write(const std::string& name, const std::string& text) const {
    std::ofstream(directory.file(name)) << text;
  }
  int run(const std::string& command) const {
    return std::system(fmt::format("cd {} && {}", directory.file(""), command).c_str());
  }
  testing::TemporaryDirectory directory;
};

}  // namespace

TEST_CASE("the header states the sizes that the table has") {
  const ir::KernelProgram program = tiny_program(host_row());
  const JitModel model(program);
  const std::string header = emit_header(program);
  for (const auto& [name, value] :
       {std::pair{"PLAN_BYTES", model.table()->plan_bytes},
        std::pair{"PARAMS_BYTES", model.table()->params_bytes},
        std::pair{"STATE_BYTES", model.table()->state_bytes},
        std::pair{"SLOTS_BYTES", model.table()->slots_bytes}, std::pair{"DIMS", model.table()->dim_count}})
    CHECK(header.find(fmt::format("#define TINY_{} {}\n", name, value)) != std::string::npos);
  CHECK(plan_bytes(program) == model.table()->plan_bytes);
  CHECK(header.find("inputs x : f32[B, 3], t : i32[B]; results loss : f32[]") != std::string::npos);
}

TEST_CASE("two models' headers meet in one C99 and one C++ file without a warning") {
  const Folder folder;
  folder.write("tiny.h", emit_header(tiny_program(host_row())));
  folder.write("other.h",
               emit_header(program_of(replaced(tiny_text(host_row()), "model tiny", "model Tiny2"))));
  folder.write("both.c",
               "#include \"tiny.h\"\n#include \"other.h\"\n#include \"tiny.h\"\n"
               "int use(const mlpc_plan *p, const float *x, float *y) {\n"
               "  return tiny_infer_with(p, 0, 0, x, y, 0) + Tiny2_infer_with(p, 0, 0, x, y, 0);\n}\n");
  const std::string flags = " -Wall -Wextra -Wconversion -Werror -pedantic-errors -fsyntax-only both.c";
  CHECK(folder.run("cc -std=c99" + flags) == 0);
  CHECK(folder.run("c++ -x c++ -std=c++11" + flags) == 0);
}
