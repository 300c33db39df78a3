#include "compiler/codegen/kernel_control.h"

#include <llvm/IR/Instructions.h>
#include <llvm/Transforms/Utils/BasicBlockUtils.h>

namespace mlpc::codegen {
namespace {

llvm::BasicBlock* new_block(llvm::IRBuilder<>& builder, const char* name) {
  return llvm::BasicBlock::Create(builder.getContext(), name, builder.GetInsertBlock()->getParent());
}

/// Phis in the builder's block for carried values that differ between its two predecessors.
void join(llvm::IRBuilder<>& builder, Carried& values, llvm::BasicBlock* from, const Carried& others,
          llvm::BasicBlock* others_from) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (values[i] == others[i]) continue;
    llvm::PHINode* phi = builder.CreatePHI(values[i]->getType(), 2);
    phi->addIncoming(values[i], from);
    phi->addIncoming(others[i], others_from);
    values[i] = phi;
  }
}

}  // namespace

void emit_if(llvm::IRBuilder<>& builder, llvm::Value* condition, Carried& carried,
             const std::function<void()>& body) {
  if (const auto* known = llvm::dyn_cast<llvm::ConstantInt>(condition)) {
    if (known->isOne()) body();
    return;
  }
  const Carried before = carried;
  llvm::BasicBlock* origin = builder.GetInsertBlock();
  llvm::BasicBlock* inside = new_block(builder, "then");
  llvm::BasicBlock* after = new_block(builder, "after");
  builder.CreateCondBr(condition, inside, after);
  builder.SetInsertPoint(inside);
  body();
  llvm::BasicBlock* end = builder.GetInsertBlock();
  builder.CreateBr(after);
  after->moveAfter(end);
  builder.SetInsertPoint(after);
  join(builder, carried, end, before, origin);
}

void emit_counted_loop(llvm::IRBuilder<>& builder, llvm::Value* low, llvm::Value* high, std::int64_t step,
                       Carried& carried, const std::function<void(llvm::Value*)>& body) {
  llvm::Value* step_value = builder.getInt64(static_cast<std::uint64_t>(step));
  const auto run = [&] {
    if (builder.CreateNSWAdd(low, step_value) == high) return body(low);  // one turn, of constant bounds
    llvm::BasicBlock* origin = builder.GetInsertBlock();
    llvm::BasicBlock* header = new_block(builder, "loop");
    llvm::BasicBlock* exit = new_block(builder, "exit");
    builder.CreateBr(header);
    builder.SetInsertPoint(header);
    llvm::PHINode* index = builder.CreatePHI(builder.getInt64Ty(), 2);
    index->addIncoming(low, origin);
    std::vector<llvm::PHINode*> phis;
    for (llvm::Value*& value : carried) {
      phis.push_back(builder.CreatePHI(value->getType(), 2));
      phis.back()->addIncoming(value, origin);
      value = phis.back();
    }
    body(index);
    llvm::Value* next = builder.CreateNSWAdd(index, step_value);
    llvm::BasicBlock* latch = builder.GetInsertBlock();
    index->addIncoming(next, latch);
    for (std::size_t i = 0; i < phis.size(); ++i) phis[i]->addIncoming(carried[i], latch);
    builder.CreateCondBr(builder.CreateICmpSLT(next, high), header, exit);
    exit->moveAfter(latch);
    builder.SetInsertPoint(exit);
  };
  emit_if(builder, builder.CreateICmpSLT(low, high), carried, run);
}

void emit_advancing_loop(llvm::IRBuilder<>& builder, llvm::Value* low, llvm::Value* high,
                         const std::function<llvm::Value*(llvm::Value*)>& body) {
  Carried none;
  emit_if(builder, builder.CreateICmpSLT(low, high), none, [&] {
    llvm::BasicBlock* origin = builder.GetInsertBlock();
    llvm::BasicBlock* header = new_block(builder, "tiles");
    llvm::BasicBlock* exit = new_block(builder, "exit");
    builder.CreateBr(header);
    builder.SetInsertPoint(header);
    llvm::PHINode* index = builder.CreatePHI(builder.getInt64Ty(), 2);
    index->addIncoming(low, origin);
    llvm::Value* next = body(index);
    index->addIncoming(next, builder.GetInsertBlock());
    builder.CreateCondBr(builder.CreateICmpSLT(next, high), header, exit);
    exit->moveAfter(builder.GetInsertBlock());
    builder.SetInsertPoint(exit);
  });
}

void merge_blocks(llvm::Function& function) {
  for (auto block = function.begin(); block != function.end();) {
    llvm::BasicBlock& current = *block++;
    llvm::MergeBlockIntoPredecessor(&current);
  }
}

}  // namespace mlpc::codegen
