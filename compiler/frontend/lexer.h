#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/frontend/diagnostics.h"

namespace mlpc::frontend {

enum class TokenKind : std::uint8_t { end, newline, name, keyword, number, string, symbol };

struct Token {
  TokenKind kind;
  Span span;
  std::string_view text;  // of the source; a string's with its quotes
  bool is(std::string_view symbol) const {
    return (kind == TokenKind::symbol || kind == TokenKind::keyword) && text == symbol;
  }
};

bool is_keyword(std::string_view word);
/// Letters, digits and `_`, no digit first, and no keyword.
bool is_identifier(std::string_view word);
std::span<const std::string_view> keywords();

/// Operators after which a line goes on in the next.
bool joins_lines(const Token& token);

/// Tokens of a source, ended by TokenKind::end. A newline token stands where a statement may end: newlines
/// inside brackets, after a binary operator, or before a line that begins with one other than `-`, are
/// blanks.
std::vector<Token> lex(const SourceFile& file, Diagnostics& diagnostics);

}  // namespace mlpc::frontend
