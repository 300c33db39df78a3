#include "compiler/codegen/object.h"

#include <llvm/Config/llvm-config.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/Support/raw_ostream.h>

#include "compiler/codegen/model_codegen.h"
#include "compiler/codegen/target_machine.h"
#include "ir/error.h"

namespace mlpc::codegen {

std::string emit_code(const ir::KernelProgram& program, CodeFormat format) {
  llvm::LLVMContext context;
  const std::unique_ptr<llvm::Module> module = emit_model(program, context);
  std::string text;
  if (format == CodeFormat::llvm_ir) {
    llvm::raw_string_ostream stream(text);
    module->print(stream, nullptr);
    return text;
  }
  const auto machine = make_target_machine(*ir::target_named(program.header.target));
  llvm::SmallVector<char, 0> bytes;
  llvm::raw_svector_ostream stream(bytes);
  llvm::legacy::PassManager passes;
  const auto type =
      format == CodeFormat::object ? llvm::CodeGenFileType::ObjectFile : llvm::CodeGenFileType::AssemblyFile;
  MLPC_CHECK(!machine->addPassesToEmitFile(passes, stream, nullptr, type), "{} has no such output",
             program.header.target);
  passes.run(*module);
  return std::string(bytes.begin(), bytes.end());
}

std::string_view llvm_version() { return LLVM_VERSION_STRING; }

}  // namespace mlpc::codegen
