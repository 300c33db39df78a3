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

#include <cmath>
#include <cstring>
#include <limits>
#include <random>

#include "compiler/codegen/kernel_codegen.h"
#include "ir/kernel_tasks.h"
#include "tests/support/kernel_interpreter.h"

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
                                          const std::vector<std::string>& dim_names, bool shares_memory) {
  auto module = std::make_unique<llvm::Module>("test", context);
  module->setTargetTriple(machine.getTargetTriple());
  module->setDataLayout(machine.createDataLayout());
  llvm::Function* function = emit_kernel(*module, kernel, target, dim_names, shares_memory);
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
  builder.CreateCall(function, {run->getArg(0), run->getArg(1), run->getArg(2)});
  builder.CreateRetVoid();
  llvm::Function* count = exported("task_count", int64, {pointer});
  builder.CreateRet(emit_dim(builder, ir::task_count(kernel), count->getArg(0), dim_names));
  std::string text;
  llvm::raw_string_ostream stream(text);
  REQUIRE_MESSAGE(!llvm::verifyModule(*module, &stream), text);
  return module;
}

template <typename T>
T extreme(std::mt19937& random) {
  using Limits = std::numeric_limits<T>;
  if (random() % 2) return static_cast<T>(random() % 3);
  if constexpr (std::is_floating_point_v<T>) {
    const T values[] = {Limits::infinity(),
                        -Limits::infinity(),
                        Limits::quiet_NaN(),
                        T(-0.0),
                        T(255.5),
                        T(-0.5),
                        T(2147483648.0),
                        T(-1e10),
                        T(1e30),
                        Limits::denorm_min()};
    return values[random() % std::size(values)];
  } else {
    const T values[] = {Limits::min(), Limits::max(), static_cast<T>(-1), T(7)};
    return values[random() % std::size(values)];
  }
}

template <typename T>
T ordinary(std::mt19937& random) {
  const auto small = static_cast<int>(random() % 17) - 8;
  if constexpr (std::is_floating_point_v<T>)
    return static_cast<T>(small + static_cast<double>(random() % 4096) / 4096 + 1e-9 * small);
  return static_cast<T>(sizeof(T) == 8 ? std::abs(small) : small);
}

void fill(ElementType element, std::size_t count, std::byte* to, Contents contents, std::mt19937& random) {
  const auto fill_with = [&]<typename T>(T) {
    for (std::size_t i = 0; i < count; ++i) {
      const T value = contents == Contents::extreme ? extreme<T>(random) : ordinary<T>(random);
      std::memcpy(to + i * sizeof value, &value, sizeof value);
    }
  };
  switch (element) {
    case ElementType::f32:
      return fill_with(float{});
    case ElementType::f64:
      return fill_with(double{});
    case ElementType::i32:
      return fill_with(std::int32_t{});
    case ElementType::i64:
      return fill_with(std::int64_t{});
    case ElementType::u8:
      return fill_with(std::uint8_t{});
    case ElementType::boolean:
      for (std::size_t i = 0; i < count; ++i) to[i] = std::byte(random() & 1);
  }
}

/// Equal bytes, or two NaNs.
bool equal_element(ElementType element, const std::byte* a, const std::byte* b) {
  if (std::memcmp(a, b, static_cast<std::size_t>(ir::size_of(element))) == 0) return true;
  const auto is_nan = [&](const std::byte* from) {
    float single = 0;
    double twice = 0;
    if (element == ElementType::f32) std::memcpy(&single, from, sizeof single);
    if (element == ElementType::f64) std::memcpy(&twice, from, sizeof twice);
    return std::isnan(single) || std::isnan(twice);
  };
  return is_nan(a) && is_nan(b);
}

}  // namespace

struct CompiledKernel::Jit {
  std::unique_ptr<llvm::orc::LLJIT> engine;
  void (*run)(const std::int64_t*, std::int64_t, std::byte* const*);
  std::int64_t (*task_count)(const std::int64_t*);
};

