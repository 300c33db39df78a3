#pragma once

#include <llvm/IR/LLVMContext.h>
#include <llvm/IR/Module.h>

#include <memory>
#include <vector>

#include "ir/kernel.h"

namespace mlpc::codegen {

/// The whole model as one module: kernels, plan, entries and table (runtime/abi.h). Verified by LLVM; needs
/// nothing from outside. Requires a verified program. Throws mlpc::Error where a kernel cannot be compiled.
std::unique_ptr<llvm::Module> emit_model(const ir::KernelProgram& program, llvm::LLVMContext& context);

/// A module of a model that is compiled in several, so that several threads can: it defines some kernels, and
/// the first module all else. `kernels`: those that it defines.
struct ModelPart {
  std::vector<bool> kernels;
  bool is_first, is_whole;
};
/// At most so many, of about equal size, and only where each is worth a thread. They follow from the program
/// and `most` alone.
std::vector<ModelPart> parts_of(const ir::KernelProgram& program, std::size_t most);
std::unique_ptr<llvm::Module> emit_part(const ir::KernelProgram& program, const ModelPart& part,
                                        llvm::LLVMContext& context);

/// sizeof the model's plan: NAME_PLAN_BYTES.
std::int64_t plan_bytes(const ir::KernelProgram& program);

}  // namespace mlpc::codegen
