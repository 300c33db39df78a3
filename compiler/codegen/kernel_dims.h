#pragma once

#include <llvm/IR/IRBuilder.h>

#include <map>
#include <span>
#include <string>

#include "ir/dim.h"

namespace mlpc::codegen {

/// The extent as an i64. `dims` points to the i64 values of `dim_names`, in order. Throws mlpc::Error for a
/// name that is not among them.
llvm::Value* emit_dim(llvm::IRBuilder<>& builder, const ir::Dim& dim, llvm::Value* dims,
                      std::span<const std::string> dim_names);

/// The extents that one function needs, each computed once, at the end of its entry block.
class DimValues {
 public:
  /// `entry` has a terminator.
  DimValues(llvm::BasicBlock& entry, llvm::Value* dims, std::span<const std::string> dim_names)
      : entry_(entry), dims_(dims), dim_names_(dim_names) {}
  llvm::Value* operator()(const ir::Dim& dim);

 private:
  llvm::BasicBlock& entry_;
  llvm::Value* dims_;
  std::span<const std::string> dim_names_;
  std::map<ir::Dim, llvm::Value*> values_;
};

}  // namespace mlpc::codegen
