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

/// How hard LLVM tries. `usual` is what products have; `least` takes a third of the time or less, for tests
/// that compile programs by the thousand: other instructions, results of the same bits.
enum class Effort : std::uint8_t { usual, least };

/// At most so many objects that make one model together, compiled on as many threads as there are processors.
/// Their number and bytes follow from the program, `most` and `effort` alone.
std::vector<std::string> emit_objects(const ir::KernelProgram& program, std::size_t most = kMostObjects,
                                      Effort effort = Effort::usual);

/// "22.1.8": another one may give other bytes.
std::string_view llvm_version();

}  // namespace mlpc::codegen
