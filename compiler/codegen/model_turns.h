#pragma once

#include <vector>

#include "compiler/codegen/kernel_dims.h"
#include "compiler/codegen/model_state.h"

namespace mlpc::codegen {

/// One of the loops over turns that code stands in.
struct Turn {
  llvm::Value *number, *before;  // how many turns were before: the number, unless the loop is in reverse
};

/// A buffer's address in these turns, outermost first; `base` is without their share.
llvm::Value* address_in_turn(ModelState& s, const ir::BufferRef& ref, llvm::Value* base,
                             const std::vector<Turn>& turns, DimValues& dims);

}  // namespace mlpc::codegen
