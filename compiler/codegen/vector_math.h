#pragma once

#include <llvm/IR/IRBuilder.h>

#include <array>
#include <string_view>

namespace mlpc::codegen {

/// The transcendental functions of generated code, emitted inline: plain IR without fast-math flags, and
/// nothing that could become a call of libm. Operands are f32, f64 or vectors of them; the sequence of
/// operations does not depend on the width, so lanes and scalars give the same bits. `fma` is llvm.fma, or
/// two roundings on targets without it; x · 2ⁿ is llvm.ldexp where that is an instruction, or two products,
/// which round once, too.
///
/// Right at special values (C's Annex F); sin and cos are NaN for |x| > 1.6e6, where one ULP of x in f32 is a
/// tenth of a turn. sin, cos and pow of f32 are their f64 twins, rounded once.
class VectorMath {
 public:
  VectorMath(llvm::IRBuilder<>& builder, bool has_fma, bool has_ldexp)
      : b_(builder), has_fma_(has_fma), has_ldexp_(has_ldexp) {}

  llvm::Value* exp(llvm::Value* x);
  llvm::Value* expm1(llvm::Value* x);
  llvm::Value* log(llvm::Value* x);
  llvm::Value* log1p(llvm::Value* x);
  llvm::Value* tanh(llvm::Value* x);
  llvm::Value* sigmoid(llvm::Value* x);
  llvm::Value* erf(llvm::Value* x);
  llvm::Value* sin(llvm::Value* x);
  llvm::Value* cos(llvm::Value* x);
  llvm::Value* pow(llvm::Value* x, llvm::Value* y);
  llvm::Value* floor(llvm::Value* x);
  llvm::Value* fma(llvm::Value* a, llvm::Value* b, llvm::Value* c);

 private:
  friend struct VectorMathPieces;
  llvm::IRBuilder<>& b_;
  bool has_fma_, has_ldexp_;
};

/// Greatest error in units of the last place, which the test holds over bit patterns.
struct UlpBound {
  std::string_view function;
  double f32, f64;
};
inline constexpr std::array<UlpBound, 10> kUlpBounds = {{{"exp", 1, 1},
                                                         {"expm1", 2, 3},
                                                         {"log", 1, 1},
                                                         {"log1p", 2, 2.5},
                                                         {"tanh", 3, 4},
                                                         {"sigmoid", 2.5, 2.5},
                                                         {"erf", 3, 12},
                                                         {"sin", 0.51, 1.5},
                                                         {"cos", 0.51, 1.5},
                                                         // f64: and as much again for each unit of |y log x|
                                                         {"pow", 0.51, 2}}};

}  // namespace mlpc::codegen
