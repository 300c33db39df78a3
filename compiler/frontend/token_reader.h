#pragma once

#include <fmt/format.h>

#include <algorithm>
#include <optional>
#include <set>

#include "compiler/frontend/foreign.h"
#include "compiler/frontend/lexer.h"

namespace mlpc::frontend {

/// Ends the statement at hand; the error has been reported.
struct SyntaxError {};

/// The tokens of a file, one at a time, and what is wrong with them.
class TokenReader {
 public:
  TokenReader(const SourceFile& file, Diagnostics& diagnostics)
      : file_(file), diagnostics_(diagnostics), tokens_(lex(file, diagnostics)) {
    for (const Diagnostic& d : diagnostics.list())
      if (d.file == &file) misread_lines_.insert(place_of(file, d.span.begin).line);
  }

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
                          DiagnosticId id = "syntax-error", std::string hint = {}) {
    // What does not fit in a line whose characters are wrong follows from them.
    for (const Span& part : {span, now().span})
      if (misread_lines_.contains(place_of(file_, part.begin).line)) throw SyntaxError{};
    if (const std::optional<Note> note = continuation()) notes.push_back(*note);
    if (hint.empty() && at_ > 0 && tokens_[at_ - 1].kind == TokenKind::name)
      hint = hint_for_keyword(tokens_[at_ - 1].text);
    diagnostics_.add({id, &file_, span, std::move(text), std::move(notes), std::move(hint)});
    throw SyntaxError{};
  }
  /// At the token at hand.
  [[noreturn]] void unexpected(std::string_view expected, std::string hint = {}) {
    error(fmt::format("expected {}, found {}", expected, found()), now().span, {}, "syntax-error",
          std::move(hint));
  }
  std::string found() const {
    if (at_end()) return "the end of the file";
    if (now().kind == TokenKind::newline) return "the end of the line";
    return fmt::format("{}`{}`", now().kind == TokenKind::keyword ? "the keyword " : "", now().text);
  }
  void expect(std::string_view symbol) {
    if (!accept(symbol)) unexpected(fmt::format("`{}`", symbol));
  }
  /// The brace that opens a block or a branch.
  Token open_brace() {
    if (!at("{")) unexpected("`{`", at(":") ? "a block stands in braces: `{ … }`" : "");
    return next();
  }
  /// The closing bracket; where it is missing, the error is shown at the opening one.
  void close(std::string_view symbol, const Token& open) {
    if (accept(symbol)) return;
    std::vector<Note> notes;
    if (!at_end()) notes.push_back({&file_, now().span, fmt::format("`{}` was expected here", symbol)});
    error(fmt::format("`{}` is not closed: expected `{}`, found {}", open.text, symbol, found()), open.span,
          std::move(notes));
  }
  Token name(std::string_view what) {
    if (now().kind != TokenKind::name) unexpected(what);
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
        reader.error("this is nested too deeply", reader.now().span, {}, "too-deep");
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
  std::set<std::uint32_t> misread_lines_;  // those with an error of the lexer
};

}  // namespace mlpc::frontend
