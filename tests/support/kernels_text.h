#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

#include "ir/error.h"
#include "ir/text.h"

// Kernels text, written by hand.

namespace mlpc::testing {

/// Copies so many numbers; `tasks` are lines.
inline std::string copying_kernel(std::string_view name, std::string_view extent,
                                  std::string_view tasks = "") {
  return fmt::format(R"(kernel {0} {{
  buffer %b0 : f32[{1}] read
  buffer %b1 : f32[{1}] written
{2}  for %i0 in {1} {{
    %s0 = load %b0 [%i0]
    store %b1 [%i0] = %s0
  }}
}}
)",
                     name, extent, tasks);
}

/// A model with these dims and inputs, these kernels, and an entry `infer`.
inline std::string kernels_text(std::string_view declarations, std::string_view kernels,
                                std::string_view entry) {
  return fmt::format(R"(mlpc.kernels 1
model m : f32
source ""
target "x86-64-v4"
{}train "{{}}"
{}entry infer {{
{}}}
)",
                     declarations, kernels, entry);
}

/// What is said of the text; nothing where it is taken.
inline std::string error_of_kernels(std::string_view text, std::string_view file = "dump") {
  try {
    ir::parse_kernels(text, file);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

}  // namespace mlpc::testing
