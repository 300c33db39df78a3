#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace mlpc::ir::ops {

/// "bi,ij->bj": one string of letters an operand, and the result's.
struct EinsumSpec {
  std::vector<std::string> operands;
  std::string result;
  std::string contracted;  // letters that the result lacks, in order of first occurrence
  std::string text() const;
};

/// Throws mlpc::Error where the text is no such spec, or a letter stands twice in one operand.
EinsumSpec parse_einsum(std::string_view text);

}  // namespace mlpc::ir::ops
