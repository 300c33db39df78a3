#include <algorithm>

#include "compiler/codegen/kernel_memory.h"

// Loads that a guard may forbid. They touch no memory that the guard excludes: vectors by a mask, single
// elements by another address, that of a zero.

namespace mlpc::codegen {
namespace {

/// Whether some lanes are known to be off, though the mask is no constant.
bool has_known_gaps(const llvm::Value* mask) {
  const auto* both = llvm::dyn_cast<llvm::BinaryOperator>(mask);
  if (!both || both->getOpcode() != llvm::Instruction::And) return false;
  for (const llvm::Value* operand : both->operand_values()) {
    const auto* constant = llvm::dyn_cast<llvm::Constant>(operand);
    if (constant ? !constant->isAllOnesValue() : has_known_gaps(operand)) return true;
  }
  return false;
}

}  // namespace

llvm::Value* Memory::zero_in_memory() {
  if (!zero_) {
    llvm::IRBuilder<>::InsertPointGuard here(state_.builder);
    state_.builder.SetInsertPoint(state_.function.getEntryBlock().getTerminator());
    // As wide as a vector of the widest elements.
    llvm::Type* type = llvm::FixedVectorType::get(state_.builder.getInt64Ty(),
                                                  static_cast<unsigned>(std::max(state_.target.lanes, 1)));
    zero_ = state_.builder.CreateAlloca(type);
    state_.builder.CreateStore(llvm::Constant::getNullValue(type), zero_);
  }
  return zero_;
}

/// LLVM 22 drops the mask of a half of a vector that it finds to be empty, and loads that half (AVX2,
/// vmaskmov of two registers). So it must not find out: a volatile false is added to the lanes.
llvm::Value* Memory::guarded_mask(llvm::Value* mask) {
  if (!has_known_gaps(mask)) return mask;
  llvm::IRBuilder<>& builder = state_.builder;
  llvm::Value* none = builder.CreateAlignedLoad(builder.getInt1Ty(), zero_in_memory(), llvm::Align(1), true);
  const auto* type = llvm::cast<llvm::FixedVectorType>(mask->getType());
  return builder.CreateXor(mask, builder.CreateVectorSplat(type->getNumElements(), none));
}

llvm::Value* Memory::load_or_zero(const Access& access, llvm::Value* pointer, llvm::Value* guard) {
  return state_.builder.CreateAlignedLoad(state_.memory_type(access.element),
                                          state_.builder.CreateSelect(guard, pointer, zero_in_memory()),
                                          llvm::Align(ir::size_of(access.element)));
}

llvm::Value* Memory::gather_guarded(const Access& access, std::size_t level, llvm::Value* guard) {
  llvm::Value* result = llvm::Constant::getNullValue(
      with_width(state_.memory_type(access.element), state_.open[level].tile.width));
  for_each_lane(access, level, [&](int lane, llvm::Value* pointer) {
    const auto number = static_cast<std::uint64_t>(lane);
    llvm::Value* element = load_or_zero(access, pointer, state_.builder.CreateExtractElement(guard, number));
    result = state_.builder.CreateInsertElement(result, element, number);
  });
  return result;
}

llvm::Value* Memory::load_guarded(const Access& access, const VarSet& vars, llvm::Value* guard) {
  llvm::IRBuilder<>& builder = state_.builder;
  const std::optional<std::size_t> level = state_.vector_level(vars);
  if (!level) return load_or_zero(access, pointer_to(access), guard);
  const int width = state_.open[*level].tile.width;
  llvm::Value* lanes = state_.widened(guard, width);
  if (llvm::Value* exist = state_.mask_at(*level)) lanes = builder.CreateAnd(exist, lanes);
  llvm::Type* vector = with_width(state_.memory_type(access.element), width);
  llvm::Value* zeros = llvm::Constant::getNullValue(vector);
  if (!contains(access.vars, state_.open[*level].var)) {
    llvm::Value* element = load_or_zero(access, pointer_to(access), builder.CreateOrReduce(lanes));
    return builder.CreateSelect(lanes, state_.widened(element, width), zeros);
  }
  if (!is_contiguous(access, *level)) return gather_guarded(access, *level, lanes);
  if (!guard->getType()->isVectorTy() && !state_.mask_at(*level)) {  // all lanes or none
    llvm::Value* pointer = builder.CreateSelect(guard, pointer_to(access), zero_in_memory());
    return builder.CreateAlignedLoad(vector, pointer, llvm::Align(ir::size_of(access.element)));
  }
  return builder.CreateMaskedLoad(vector, pointer_to(access), llvm::Align(ir::size_of(access.element)),
                                  guarded_mask(lanes), zeros);
}

}  // namespace mlpc::codegen
