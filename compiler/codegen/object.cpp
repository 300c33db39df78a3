#include "compiler/codegen/object.h"

#include <llvm/Analysis/TargetTransformInfo.h>
#include <llvm/CodeGen/MachineModuleInfo.h>
#include <llvm/CodeGen/Passes.h>
#include <llvm/CodeGen/TargetPassConfig.h>
#include <llvm/Config/llvm-config.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/Support/raw_ostream.h>

#include <atomic>
#include <exception>
#include <thread>

#include "compiler/codegen/model_codegen.h"
#include "compiler/codegen/target_machine.h"
#include "ir/error.h"

namespace mlpc::codegen {

namespace {

/// What only LLVM's own pass configurations may call.
struct Opened : llvm::TargetPassConfig {
  static constexpr auto kAddSelection = &Opened::addCoreISelPasses;
};

/// LLVM's passes over IR are left out: kernels have running pointers and no address that would gain from
/// them, and loop strength reduction alone would take a sixth of the time. They run as at level 0, which all
/// targets have.
void add_passes(llvm::legacy::PassManager& passes, llvm::TargetMachine& machine, llvm::raw_pwrite_stream& out,
                llvm::CodeGenFileType type) {
  auto* functions = new llvm::MachineModuleInfoWrapperPass(&machine);
  auto* config = static_cast<llvm::TargetPassConfig*>(machine.createPassConfig(passes));
  config->setDisableVerify(true);  // verified when it was built
  passes.add(config);
  passes.add(functions);
  passes.add(llvm::createTargetTransformInfoWrapperPass(machine.getTargetIRAnalysis()));
  const llvm::CodeGenOptLevel level = machine.getOptLevel();
  machine.setOptLevel(llvm::CodeGenOptLevel::None);
  config->addIRPasses();
  machine.setOptLevel(level);
  config->addCodeGenPrepare();
  config->addPassesToHandleExceptions();
  config->addISelPrepare();
  bool has_failed = (config->*Opened::kAddSelection)();
  config->addMachinePasses();
  config->setInitialized();
  has_failed |= machine.addAsmPrinter(passes, out, nullptr, type, functions->getMMI().getContext());
  MLPC_CHECK(!has_failed, "{} has no such output", std::string(machine.getTargetTriple().str()));
  passes.add(llvm::createFreeMachineFunctionPass());
}

std::string machine_code(const ir::KernelProgram& program, const ModelPart& part, llvm::CodeGenFileType type,
                         Effort effort = Effort::usual) {
  llvm::LLVMContext context;
  const std::unique_ptr<llvm::Module> module = emit_part(program, part, context);
  const auto machine = make_target_machine(*ir::target_named(program.header.target));
  if (effort == Effort::least) machine->setOptLevel(llvm::CodeGenOptLevel::None);
  llvm::SmallVector<char, 0> bytes;
  llvm::raw_svector_ostream stream(bytes);
  llvm::legacy::PassManager passes;
  add_passes(passes, *machine, stream, type);
  passes.run(*module);
  return std::string(bytes.begin(), bytes.end());
}

}  // namespace

std::string emit_text(const ir::KernelProgram& program, TextFormat format) {
  if (format == TextFormat::assembly)
    return machine_code(program, parts_of(program, 1).front(), llvm::CodeGenFileType::AssemblyFile);
  llvm::LLVMContext context;
  std::string text;
  llvm::raw_string_ostream stream(text);
  emit_model(program, context)->print(stream, nullptr);
  return text;
}

std::vector<std::string> emit_objects(const ir::KernelProgram& program, std::size_t most, Effort effort) {
  const std::vector<ModelPart> parts = parts_of(program, most);
  std::vector<std::string> objects(parts.size());
  std::vector<std::exception_ptr> problems(parts.size());
  std::atomic<std::size_t> next = 0;
  const auto work = [&] {
    for (std::size_t part = next++; part < parts.size(); part = next++) try {
        objects[part] = machine_code(program, parts[part], llvm::CodeGenFileType::ObjectFile, effort);
      } catch (...) {
        problems[part] = std::current_exception();
      }
  };
  {
    const std::size_t processors = std::max<std::size_t>(std::thread::hardware_concurrency(), 1);
    std::vector<std::jthread> helpers;
    for (std::size_t i = 1; i < std::min(processors, parts.size()); ++i) helpers.emplace_back(work);
    work();
  }
  for (const std::exception_ptr& problem : problems)
    if (problem) std::rethrow_exception(problem);
  return objects;
}

std::string_view llvm_version() { return LLVM_VERSION_STRING; }

}  // namespace mlpc::codegen
