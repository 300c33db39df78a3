#include "compiler/codegen/model_codegen.h"

#include <llvm/IR/Verifier.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/TargetParser/Triple.h>

#include <algorithm>
#include <array>

#include "compiler/codegen/kernel_codegen.h"
#include "compiler/codegen/model_state.h"
#include "compiler/codegen/target_machine.h"
#include "ir/error.h"
#include "runtime/abi.h"

namespace mlpc::codegen {
namespace {

const ir::Target& target_of(const ir::KernelProgram& program) {
  const ir::Target* target = ir::target_named(program.header.target);
  if (!target) fail("`{}` is no target", program.header.target);
  return *target;
}

constexpr std::size_t kPlanHead = sizeof(mlpc_plan);

}  // namespace

std::int64_t plan_bytes(const ir::KernelProgram& program) {
  std::size_t most = 0;
  for (const ir::LoweredEntry& entry : program.entries) most = std::max(most, entry.slots.size());
  return static_cast<std::int64_t>(kPlanHead + most * sizeof(std::int64_t));
}

int entry_kind(std::string_view name) {
  constexpr std::array<std::string_view, 6> kNames = {"infer",  "loss",       "grad",
                                                      "update", "train_step", "init"};
  const auto found = std::ranges::find(kNames, name);
  if (found == kNames.end()) fail("`{}` is no entry", name);
  return static_cast<int>(found - kNames.begin());
}

ModelState::ModelState(llvm::Module& m, const ir::KernelProgram& p)
    : module(m), context(m.getContext()), program(p), target(target_of(p)), b(context) {
  i1 = b.getInt1Ty();
  i8 = b.getInt8Ty();
  i32 = b.getInt32Ty();
  i64 = b.getInt64Ty();
  f64 = b.getDoubleTy();
  ptr = b.getPtrTy();
  for (const ir::LoweredEntry& entry : p.entries) most_slots = std::max(most_slots, entry.slots.size());
  plan_type = llvm::StructType::get(context, {i32, i32, i64, i64, llvm::ArrayType::get(i64, MLPC_MAX_DIMS),
                                              llvm::ArrayType::get(i64, most_slots)});
  args_type = llvm::StructType::get(context, {i32, i32, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr,
                                              i64, i64, i64, i64, i64, f64, ptr, ptr, i32, i64});
}

llvm::Function* ModelState::exported(std::string_view suffix, llvm::Type* result,
                                     std::vector<llvm::Type*> parameters) {
  llvm::Function* f = internal(fmt::format("{}_{}", name(), suffix), result, std::move(parameters));
  f->setLinkage(llvm::GlobalValue::ExternalLinkage);
  return f;
}

llvm::Function* ModelState::internal(std::string_view function_name, llvm::Type* result,
                                     std::vector<llvm::Type*> parameters) {
  auto* type = llvm::FunctionType::get(result, parameters, false);
  auto* f = llvm::Function::Create(type, llvm::GlobalValue::InternalLinkage, llvm::StringRef(function_name),
                                   module);
  f->addFnAttr(llvm::Attribute::NoUnwind);
  return f;
}

void ModelState::begin(llvm::Function* function) {
  b.SetInsertPoint(llvm::BasicBlock::Create(context, "entry", function));
}

void ModelState::return_if(llvm::Value* condition, int code) {
  llvm::Function* function = b.GetInsertBlock()->getParent();
  auto* leave = llvm::BasicBlock::Create(context, "leave", function);
  auto* stay = llvm::BasicBlock::Create(context, "stay", function);
  b.CreateCondBr(condition, leave, stay);
  b.SetInsertPoint(leave);
  b.CreateRet(b.getInt32(static_cast<std::uint32_t>(code)));
  b.SetInsertPoint(stay);
}

llvm::Value* ModelState::bytes_of(const ir::Type& type, llvm::Value* dim_values) {
  return emit_dim(b, type.element_count() * ir::Dim(ir::size_of(type.element)), dim_values, dims());
}

std::uint64_t ModelState::magic(std::string_view entry) const {
  std::uint64_t hash = 0xcbf29ce484222325ULL;  // FNV-1a
  const auto mix = [&](std::string_view text) {
    for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
    hash = (hash ^ 0xff) * 0x100000001b3ULL;
  };
  mix(program.header.model);
  mix(program.header.source_hash);
  mix(program.header.target);
  mix(entry);
  mix(fmt::format("{}", most_slots));
  return hash;
}

std::unique_ptr<llvm::Module> emit_model(const ir::KernelProgram& program, llvm::LLVMContext& context) {
  auto module = std::make_unique<llvm::Module>(program.header.model, context);
  prepare_module(*module, target_of(program));
  ModelState state(*module, program);
  for (const ir::Kernel& kernel : program.kernels)
    state.kernels.push_back(emit_kernel(*module, kernel, state.target, state.dims()));
  emit_plan(state);
  std::vector<llvm::Function*> entries;
  for (const ir::LoweredEntry& entry : program.entries) entries.push_back(emit_entry(state, entry));
  emit_table(state, entries);
  std::string problems;
  llvm::raw_string_ostream stream(problems);
  MLPC_CHECK(!llvm::verifyModule(*module, &stream), "codegen gave a module that LLVM refuses: {}", problems);
  return module;
}

}  // namespace mlpc::codegen
