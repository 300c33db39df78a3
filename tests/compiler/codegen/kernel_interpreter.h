#pragma once

#include <cstddef>
#include <functional>
#include <string_view>
#include <vector>

#include "ir/kernel.h"

namespace mlpc::codegen {

/// Runs a kernel turn by turn, in the order of its text: what every schedule must give, bit for bit.
/// `buffers`: the memory of the kernel's buffers, changed in place.
void interpret(const ir::Kernel& kernel, bool has_fma,
               const std::function<std::int64_t(std::string_view)>& dim,
               const std::vector<std::byte*>& buffers);

}  // namespace mlpc::codegen
