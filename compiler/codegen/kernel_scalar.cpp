#include "compiler/codegen/kernel_scalar.h"

#include <llvm/IR/Intrinsics.h>

#include "compiler/codegen/vector_math.h"
#include "ir/error.h"

namespace mlpc::codegen {
namespace {

using ir::ElementType;
using ir::ScalarOp;

bool is_unsigned(ElementType type) { return type == ElementType::u8 || type == ElementType::boolean; }

/// The division of integers that never traps: x / 0 is 0, and the least integer / -1 wraps.
llvm::Value* emit_integer_division(const KernelState& state, bool is_signed, llvm::Value* a, llvm::Value* b) {
  llvm::IRBuilder<>& builder = state.builder;
  llvm::Value* zero = llvm::Constant::getNullValue(a->getType());
  llvm::Value* one = llvm::ConstantInt::get(a->getType(), 1);
  llvm::Value* by_zero = builder.CreateICmpEQ(b, zero);
  if (!is_signed)
    return builder.CreateSelect(by_zero, zero, builder.CreateUDiv(a, builder.CreateSelect(by_zero, one, b)));
  llvm::Value* by_minus_one = builder.CreateICmpEQ(b, llvm::Constant::getAllOnesValue(a->getType()));
  llvm::Value* divisor = builder.CreateSelect(builder.CreateOr(by_zero, by_minus_one), one, b);
  llvm::Value* quotient = builder.CreateSDiv(a, divisor);
  quotient = builder.CreateSelect(by_minus_one, builder.CreateNeg(a), quotient);
  return builder.CreateSelect(by_zero, zero, quotient);
}

llvm::Value* emit_arithmetic(const KernelState& state, ScalarOp op, ElementType type, llvm::Value* a,
                             llvm::Value* b) {
  llvm::IRBuilder<>& builder = state.builder;
  const bool is_float = ir::is_float(type);
  switch (op) {
    case ScalarOp::add_:
      return is_float ? builder.CreateFAdd(a, b) : builder.CreateAdd(a, b);
    case ScalarOp::sub_:
      return is_float ? builder.CreateFSub(a, b) : builder.CreateSub(a, b);
    case ScalarOp::mul_:
      return is_float ? builder.CreateFMul(a, b) : builder.CreateMul(a, b);
    default:
      return is_float ? builder.CreateFDiv(a, b) : emit_integer_division(state, !is_unsigned(type), a, b);
  }
}

llvm::CmpInst::Predicate predicate_of(ScalarOp op, ElementType type) {
  using P = llvm::CmpInst;
  const auto choose = [&](P::Predicate floats, P::Predicate signed_, P::Predicate unsigned_) {
    return ir::is_float(type) ? floats : is_unsigned(type) ? unsigned_ : signed_;
  };
  switch (op) {
    case ScalarOp::eq_:
      return choose(P::FCMP_OEQ, P::ICMP_EQ, P::ICMP_EQ);
    case ScalarOp::ne_:
      return choose(P::FCMP_UNE, P::ICMP_NE, P::ICMP_NE);
    case ScalarOp::lt_:
      return choose(P::FCMP_OLT, P::ICMP_SLT, P::ICMP_ULT);
    case ScalarOp::le_:
      return choose(P::FCMP_OLE, P::ICMP_SLE, P::ICMP_ULE);
    case ScalarOp::gt_:
      return choose(P::FCMP_OGT, P::ICMP_SGT, P::ICMP_UGT);
    default:
      return choose(P::FCMP_OGE, P::ICMP_SGE, P::ICMP_UGE);
  }
}

llvm::Value* emit_convert(const KernelState& state, ElementType from, ElementType to, llvm::Value* value) {
  llvm::IRBuilder<>& builder = state.builder;
  if (from == to) return value;
  llvm::Type* type = value->getType()->getWithNewType(state.type_of(to));
  llvm::Value* zero = llvm::Constant::getNullValue(value->getType());
  if (to == ElementType::boolean)
    return ir::is_float(from) ? builder.CreateFCmpUNE(value, zero) : builder.CreateICmpNE(value, zero);
  if (ir::is_float(from)) {
    if (ir::is_float(to)) return builder.CreateFPCast(value, type);
    const llvm::Intrinsic::ID id =
        is_unsigned(to) ? llvm::Intrinsic::fptoui_sat : llvm::Intrinsic::fptosi_sat;
    return builder.CreateIntrinsic(id, {type, value->getType()}, {value});
  }
  if (ir::is_float(to))
    return is_unsigned(from) ? builder.CreateUIToFP(value, type) : builder.CreateSIToFP(value, type);
  return builder.CreateIntCast(value, type, !is_unsigned(from));
}

llvm::Value* emit_negation(const KernelState& state, ElementType type, llvm::Value* value) {
  return ir::is_float(type) ? state.builder.CreateFNeg(value) : state.builder.CreateNeg(value);
}

llvm::Value* emit_absolute(const KernelState& state, ElementType type, llvm::Value* value) {
  if (ir::is_float(type)) return state.builder.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, value);
  if (is_unsigned(type)) return value;
  return state.builder.CreateBinaryIntrinsic(llvm::Intrinsic::abs, value, state.builder.getFalse());
}

/// Unsigned; all bits gone from 64 on.
llvm::Value* emit_shift_right(const KernelState& state, llvm::Value* value, llvm::Value* amount) {
  llvm::Value* limit = llvm::ConstantInt::get(amount->getType(), 64);
  llvm::Value* zero = llvm::Constant::getNullValue(value->getType());
  llvm::Value* inside = state.builder.CreateICmpULT(amount, limit);
  llvm::Value* safe = state.builder.CreateSelect(inside, amount, zero);
  return state.builder.CreateSelect(inside, state.builder.CreateLShr(value, safe), zero);
}

llvm::Value* emit_function(const KernelState& state, ScalarOp op, std::span<llvm::Value* const> operands) {
  VectorMath math(state.builder, state.target.has_fma, state.target.has_ldexp);
  switch (op) {
    case ScalarOp::sqrt_:
      return state.builder.CreateUnaryIntrinsic(llvm::Intrinsic::sqrt, operands[0]);
    case ScalarOp::exp_:
      return math.exp(operands[0]);
    case ScalarOp::expm1_:
      return math.expm1(operands[0]);
    case ScalarOp::log_:
      return math.log(operands[0]);
    case ScalarOp::log1p_:
      return math.log1p(operands[0]);
    case ScalarOp::sin_:
      return math.sin(operands[0]);
    case ScalarOp::cos_:
      return math.cos(operands[0]);
    case ScalarOp::tanh_:
      return math.tanh(operands[0]);
    case ScalarOp::erf_:
      return math.erf(operands[0]);
    case ScalarOp::sigmoid_:
      return math.sigmoid(operands[0]);
    case ScalarOp::floor_:
      return math.floor(operands[0]);
    case ScalarOp::pow_:
      return math.pow(operands[0], operands[1]);
    default:
      fail("`{}` is no function", ir::name_of(op));
  }
}

}  // namespace

