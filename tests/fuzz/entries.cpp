#include "tests/fuzz/entries.h"

#include "compiler/frontend/frontend.h"
#include "compiler/passes/pipeline.h"
#include "ir/error.h"
#include "ir/text.h"
#include "ir/verify.h"

namespace mlpc::fuzz {

void net(std::string_view bytes) {
  frontend::Diagnostics diagnostics;
  std::vector<std::unique_ptr<frontend::SourceFile>> files;
  std::optional<ir::Program> program = frontend::parse_net(bytes, "fuzz.net", {}, diagnostics, files);
  MLPC_CHECK(program.has_value() == diagnostics.empty(), "a source is a program or has errors");
  static_cast<void>(diagnostics.text() + diagnostics.json());
  if (!program) return;
  frontend::Diagnostics none;
  const std::optional<std::string> layout = frontend::formatted(bytes, "fuzz.net", none, files);
  MLPC_CHECK(layout && frontend::formatted(*layout, "fuzz.net", none, files) == layout,
             "a layout does not stay as it is");
  try {
    passes::run_pipeline(std::move(*program), ir::Stage::joint);
  } catch (const Error&) {  // too large, or the like
  }
}

void graph(std::string_view bytes) {
  try {
    const ir::Program program = ir::parse_program(bytes, "fuzz.graph");
    const std::string text = ir::print(program);
    MLPC_CHECK(ir::print(ir::parse_program(text, "again.graph")) == text, "a program is read as another");
  } catch (const Error&) {  // refused
  }
}

void kernels(std::string_view bytes) {
  try {
    const ir::KernelProgram program = ir::parse_kernels(bytes, "fuzz.kernels");
    const std::string text = ir::print(program);
    MLPC_CHECK(ir::print(ir::parse_kernels(text, "again.kernels")) == text, "kernels are read as others");
  } catch (const Error&) {  // refused
  }
}

}  // namespace mlpc::fuzz
