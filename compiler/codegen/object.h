#pragma once

#include <string>
#include <string_view>

#include "ir/kernel.h"

namespace mlpc::codegen {

/// What LLVM makes of a model for its target.
enum class CodeFormat : std::uint8_t { llvm_ir, assembly, object };

/// The bytes of a kernel program in one of LLVM's formats. The same program gives the same bytes.
std::string emit_code(const ir::KernelProgram& program, CodeFormat format);

/// "22.1.8": another one may give other bytes.
std::string_view llvm_version();

}  // namespace mlpc::codegen
