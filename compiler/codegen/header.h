#pragma once

#include <string>

#include "ir/kernel.h"

namespace mlpc::codegen {

/// NAME.h: the ABI's text, the model's prototypes and sizes, and a typed inline wrapper for each entry.
std::string emit_header(const ir::KernelProgram& program);

}  // namespace mlpc::codegen
