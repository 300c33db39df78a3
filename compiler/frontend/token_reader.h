#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "compiler/frontend/lexer.h"

namespace mlpc::frontend {

/// Ends the statement at hand; the error has been reported.
struct SyntaxError {};

/// The tokens of a file, one at a time, and what is wrong with them.
class TokenReader {
 public:
  TokenReader(const SourceFile& file, Diagnostics& diagnostics)
      : file_(file), diagnostics_(diagnostics), tokens_(lex(file, diagnostics)) {}

 protected:
  const Token& now() const { return tokens_[at_]; }
  const Token& peek(std::size_t ahead = 1) const {
    return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
  }
  bool at(std::string_view symbol) const { return now().is(symbol); }
  bool at_end() const { return now().kind == TokenKind::end; }
  Token next() {
    const Token t = now();
    if (!at_end()) ++at_;
    return t;
  }
  bool accept(std::string_view symbol) {
    if (!at(symbol)) return false;
    next();
    return true;
  }
  /// Where the statement at hand went on in another line: what is missing may be missing there.
  std::optional<Note> continuation() const {
    int depth = 0;
    for (std::size_t i = std::min(at_, tokens_.size() - 1); i > 0 && depth >= 0; --i) {
      const Token &before = tokens_[i - 1], &after = tokens_[i];
      if (before.kind == TokenKind::newline || before.is(";")) break;
      depth += before.is(")") || before.is("]") || before.is("}");
      depth -= before.is("(") || before.is("[") || before.is("{");
      const std::string_view gap =
          std::string_view(file_.text).substr(before.span.end, after.span.begin - before.span.end);
      if (depth == 0 && joins_lines(before) && gap.find('\n') != std::string_view::npos)
        return Note{&file_, before.span, fmt::format("the statement goes on after this `{}`", before.text)};
    }
    return std::nullopt;
  }
  [[noreturn]] void error(std::string text, Span span, std::vector<Note> notes = {},
                          DiagnosticId id = "syntax-error") {
    if (const std::optional<Note> note = continuation()) notes.push_back(*note);
    diagnostics_.add({id, &file_, span, std::move(text), std::move(notes), {}});
    throw SyntaxError{};
  }
  std::string found() const {
    if (at_end()) return "the end of the file";
    if (now().kind == TokenKind::newline) return "the end of the line";
    return fmt::format("`{}`", now().text);
  }
  void expect(std::string_view symbol) {
    if (!accept(symbol)) error(fmt::format("expected `{}`, found {}", symbol, found()), now().span);
  }
  /// The closing bracket; where it is missing, the error is shown at the opening one.
  void close(std::string_view symbol, const Token& open) {
    if (accept(symbol)) return;
    error(fmt::format("`{}` is not closed: expected `{}`, found {}", open.text, symbol, found()), open.span,
          {{&file_, now().span, fmt::format("here `{}` was expected", symbol)}});
  }
  Token name(std::string_view what) {
    if (now().kind != TokenKind::name) {
      if (now().kind == TokenKind::keyword)
        error(fmt::format("expected {}, found the keyword `{}`", what, now().text), now().span);
      error(fmt::format("expected {}, found {}", what, found()), now().span);
    }
    return next();
  }
  void skip_newlines() {
    while (now().kind == TokenKind::newline || at(";")) next();
  }

  /// Nested brackets, blocks and operators: the parser recurses.
  class Depth {
   public:
    explicit Depth(TokenReader& reader) : reader_(reader) {
      constexpr int kDeepest = 200;
      if (reader.depth_ >= kDeepest)
        reader.error("this is nested too deep", reader.now().span, {}, "too-deep");
      ++reader.depth_;
    }
    Depth(const Depth&) = delete;
    ~Depth() { --reader_.depth_; }

   private:
    TokenReader& reader_;
  };

  const SourceFile& file_;
  Diagnostics& diagnostics_;
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace mlpc::frontend