CompiledKernel::CompiledKernel(const ir::Kernel& kernel, const ir::Target& target,
                               const std::vector<std::string>& dim_names, bool shares_memory)
    : jit_(std::make_unique<Jit>()) {
  const std::unique_ptr<llvm::TargetMachine> machine = make_machine(target);
  llvm::orc::JITTargetMachineBuilder builder(machine->getTargetTriple());
  builder.setCPU(std::string(target.llvm_cpu)).setCodeGenOptLevel(llvm::CodeGenOptLevel::Less);
  jit_->engine = llvm::cantFail(llvm::orc::LLJITBuilder().setJITTargetMachineBuilder(builder).create());
  auto context = std::make_unique<llvm::LLVMContext>();
  auto module = make_module(*context, kernel, target, *machine, dim_names, shares_memory);
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
  const auto module = make_module(context, kernel, target, *machine, dim_names, false);
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

/// The memory of a kernel's buffers, twice: for the machine code and for the interpreter.
struct Arena {
  Arena(const ir::Kernel& kernel, const Dims& dims, bool at_end, const RunOptions& options) {
    const auto dim = [&](std::string_view name) { return dims.find(name)->second; };
    std::mt19937 random(7);
    for (const ir::KernelBuffer& buffer : kernel.buffers) {
      counts.push_back(static_cast<std::size_t>(buffer.type.element_count().evaluate(dim).value()));
      const std::size_t bytes = counts.back() * static_cast<std::size_t>(ir::size_of(buffer.type.element));
      for (auto* side : {&actual, &expected}) {
        memory.push_back(std::make_unique<GuardedMemory>(bytes, at_end));
        side->push_back(memory.back()->data());
      }
      fill(buffer.type.element, counts.back(), actual.back(), options.contents, random);
      std::memcpy(expected.back(), actual.back(), bytes);
    }
    for (auto* side : {&actual, &expected}) (*side)[options.alias.second] = (*side)[options.alias.first];
  }

  std::vector<std::unique_ptr<GuardedMemory>> memory;
  std::vector<std::byte*> actual, expected;
  std::vector<std::size_t> counts;  // elements
};

void check_run(const ir::Kernel& kernel, const CompiledKernel& compiled, bool has_fma, const Dims& dims,
               bool at_end, const RunOptions& options) {
  const Arena arena(kernel, dims, at_end, options);
  std::vector<std::int64_t> values;
  for (const auto& [name, value] : dims) values.push_back(value);
  testing::interpret(
      kernel, has_fma, [&](std::string_view name) { return dims.find(name)->second; }, arena.expected);
  compiled.run(values, arena.actual);
  for (std::size_t i = 0; i < arena.counts.size(); ++i) {
    const ElementType element = kernel.buffers[i].type.element;
    std::size_t wrong = arena.counts[i];
    for (std::size_t at = arena.counts[i]; at-- > 0;) {
      const std::size_t byte = at * static_cast<std::size_t>(ir::size_of(element));
      if (!equal_element(element, arena.actual[i] + byte, arena.expected[i] + byte)) wrong = at;
    }
    INFO("first wrong element of " << kernel.buffers[i].name << ": " << wrong);
    CHECK(wrong == arena.counts[i]);
  }
}

}  // namespace

void check_against_interpreter(const ir::Kernel& kernel, const std::vector<Dims>& dims,
                               const RunOptions& options) {
  std::vector<std::string> names;
  for (const auto& [name, value] : dims.front()) names.push_back(name);
  std::vector<const ir::Target*> targets = runnable_targets();
  if (!options.all_targets) targets.erase(targets.begin() + 1, targets.end() - 1);
  for (const ir::Target* target : targets) {
    INFO("target " << std::string(target->name));
    const CompiledKernel compiled(kernel, *target, names, options.alias.first != options.alias.second);
    for (const Dims& values : dims) {
      std::string text;
      for (const auto& [name, value] : values) text += name + " = " + std::to_string(value) + " ";
      INFO(text);
      for (bool at_end : {true, false}) check_run(kernel, compiled, target->has_fma, values, at_end, options);
    }
  }
}

}  // namespace mlpc::codegen
