#pragma once

#include <llvm/IR/IRBuilder.h>
#include <llvm/IR/Module.h>

#include <span>
#include <string>

#include "compiler/codegen/kernel_dims.h"
#include "ir/kernel.h"
#include "ir/target.h"

namespace mlpc::codegen {

/// Adds void(const i64* dims, i64 task, const ptr* buffers), internal, to the module. It runs one task: tasks
/// are numbered with the last of Kernel::tasks fastest; a kernel without tasks is task 0. `dims` are the
/// values of `dim_names`. `shares_memory`: a written buffer may be one memory with another one. Throws
/// mlpc::Error for a kernel that is ill-formed.
llvm::Function* emit_kernel(llvm::Module& module, const ir::Kernel& kernel, const ir::Target& target,
                            std::span<const std::string> dim_names, bool shares_memory);

/// The same function as one that another module defines.
llvm::Function* declare_kernel(llvm::Module& module, const ir::Kernel& kernel);

}  // namespace mlpc::codegen
