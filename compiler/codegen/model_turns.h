#pragma once

#include <vector>

#include "compiler/codegen/model_state.h"

namespace mlpc::codegen {

/// One of the loops over turns that code stands in.
struct Turn {
  llvm::Value *number, *before;  // how many turns were before: the number, unless the loop is in reverse
};

/// A buffer's address without the turns' share; and the bytes of each of its offsets.
struct TurnPlace {
  llvm::Value* base;
  std::vector<llvm::Value*> bytes;
};
TurnPlace turn_place(ModelState& s, const ir::BufferRef& ref, llvm::Value* base, llvm::Value* dims);

/// Its address in these turns, outermost first.
llvm::Value* address_in_turn(ModelState& s, const ir::BufferRef& ref, const TurnPlace& place,
                             const std::vector<Turn>& turns, llvm::Value* dims);

}  // namespace mlpc::codegen
