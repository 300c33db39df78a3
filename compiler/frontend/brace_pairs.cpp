#include "compiler/frontend/brace_pairs.h"

#include <algorithm>

namespace mlpc::frontend {
namespace {

std::size_t line_start(const SourceFile& file, Span span) {
  return *(std::ranges::upper_bound(file.line_starts, span.begin) - 1);
}

/// Blanks before the first token of the line.
std::size_t indentation(const SourceFile& file, Span span) {
  const std::size_t line = line_start(file, span);
  return std::min(file.text.find_first_not_of(" \t", line), file.text.size()) - line;
}

bool is_first_of_line(const SourceFile& file, Span span) {
  return span.begin == line_start(file, span) + indentation(file, span);
}

template <typename Holds>
std::optional<BracePair> first_pair(const std::vector<Token>& tokens, Holds holds) {
  std::vector<Span> open;
  for (const Token& t : tokens) {
    if (t.is("{")) open.push_back(t.span);
    if (!t.is("}") || open.empty()) continue;
    if (holds(open.back(), t.span)) return BracePair{open.back(), t.span};
    open.pop_back();
  }
  return std::nullopt;
}

}  // namespace

std::optional<BracePair> closed_too_far_left(const SourceFile& file, const std::vector<Token>& tokens) {
  return first_pair(tokens, [&](Span open, Span close) {
    return is_first_of_line(file, close) && indentation(file, close) < indentation(file, open);
  });
}

std::optional<BracePair> closed_too_far_right(const SourceFile& file, const std::vector<Token>& tokens) {
  return first_pair(
      tokens, [&](Span open, Span close) { return indentation(file, close) > indentation(file, open); });
}

}  // namespace mlpc::frontend
