// Running kernels in the test's process, for kernel_test.cpp.
#include "tests/compiler/codegen/kernel_jit.h"

#include <doctest/doctest.h>
#include <llvm/ExecutionEngine/Orc/JITTargetMachineBuilder.h>
#include <llvm/ExecutionEngine/Orc/LLJIT.h>
#include <llvm/IR/LegacyPassManager.h>
#include <llvm/IR/Verifier.h>
#include <llvm/MC/TargetRegistry.h>
#include <llvm/Object/ObjectFile.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/Target/TargetMachine.h>
#include <llvm/TargetParser/Host.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <random>

#include "compiler/codegen/kernel_codegen.h"
#include "tests/compiler/codegen/kernel_interpreter.h"

namespace mlpc::codegen {
namespace {

using ir::ElementType;

std::unique_ptr<llvm::TargetMachine> make_machine(const ir::Target& target) {
  static const bool initialised = [] {
    llvm::InitializeAllTargetInfos();
    llvm::InitializeAllTargets();
    llvm::InitializeAllTargetMCs();
    llvm::InitializeAllAsmPrinters();
    return true;
  }();
  REQUIRE(initialised);
  const llvm::Triple triple{std::string(target.triple)};
  std::string error;
  const llvm::Target* found = llvm::TargetRegistry::lookupTarget(triple, error);
  REQUIRE_MESSAGE(found, error);
  return std::unique_ptr<llvm::TargetMachine>(found->createTargetMachine(
      triple, std::string(target.llvm_cpu), "", {}, llvm::Reloc::PIC_, {}, llvm::CodeGenOptLevel::Less));
}

/// The kernel and two exported functions over it: `run` (dims, task, array of buffers) and `task_count`.
std::unique_ptr<llvm::Module> make_module(llvm::LLVMContext& context, const ir::Kernel& kernel,
                                          const ir::Target& target, const llvm::TargetMachine& machine,
                                          const std::vector<std::string>& dim_names) {
  auto module = std::make_unique<llvm::Module>("test", context);
  module->setTargetTriple(machine.getTargetTriple());
  module->setDataLayout(machine.createDataLayout());
  llvm::Function* function = emit_kernel(*module, kernel, target, dim_names);
  llvm::Type* pointer = llvm::PointerType::getUnqual(context);
  llvm::Type* int64 = llvm::Type::getInt64Ty(context);
  llvm::IRBuilder<> builder(context);
  const auto exported = [&](const char* name, llvm::Type* result, std::vector<llvm::Type*> parameters) {
    auto* made = llvm::Function::Create(llvm::FunctionType::get(result, parameters, false),
                                        llvm::Function::ExternalLinkage, name, *module);
    builder.SetInsertPoint(llvm::BasicBlock::Create(context, "entry", made));
    return made;
  };
  llvm::Function* run = exported("run", llvm::Type::getVoidTy(context), {pointer, int64, pointer});
  std::vector<llvm::Value*> arguments = {run->getArg(0), run->getArg(1)};
  for (std::size_t i = 0; i < kernel.buffers.size(); ++i)
    arguments.push_back(builder.CreateLoad(pointer, builder.CreateConstGEP1_64(pointer, run->getArg(2), i)));
  builder.CreateCall(function, arguments);
  builder.CreateRetVoid();
  llvm::Function* count = exported("task_count", int64, {pointer});
  builder.CreateRet(emit_task_count(builder, kernel, count->getArg(0), dim_names));
  std::string text;
  llvm::raw_string_ostream stream(text);
  REQUIRE_MESSAGE(!llvm::verifyModule(*module, &stream), text);
  return module;
}

void fill(const ir::Type& type, std::size_t count, std::byte* to, std::mt19937& random) {
  for (std::size_t i = 0; i < count; ++i) {
    const auto write = [&](auto value) { std::memcpy(to + i * sizeof value, &value, sizeof value); };
    const auto small = static_cast<int>(random() % 17) - 8;
    const double fraction = small + static_cast<double>(random() % 1024) / 1024;
    switch (type.element) {
      case ElementType::f32:
        write(static_cast<float>(fraction));
        break;
      case ElementType::f64:
        write(fraction + 1e-9 * small);
        break;
      case ElementType::i32:
        write(std::int32_t{small});
        break;
      case ElementType::i64:
        write(std::int64_t{small < 0 ? -small : small});  // row numbers, for gathers
        break;
      case ElementType::u8:
        write(static_cast<std::uint8_t>(random()));
        break;
      case ElementType::boolean:
        write(static_cast<std::uint8_t>(random() & 1));
        break;
    }
  }
}

}  // namespace

struct CompiledKernel::Jit {
  std::unique_ptr<llvm::orc::LLJIT> engine;
  void (*run)(const std::int64_t*, std::int64_t, std::byte* const*);
  std::int64_t (*task_count)(const std::int64_t*);
};

CompiledKernel::CompiledKernel(const ir::Kernel& kernel, const ir::Target& target,
                               const std::vector<std::string>& dim_names)
    : jit_(std::make_unique<Jit>()) {
  const std::unique_ptr<llvm::TargetMachine> machine = make_machine(target);
  llvm::orc::JITTargetMachineBuilder builder(machine->getTargetTriple());
  builder.setCPU(std::string(target.llvm_cpu)).setCodeGenOptLevel(llvm::CodeGenOptLevel::Less);
  jit_->engine = llvm::cantFail(llvm::orc::LLJITBuilder().setJITTargetMachineBuilder(builder).create());
  auto context = std::make_unique<llvm::LLVMContext>();
  auto module = make_module(*context, kernel, target, *machine, dim_names);
  llvm::cantFail(jit_->engine->addIRModule({std::move(module), std::move(context)}));
  jit_->run = llvm::cantFail(jit_->engine->lookup("run")).toPtr<decltype(jit_->run)>();
  jit_->task_count = llvm::cantFail(jit_->engine->lookup("task_count")).toPtr<decltype(jit_->task_count)>();
}

CompiledKernel::~CompiledKernel() = default;

std::int64_t CompiledKernel::task_count(const std::vector<std::int64_t>& dims) const {
  return jit_->task_count(dims.data());
}

void CompiledKernel::run(const std::vector<std::int64_t>& dims,
                         const std::vector<std::byte*>& buffers) const {
  for (std::int64_t task = task_count(dims); task-- > 0;) jit_->run(dims.data(), task, buffers.data());
}

std::vector<const ir::Target*> runnable_targets() {
  const llvm::StringMap<bool> features = llvm::sys::getHostCPUFeatures();
  std::vector<const ir::Target*> targets;
  if (features.lookup("avx512bw") && features.lookup("avx512dq") && features.lookup("avx512vl"))
    targets.push_back(ir::target_named("x86-64-v4"));
  if (features.lookup("avx2") && features.lookup("fma")) targets.push_back(ir::target_named("x86-64-v3"));
  targets.push_back(ir::target_named("x86-64"));
  return targets;
}

std::vector<std::string> undefined_symbols(const ir::Kernel& kernel, const ir::Target& target,
                                           const std::vector<std::string>& dim_names) {
  const std::unique_ptr<llvm::TargetMachine> machine = make_machine(target);
  llvm::LLVMContext context;
  const auto module = make_module(context, kernel, target, *machine, dim_names);
  llvm::SmallVector<char, 0> bytes;
  llvm::raw_svector_ostream stream(bytes);
  llvm::legacy::PassManager passes;
  REQUIRE(!machine->addPassesToEmitFile(passes, stream, nullptr, llvm::CodeGenFileType::ObjectFile));
  passes.run(*module);
  const auto object = llvm::cantFail(llvm::object::ObjectFile::createObjectFile(
      llvm::MemoryBufferRef(llvm::StringRef(bytes.data(), bytes.size()), "object")));
  std::vector<std::string> names;
  for (const llvm::object::SymbolRef& symbol : object->symbols()) {
    const std::string name = llvm::cantFail(symbol.getName()).str();
    const bool made_by_wasm = name == "__linear_memory" || name == "__stack_pointer";
    if ((llvm::cantFail(symbol.getFlags()) & llvm::object::SymbolRef::SF_Undefined) && !name.empty() &&
        !made_by_wasm)
      names.push_back(name);
  }
  return names;
}

GuardedMemory::GuardedMemory(std::size_t bytes, bool at_end) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::size_t inside = (bytes + page) / page * page;
  page_bytes_ = inside + 2 * page;
  void* pages = mmap(nullptr, page_bytes_, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  REQUIRE(pages != MAP_FAILED);
  pages_ = static_cast<std::byte*>(pages);
  REQUIRE(mprotect(pages_ + page, inside, PROT_READ | PROT_WRITE) == 0);
  data_ = pages_ + page + (at_end ? inside - bytes : 0);
}

GuardedMemory::~GuardedMemory() { munmap(pages_, page_bytes_); }

namespace {

/// One run on memory at one edge of its pages.
void check_run(const ir::Kernel& kernel, const CompiledKernel& compiled, bool has_fma, const Dims& dims,
               bool at_end, std::pair<std::size_t, std::size_t> alias) {
  const auto dim = [&](std::string_view name) { return dims.find(name)->second; };
  std::vector<std::int64_t> values;
  for (const auto& [name, value] : dims) values.push_back(value);
  std::mt19937 random(7);
  std::vector<std::unique_ptr<GuardedMemory>> memory, expected;
  std::vector<std::byte*> actual_buffers, expected_buffers;
  std::vector<std::size_t> sizes;
  for (const ir::KernelBuffer& buffer : kernel.buffers) {
    const auto count = static_cast<std::size_t>(buffer.type.element_count().evaluate(dim).value());
    sizes.push_back(count * static_cast<std::size_t>(ir::size_of(buffer.type.element)));
    memory.push_back(std::make_unique<GuardedMemory>(sizes.back(), at_end));
    expected.push_back(std::make_unique<GuardedMemory>(sizes.back(), at_end));
    fill(buffer.type, count, memory.back()->data(), random);
    std::memcpy(expected.back()->data(), memory.back()->data(), sizes.back());
    actual_buffers.push_back(memory.back()->data());
    expected_buffers.push_back(expected.back()->data());
  }
  if (alias.first != alias.second) {
    actual_buffers[alias.second] = actual_buffers[alias.first];
    expected_buffers[alias.second] = expected_buffers[alias.first];
  }
  interpret(kernel, has_fma, dim, expected_buffers);
  compiled.run(values, actual_buffers);
  for (std::size_t i = 0; i < sizes.size(); ++i) {
    INFO("buffer " << kernel.buffers[i].name);
    CHECK(std::memcmp(actual_buffers[i], expected_buffers[i], sizes[i]) == 0);
  }
}

}  // namespace

void check_against_interpreter(const ir::Kernel& kernel, const std::vector<Dims>& dims,
                               std::pair<std::size_t, std::size_t> alias) {
  std::vector<std::string> names;
  for (const auto& [name, value] : dims.front()) names.push_back(name);
  for (const ir::Target* target : runnable_targets()) {
    INFO("target " << std::string(target->name));
    const CompiledKernel compiled(kernel, *target, names);
    for (const Dims& values : dims) {
      std::string text;
      for (const auto& [name, value] : values) text += name + " = " + std::to_string(value) + " ";
      INFO(text);
      for (bool at_end : {true, false}) check_run(kernel, compiled, target->has_fma, values, at_end, alias);
    }
  }
}

}  // namespace mlpc::codegen
