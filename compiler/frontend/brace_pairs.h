#pragma once

#include <optional>
#include <vector>

#include "compiler/frontend/lexer.h"

namespace mlpc::frontend {

// Where braces do not pair, indentation says which one is missing or too many.

struct BracePair {
  Span open, close;
};

/// The first `}` that begins a line, and the `{` that it closes, whose line is indented deeper: before it one
/// is missing.
std::optional<BracePair> closed_too_far_left(const SourceFile& file, const std::vector<Token>& tokens);

/// The first `}` in a line that is indented deeper than the line of the `{` that it closes: one is too many.
std::optional<BracePair> closed_too_far_right(const SourceFile& file, const std::vector<Token>& tokens);

}  // namespace mlpc::frontend
