#pragma once

#include <string>
#include <string_view>

namespace mlpc::codegen {

/// SHA-256 in hexadecimal: LLVM brings one.
std::string sha256(std::string_view bytes);

}  // namespace mlpc::codegen
