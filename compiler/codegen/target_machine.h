#pragma once

#include <llvm/IR/Module.h>
#include <llvm/Target/TargetMachine.h>

#include <memory>

#include "ir/target.h"

namespace mlpc::codegen {

/// LLVM's machine for a target row, at codegen level Less: higher ones cost compile time and gain nothing,
/// for no pipeline of passes runs before (performance measurements: same speed, up to 3 times the time).
std::unique_ptr<llvm::TargetMachine> make_target_machine(const ir::Target& target);

/// Gives an empty module the target's triple and data layout.
void prepare_module(llvm::Module& module, const ir::Target& target);

}  // namespace mlpc::codegen
