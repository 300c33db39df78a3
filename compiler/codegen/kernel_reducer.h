#pragma once

#include <span>
#include <vector>

#include "compiler/codegen/kernel_state.h"

namespace mlpc::codegen {

/// The start of a reducer's accumulator; argmax: of the value, and the position starts at 0.
llvm::Constant* identity_of(const KernelState& state, ir::Reducer reducer, ir::ElementType type);

/// One turn: the accumulator's new values (argmax: value, position) from the old and what the turn gives
/// (fma: two factors; argmax: value, position).
std::vector<llvm::Value*> accumulated(const KernelState& state, ir::Reducer reducer, ir::ElementType type,
                                      std::span<llvm::Value* const> accumulator,
                                      std::span<llvm::Value* const> turn);

/// Two chains into one.
std::vector<llvm::Value*> joined(const KernelState& state, ir::Reducer reducer, ir::ElementType type,
                                 std::span<llvm::Value* const> low, std::span<llvm::Value* const> high);

}  // namespace mlpc::codegen