llvm::Value* emit_fma(const KernelState& state, llvm::Value* a, llvm::Value* b, llvm::Value* c) {
  if (state.target.has_fma)
    return state.builder.CreateIntrinsic(llvm::Intrinsic::fma, {a->getType()}, {a, b, c});
  return state.builder.CreateFAdd(state.builder.CreateFMul(a, b), c);
}

llvm::Constant* emit_constant(const KernelState& state, const ir::Constant& constant) {
  llvm::Type* type = state.type_of(constant.type);
  switch (constant.type) {
    case ElementType::f32:
      return llvm::ConstantFP::get(
          type, llvm::APFloat(llvm::APFloat::IEEEsingle(), llvm::APInt(32, constant.bits & UINT32_MAX)));
    case ElementType::f64:
      return llvm::ConstantFP::get(
          type, llvm::APFloat(llvm::APFloat::IEEEdouble(), llvm::APInt(64, constant.bits)));
    case ElementType::i32:
    case ElementType::i64:
    case ElementType::u8:
    case ElementType::boolean:
      return llvm::ConstantInt::get(
          type, llvm::APInt(type->getScalarSizeInBits(), constant.bits, false, /*implicitTrunc=*/true));
  }
  fail("a constant of unknown type");
}

llvm::Value* emit_scalar_op(const KernelState& state, ScalarOp op, ElementType from, ElementType to,
                            std::span<llvm::Value* const> operands) {
  llvm::IRBuilder<>& builder = state.builder;
  switch (op) {
    case ScalarOp::neg_:
      return emit_negation(state, to, operands[0]);
    case ScalarOp::abs_:
      return emit_absolute(state, to, operands[0]);
    case ScalarOp::exp_:
    case ScalarOp::expm1_:
    case ScalarOp::log_:
    case ScalarOp::log1p_:
    case ScalarOp::sqrt_:
    case ScalarOp::sin_:
    case ScalarOp::cos_:
    case ScalarOp::tanh_:
    case ScalarOp::erf_:
    case ScalarOp::sigmoid_:
    case ScalarOp::floor_:
    case ScalarOp::pow_:
      return emit_function(state, op, operands);
    case ScalarOp::add_:
    case ScalarOp::sub_:
    case ScalarOp::mul_:
    case ScalarOp::div_:
      return emit_arithmetic(state, op, to, operands[0], operands[1]);
    case ScalarOp::fma_:
      return emit_fma(state, operands[0], operands[1], operands[2]);
    case ScalarOp::copysign_:
      return builder.CreateBinaryIntrinsic(llvm::Intrinsic::copysign, operands[0], operands[1]);
    case ScalarOp::eq_:
    case ScalarOp::ne_:
    case ScalarOp::lt_:
    case ScalarOp::le_:
    case ScalarOp::gt_:
    case ScalarOp::ge_:
      return builder.CreateCmp(predicate_of(op, from), operands[0], operands[1]);
    case ScalarOp::and_:
      return builder.CreateAnd(operands[0], operands[1]);
    case ScalarOp::or_:
      return builder.CreateOr(operands[0], operands[1]);
    case ScalarOp::not_:
      return builder.CreateNot(operands[0]);
    case ScalarOp::shift_right_:
      return emit_shift_right(state, operands[0], operands[1]);
    case ScalarOp::select_:
      return builder.CreateSelect(operands[0], operands[1], operands[2]);
    case ScalarOp::convert_:
      return emit_convert(state, from, to, operands[0]);
    case ScalarOp::constant_:
    case ScalarOp::random_key_:
    case ScalarOp::random_bits_:
      break;
  }
  MLPC_CHECK(false, "codegen: `{}` is no plain operation", ir::name_of(op));
  return nullptr;
}

}  // namespace mlpc::codegen
