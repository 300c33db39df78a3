#pragma once

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include <map>
#include <string>
#include <vector>

#include "compiler/codegen/workspace_places.h"
#include "ir/kernel.h"
#include "ir/target.h"

namespace mlpc::codegen {

/// Field numbers of the ABI's structs, in the order of runtime/abi.h.
namespace plan_field {
enum : unsigned { size, abi, magic, workspace_bytes, dims, workers, offsets };
}
namespace args_field {
enum : unsigned {
  size,
  flags,
  inputs,
  results,
  params,
  state,
  state_out,
  slots,
  grads,
  workspace,
  seed,
  step,
  steps,
  epoch,
  row_offset,
  loss_bar,
  parallel,
  host,
  error_argument,
  error_position,
  tangents
};
}

/// What the parts of a model's code share while its module is built.
struct ModelState {
  ModelState(llvm::Module& module, const ir::KernelProgram& program);

  llvm::Module& module;
  llvm::LLVMContext& context;
  const ir::KernelProgram& program;
  const ir::Target& target;
  llvm::IRBuilder<> b;
  llvm::Type *i1, *i8, *i32, *i64, *f64;
  llvm::PointerType* ptr;
  llvm::StructType *plan_type, *args_type;
  std::map<std::string, WorkspacePlaces> workspaces;  // by entry: their offsets end the plan's private tail
  std::vector<llvm::Function*> kernels;               // by KernelProgram::kernels

  const std::string& name() const { return program.header.model; }
  const std::vector<std::string>& dims() const { return program.header.dims; }
  const WorkspacePlaces& workspace(const ir::LoweredEntry& entry) const { return workspaces.at(entry.name); }
  /// C linkage, visible outside: NAME_suffix.
  llvm::Function* exported(std::string_view suffix, llvm::Type* result, std::vector<llvm::Type*> parameters);
  llvm::Function* internal(std::string_view name, llvm::Type* result, std::vector<llvm::Type*> parameters);
  /// An internal function beside the one that the builder stands in: body(function) emits all of it, from the
  /// entry block to a return.
  template <typename Body>
  llvm::Function* beside(std::string_view name, llvm::Type* result, std::vector<llvm::Type*> parameters,
                         Body body) {
    const auto resume = b.saveIP();
    llvm::Function* function = internal(name, result, std::move(parameters));
    begin(function);
    body(function);
    b.restoreIP(resume);
    return function;
  }
  /// The same, for one that is there once a module.
  template <typename Body>
  llvm::Function* shared(std::string_view name, llvm::Type* result, std::vector<llvm::Type*> parameters,
                         Body body) {
    llvm::Function* made = module.getFunction(llvm::StringRef(name));
    return made ? made : beside(name, result, std::move(parameters), body);
  }
  llvm::Value* plan_at(llvm::Value* plan, unsigned field) {
    return b.CreateStructGEP(plan_type, plan, field);
  }
  llvm::Value* args_at(llvm::Value* args, unsigned field) {
    return b.CreateStructGEP(args_type, args, field);
  }
  /// Starts `function`'s entry block.
  void begin(llvm::Function* function);
  /// Returns `code` from an i32 function where the condition holds; goes on in a new block where it does not.
  void return_if(llvm::Value* condition, int code);
  /// for (i = 0; i < count; ++i) body(i). Leaves the builder behind the loop.
  template <typename Body>
  void loop(llvm::Value* count, Body body) {
    llvm::Function* function = b.GetInsertBlock()->getParent();
    llvm::BasicBlock* before = b.GetInsertBlock();
    auto* head = llvm::BasicBlock::Create(context, "head", function);
    auto* turn = llvm::BasicBlock::Create(context, "turn", function);
    auto* after = llvm::BasicBlock::Create(context, "after", function);
    b.CreateBr(head);
    b.SetInsertPoint(head);
    llvm::PHINode* i = b.CreatePHI(i64, 2);
    i->addIncoming(b.getInt64(0), before);
    b.CreateCondBr(b.CreateICmpSLT(i, count), turn, after);
    b.SetInsertPoint(turn);
    body(i);
    i->addIncoming(b.CreateAdd(i, b.getInt64(1)), b.GetInsertBlock());
    b.CreateBr(head);
    b.SetInsertPoint(after);
  }
  /// What a plan of this entry carries: a hash of model, target, entry, and all that its offsets and checks
  /// follow from. The source's hash is not enough: -O and -D change sizes, too.
  std::uint64_t magic(const ir::LoweredEntry& entry) const;
};

/// ir::rounded_slot_bytes
llvm::Value* rounded_slot_bytes(ModelState& state, llvm::Value* bytes);

/// The index of enum mlpc_entry_kind.
int entry_kind(std::string_view name);

// The parts, each in a file of its own.
void emit_plan(ModelState& state);
llvm::Function* emit_entry(ModelState& state, const ir::LoweredEntry& entry);
void emit_table(ModelState& state, const std::vector<llvm::Function*>& entries);

}  // namespace mlpc::codegen
