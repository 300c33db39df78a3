#include "compiler/codegen/target_machine.h"

#include <llvm/MC/TargetRegistry.h>
#include <llvm/Support/TargetSelect.h>

#include <mutex>

#include "ir/error.h"

namespace mlpc::codegen {
namespace {

void initialise_targets() {
  static std::once_flag once;
  std::call_once(once, [] {
    LLVMInitializeX86TargetInfo();
    LLVMInitializeX86Target();
    LLVMInitializeX86TargetMC();
    LLVMInitializeX86AsmPrinter();
    LLVMInitializeX86AsmParser();
    LLVMInitializeAArch64TargetInfo();
    LLVMInitializeAArch64Target();
    LLVMInitializeAArch64TargetMC();
    LLVMInitializeAArch64AsmPrinter();
    LLVMInitializeWebAssemblyTargetInfo();
    LLVMInitializeWebAssemblyTarget();
    LLVMInitializeWebAssemblyTargetMC();
    LLVMInitializeWebAssemblyAsmPrinter();
  });
}

}  // namespace

std::unique_ptr<llvm::TargetMachine> make_target_machine(const ir::Target& target) {
  initialise_targets();
  const llvm::Triple triple{llvm::StringRef(target.triple)};
  std::string problem;
  const llvm::Target* llvm_target = llvm::TargetRegistry::lookupTarget(triple, problem);
  if (!llvm_target) fail("this LLVM has no target {}: {}", target.triple, problem);
  // 512-bit vectors are what the tiles are made for; LLVM would halve them for some processors.
  const std::string features = target.name == "x86-64-v4" ? "-prefer-256-bit" : "";
  // WebAssembly's position-independent code would need a loader that says where memory begins.
  const llvm::Reloc::Model relocation = triple.isWasm() ? llvm::Reloc::Static : llvm::Reloc::PIC_;
  std::unique_ptr<llvm::TargetMachine> machine(
      llvm_target->createTargetMachine(triple, llvm::StringRef(target.llvm_cpu), features, {}, relocation,
                                       std::nullopt, llvm::CodeGenOptLevel::Less));
  MLPC_CHECK(machine, "no target machine for {}", target.triple);
  return machine;
}

void prepare_module(llvm::Module& module, const ir::Target& target) {
  const auto machine = make_target_machine(target);
  module.setTargetTriple(machine->getTargetTriple());
  module.setDataLayout(machine->createDataLayout());
  if (machine->isPositionIndependent()) module.setPICLevel(llvm::PICLevel::BigPIC);
}

}  // namespace mlpc::codegen
