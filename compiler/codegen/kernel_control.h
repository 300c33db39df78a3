#pragma once

#include <llvm/IR/IRBuilder.h>

#include <functional>
#include <vector>

namespace mlpc::codegen {

/// Values that a loop or branch hands on: each callback replaces them by their new values.
using Carried = std::vector<llvm::Value*>;

/// for (i = low; i < high; i += step) body(i), as a rotated loop with one phi for each carried value.
/// Bounds that are constants give no guard, and no loop for one turn.
void emit_counted_loop(llvm::IRBuilder<>& builder, llvm::Value* low, llvm::Value* high, std::int64_t step,
                       Carried& carried, const std::function<void(llvm::Value*)>& body);

/// while (i < high) i = body(i), beginning at low. body returns the next i, which is greater.
void emit_advancing_loop(llvm::IRBuilder<>& builder, llvm::Value* low, llvm::Value* high,
                         const std::function<llvm::Value*(llvm::Value*)>& body);

/// if (condition) body(), with phis for the carried values.
void emit_if(llvm::IRBuilder<>& builder, llvm::Value* condition, Carried& carried,
             const std::function<void()>& body);

/// Joins blocks with a single way between them: LLVM selects instructions block by block.
void merge_blocks(llvm::Function& function);

}  // namespace mlpc::codegen
