#include "compiler/codegen/kernel_dims.h"

#include <algorithm>

#include "ir/error.h"

namespace mlpc::codegen {
namespace {

constexpr int kMaxPower = 63;  // 2^63 is no extent

/// Plans refuse dims whose polynomials leave 64 bits, so nothing here wraps.
class DimEmitter {
 public:
  DimEmitter(llvm::IRBuilder<>& builder, llvm::Value* dims, std::span<const std::string> dim_names)
      : builder_(builder), dims_(dims), dim_names_(dim_names) {}

  llvm::Value* emit(const ir::Dim& dim) {
    llvm::Value* sum = nullptr;
    for (const ir::DimTerm& term : dim.terms()) {
      llvm::Value* product = emit_term(term);
      sum = sum ? builder_.CreateNSWAdd(sum, product) : product;
    }
    llvm::Value* added = builder_.getInt64(static_cast<std::uint64_t>(dim.added()));
    if (!sum) return added;
    return dim.added() == 0 ? sum : builder_.CreateNSWAdd(sum, added);
  }

 private:
  llvm::Value* emit_term(const ir::DimTerm& term) {
    llvm::Value* product = nullptr;
    for (const ir::DimFactor& factor : term.factors) {
      if (factor.power > kMaxPower) fail("an extent has a power of {}, above {}", factor.power, kMaxPower);
      llvm::Value* atom = emit_atom(factor.atom);
      for (int i = 0; i < factor.power; ++i) product = product ? builder_.CreateNSWMul(product, atom) : atom;
    }
    llvm::Value* coefficient = builder_.getInt64(static_cast<std::uint64_t>(term.coefficient));
    return term.coefficient == 1 ? product : builder_.CreateNSWMul(product, coefficient);
  }

  llvm::Value* emit_atom(const ir::DimAtom& atom) {
    switch (atom.kind) {
      case ir::DimAtom::Kind::name:
        return emit_name(atom.name);
      case ir::DimAtom::Kind::floordiv:
        return emit_floordiv(emit(atom.operands[0]), emit(atom.operands[1]));
      case ir::DimAtom::Kind::max:
        return emit_max(atom.operands);
    }
    fail("an extent of unknown kind");
  }

  llvm::Value* emit_max(const std::vector<ir::Dim>& operands) {
    llvm::Value* greatest = emit(operands[0]);
    for (std::size_t i = 1; i < operands.size(); ++i)
      greatest = builder_.CreateBinaryIntrinsic(llvm::Intrinsic::smax, greatest, emit(operands[i]));
    return greatest;
  }

  llvm::Value* emit_name(const std::string& name) {
    const auto position = std::ranges::find(dim_names_, name);
    if (position == dim_names_.end()) fail("an extent uses `{}`, which is no dim of the program", name);
    llvm::Value* address = builder_.CreateConstInBoundsGEP1_64(
        builder_.getInt64Ty(), dims_, static_cast<std::uint64_t>(position - dim_names_.begin()));
    return builder_.CreateAlignedLoad(builder_.getInt64Ty(), address, llvm::Align(8), name);
  }

  llvm::Value* emit_floordiv(llvm::Value* e, llvm::Value* divisor) {
    llvm::Value* quotient = builder_.CreateSDiv(e, divisor);
    llvm::Value* remainder = builder_.CreateSRem(e, divisor);
    llvm::Value* below = builder_.CreateICmpSLT(remainder, builder_.getInt64(0));
    return builder_.CreateSub(quotient, builder_.CreateZExt(below, builder_.getInt64Ty()));
  }

  llvm::IRBuilder<>& builder_;
  llvm::Value* dims_;
  std::span<const std::string> dim_names_;
};

}  // namespace

llvm::Value* emit_dim(llvm::IRBuilder<>& builder, const ir::Dim& dim, llvm::Value* dims,
                      std::span<const std::string> dim_names) {
  return DimEmitter(builder, dims, dim_names).emit(dim);
}

llvm::Value* DimValues::operator()(const ir::Dim& dim) {
  const auto found = values_.find(dim);
  if (found != values_.end()) return found->second;
  llvm::IRBuilder<> builder(entry_.getTerminator());
  return values_[dim] = emit_dim(builder, dim, dims_, dim_names_);
}

}  // namespace mlpc::codegen
