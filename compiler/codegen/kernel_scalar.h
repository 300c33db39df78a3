#pragma once

#include <span>

#include "compiler/codegen/kernel_state.h"

namespace mlpc::codegen {

/// One operation on operands of one width (scalars or vectors), of type `from`; not for constant and
/// random numbers.
llvm::Value* emit_scalar_op(const KernelState& state, ir::ScalarOp op, ir::ElementType from,
                            ir::ElementType to, std::span<llvm::Value* const> operands);

/// a · b + c: one rounding where the target has FMA, else two.
llvm::Value* emit_fma(const KernelState& state, llvm::Value* a, llvm::Value* b, llvm::Value* c);

llvm::Constant* emit_constant(const KernelState& state, const ir::Constant& constant);

/// mix64(seed ^ mix64(stream ^ mix64(turns))), of scalars.
llvm::Value* emit_random_key(const KernelState& state, llvm::Value* seed, llvm::Value* turns,
                             llvm::Value* stream);

/// Philox4x32-10: word index % 4 for the counter (index / 4, step). key and step are scalars; index may be a
/// vector.
llvm::Value* emit_random_bits(const KernelState& state, llvm::Value* key, llvm::Value* step,
                              llvm::Value* index);

}  // namespace mlpc::codegen
