#include "compiler/codegen/kernel_reducer.h"

#include <limits>

#include "compiler/codegen/kernel_scalar.h"
#include "ir/error.h"

namespace mlpc::codegen {
namespace {

using ir::ElementType;
using ir::Reducer;

bool is_unsigned(ElementType type) { return type == ElementType::u8; }

llvm::Constant* extreme(const KernelState& state, ElementType type, bool lowest) {
  llvm::Type* llvm_type = state.type_of(type);
  if (ir::is_float(type)) return llvm::ConstantFP::getInfinity(llvm_type, lowest);
  const unsigned bits = llvm_type->getScalarSizeInBits();
  if (is_unsigned(type))
    return llvm::ConstantInt::get(llvm_type,
                                  lowest ? llvm::APInt::getZero(bits) : llvm::APInt::getMaxValue(bits));
  return llvm::ConstantInt::get(
      llvm_type, lowest ? llvm::APInt::getSignedMinValue(bits) : llvm::APInt::getSignedMaxValue(bits));
}

/// Whether a beats b as a maximum (or minimum); false for NaN.
llvm::Value* is_beyond(const KernelState& state, ElementType type, bool maximum, llvm::Value* a,
                       llvm::Value* b) {
  llvm::IRBuilder<>& builder = state.builder;
  if (!maximum) std::swap(a, b);
  if (ir::is_float(type)) return builder.CreateFCmpOGT(a, b);
  return is_unsigned(type) ? builder.CreateICmpUGT(a, b) : builder.CreateICmpSGT(a, b);
}

/// The first NaN is the result: nothing is beyond it, and a NaN replaces all else.
llvm::Value* emit_extreme(const KernelState& state, ElementType type, bool maximum, llvm::Value* accumulator,
                          llvm::Value* value) {
  llvm::IRBuilder<>& builder = state.builder;
  llvm::Value* beyond = is_beyond(state, type, maximum, value, accumulator);
  llvm::Value* better = builder.CreateSelect(beyond, value, accumulator);
  if (!ir::is_float(type)) return better;
  llvm::Value* value_is_nan = builder.CreateFCmpUNO(value, value);
  return builder.CreateSelect(value_is_nan, value, better);
}

llvm::Value* combined(const KernelState& state, Reducer reducer, ElementType type, llvm::Value* a,
                      llvm::Value* b) {
  llvm::IRBuilder<>& builder = state.builder;
  switch (reducer) {
    case Reducer::sum:
    case Reducer::fma:
      return ir::is_float(type) ? builder.CreateFAdd(a, b) : builder.CreateAdd(a, b);
    case Reducer::prod:
      return ir::is_float(type) ? builder.CreateFMul(a, b) : builder.CreateMul(a, b);
    case Reducer::max:
    case Reducer::min:
      return emit_extreme(state, type, reducer == Reducer::max, a, b);
    case Reducer::any:
      return builder.CreateOr(a, b);
    case Reducer::all:
      return builder.CreateAnd(a, b);
    case Reducer::argmax:
      break;
  }
  MLPC_CHECK(false, "codegen: argmax carries two values");
  return nullptr;
}

/// Whether a later (value, position) replaces the one before: greater, or the first NaN.
llvm::Value* replaces(const KernelState& state, ElementType type, llvm::Value* before, llvm::Value* value) {
  if (!ir::is_float(type)) return is_beyond(state, type, true, value, before);
  llvm::IRBuilder<>& builder = state.builder;
  llvm::Value* greater_or_nan = builder.CreateFCmpUGT(value, before);
  return builder.CreateAnd(greater_or_nan, builder.CreateFCmpORD(before, before));
}

std::vector<llvm::Value*> chosen(const KernelState& state, llvm::Value* condition,
                                 std::span<llvm::Value* const> yes, std::span<llvm::Value* const> no) {
  return {state.builder.CreateSelect(condition, yes[0], no[0]),
          state.builder.CreateSelect(condition, yes[1], no[1])};
}

/// Chains interleave, so equal values (or two NaNs) go by position.
std::vector<llvm::Value*> joined_argmax(const KernelState& state, ElementType type,
                                        std::span<llvm::Value* const> low,
                                        std::span<llvm::Value* const> high) {
  llvm::IRBuilder<>& builder = state.builder;
  llvm::Value* wins = replaces(state, type, low[0], high[0]);
  llvm::Value* loses = replaces(state, type, high[0], low[0]);
  llvm::Value* earlier = builder.CreateICmpSLT(high[1], low[1]);
  llvm::Value* tie_won = builder.CreateAnd(builder.CreateNot(loses), earlier);
  return chosen(state, builder.CreateOr(wins, tie_won), high, low);
}

}  // namespace

llvm::Constant* identity_of(const KernelState& state, Reducer reducer, ElementType type) {
  llvm::Type* llvm_type = state.type_of(type);
  switch (reducer) {
    case Reducer::sum:
    case Reducer::fma:
    case Reducer::any:
      return llvm::Constant::getNullValue(llvm_type);
    case Reducer::prod:
      return ir::is_float(type) ? llvm::ConstantFP::get(llvm_type, 1.0)
                                : llvm::ConstantInt::get(llvm_type, 1);
    case Reducer::all:
      return llvm::ConstantInt::get(llvm_type, 1);
    case Reducer::max:
    case Reducer::argmax:
      return extreme(state, type, true);
    case Reducer::min:
      return extreme(state, type, false);
  }
  fail("a reduction of unknown kind");
}

std::vector<llvm::Value*> accumulated(const KernelState& state, Reducer reducer, ElementType type,
                                      std::span<llvm::Value* const> accumulator,
                                      std::span<llvm::Value* const> turn) {
  if (reducer == Reducer::fma) return {emit_fma(state, turn[0], turn[1], accumulator[0])};
  if (reducer == Reducer::argmax)
    return chosen(state, replaces(state, type, accumulator[0], turn[0]), turn, accumulator);
  return {combined(state, reducer, type, accumulator[0], turn[0])};
}

std::vector<llvm::Value*> joined(const KernelState& state, Reducer reducer, ElementType type,
                                 std::span<llvm::Value* const> low, std::span<llvm::Value* const> high) {
  if (reducer == Reducer::argmax) return joined_argmax(state, type, low, high);
  return {combined(state, reducer, type, low[0], high[0])};
}

}  // namespace mlpc::codegen
