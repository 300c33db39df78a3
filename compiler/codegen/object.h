#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ir/kernel.h"

namespace mlpc::codegen {

/// Text that LLVM makes of a model for its target.
enum class TextFormat : std::uint8_t { llvm_ir, assembly };

/// A kernel program as one of them.
std::string emit_text(const ir::KernelProgram& program, TextFormat format);

constexpr std::size_t kMostObjects = 8;

/// At most so many objects that make one model together, compiled on as many threads as there are processors.
/// Their number and bytes follow from the program and `most` alone.
std::vector<std::string> emit_objects(const ir::KernelProgram& program, std::size_t most = kMostObjects);

/// "22.1.8": another one may give other bytes.
std::string_view llvm_version();

}  // namespace mlpc::codegen
