#pragma once

#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/Module.h>

#include <memory>

#include "ir/kernel.h"

namespace mlpc::codegen {

/// The whole model as one module: kernels, plan, entries and table (runtime/abi.h). Verified by LLVM; needs
/// nothing from outside. Requires a verified program. Throws mlpc::Error where a kernel cannot be compiled.
std::unique_ptr<llvm::Module> emit_model(const ir::KernelProgram& program, llvm::LLVMContext& context);

/// sizeof the model's plan: NAME_PLAN_BYTES.
std::int64_t plan_bytes(const ir::KernelProgram& program);

}  // namespace mlpc::codegen
