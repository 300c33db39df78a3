#include "compiler/frontend/lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace mlpc::frontend {
namespace {

constexpr std::array<std::string_view, 31> kKeywords = {
    "fn",     "layer", "optimizer", "model", "const",  "input",    "param",  "state",
    "carry",  "noise", "output",    "loss",  "metric", "train",    "use",    "return",
    "assert", "if",    "else",      "for",   "in",     "recur",    "repeat", "as",
    "and",    "or",    "not",       "true",  "false",  "training", "inf"};

// Longest first.
constexpr std::array<std::string_view, 32> kSymbols = {
    "|>", "<-", "->", "==", "!=", "<=", ">=", "//", "..", "(", ")", "[", "]", "{", "}", ",",
    ";",  ":",  "=",  "<",  ">",  "+",  "-",  "*",  "/",  "^", "@", "~", "%", ".", "_", "|"};

bool is_name_start(char c) { return std::isalpha(static_cast<unsigned char>(c)) || c == '_'; }
bool is_name_part(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }

bool is_opening(const Token& t) { return t.is("(") || t.is("["); }
bool is_closing(const Token& t) { return t.is(")") || t.is("]"); }

/// Operators (but `-`) before which the line above goes on.
bool starts_continuation(const Token& t) {
  constexpr std::array<std::string_view, 16> kBinary = {"|>", "==", "!=", "<=", ">=", "//", "<",   ">",
                                                        "+",  "*",  "/",  "^",  "@",  "%",  "and", "or"};
  return std::ranges::any_of(kBinary, [&](std::string_view s) { return t.is(s); });
}

class Lexer {
 public:
  Lexer(const SourceFile& file, Diagnostics& diagnostics)
      : file_(file), text_(file.text), diagnostics_(diagnostics) {}

  std::vector<Token> run() {
    while (at_ < text_.size() && !diagnostics_.full()) token();
    add(TokenKind::end, at_);
    return join_lines();
  }

 private:
  void add(TokenKind kind, std::size_t begin) {
    tokens_.push_back({kind,
                       {static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(at_)},
                       text_.substr(begin, at_ - begin)});
  }

  void error(DiagnosticId id, std::size_t begin, std::string text) {
    diagnostics_.add({id,
                      &file_,
                      {static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(at_)},
                      std::move(text),
                      {},
                      {}});
  }

  void token() {
    const std::size_t begin = at_;
    const char c = text_[at_];
    if (c == '\n') {
      ++at_;
      add(TokenKind::newline, begin);
    } else if (c == ' ' || c == '\t' || c == '\r') {
      ++at_;
    } else if (c == '#') {
      at_ = std::min(text_.find('\n', at_), text_.size());
    } else if (is_name_start(c)) {
      while (at_ < text_.size() && is_name_part(text_[at_])) ++at_;
      const std::string_view word = text_.substr(begin, at_ - begin);
      add(word == "_" ? TokenKind::symbol : is_keyword(word) ? TokenKind::keyword : TokenKind::name, begin);
    } else if (is_digit(c)) {
      number(begin);
    } else if (c == '"') {
      string(begin);
    } else {
      symbol(begin);
    }
  }

  /// 12, 0.5, 1e-5; `0..n` is a range, not a number with a point.
  void number(std::size_t begin) {
    const auto digits = [&] {
      while (at_ < text_.size() && is_digit(text_[at_])) ++at_;
    };
    digits();
    if (at_ + 1 < text_.size() && text_[at_] == '.' && is_digit(text_[at_ + 1])) {
      ++at_;
      digits();
    }
    if (at_ < text_.size() && (text_[at_] == 'e' || text_[at_] == 'E')) {
      ++at_;
      if (at_ < text_.size() && (text_[at_] == '-' || text_[at_] == '+')) ++at_;
      digits();
    }
    if (at_ < text_.size() && is_name_part(text_[at_])) {
      while (at_ < text_.size() && is_name_part(text_[at_])) ++at_;
      error("bad-number", begin, fmt::format("`{}` is no number", text_.substr(begin, at_ - begin)));
    }
    add(TokenKind::number, begin);
  }

  void string(std::size_t begin) {
    ++at_;
    while (at_ < text_.size() && text_[at_] != '"' && text_[at_] != '\n') ++at_;
    if (at_ < text_.size() && text_[at_] == '"')
      ++at_;
    else
      error("unterminated-string", begin, "the string does not end on its line");
    add(TokenKind::string, begin);
  }

  void symbol(std::size_t begin) {
    const auto found =
        std::ranges::find_if(kSymbols, [&](std::string_view s) { return text_.substr(at_).starts_with(s); });
    if (found != kSymbols.end()) {
      at_ += found->size();
      add(TokenKind::symbol, begin);
      return;
    }
    do ++at_;
    while (at_ < text_.size() && (static_cast<unsigned char>(text_[at_]) & 0xc0) == 0x80);
    error("bad-character", begin, fmt::format("`{}` has no meaning here", text_.substr(begin, at_ - begin)));
  }

  /// Drops the newlines that end no statement.
  std::vector<Token> join_lines() const {
    std::vector<Token> out;
    int depth = 0;
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      const Token& t = tokens_[i];
      if (is_opening(t)) ++depth;
      if (is_closing(t) && depth > 0) --depth;
      if (t.kind == TokenKind::newline) {
        std::size_t next = i;
        while (tokens_[next].kind == TokenKind::newline) ++next;
        const bool goes_on =
            depth > 0 || (!out.empty() && joins_lines(out.back())) || starts_continuation(tokens_[next]);
        if (goes_on || (!out.empty() && out.back().kind == TokenKind::newline)) continue;
      }
      out.push_back(t);
    }
    return out;
  }

  const SourceFile& file_;
  std::string_view text_;
  Diagnostics& diagnostics_;
  std::size_t at_ = 0;
  std::vector<Token> tokens_;
};

}  // namespace

bool is_keyword(std::string_view word) { return std::ranges::find(kKeywords, word) != kKeywords.end(); }

std::span<const std::string_view> keywords() { return kKeywords; }

bool joins_lines(const Token& t) {
  constexpr std::array<std::string_view, 24> kBinary = {
      "-", "not", "|>", "<-", "==", "!=", "<=", ">=", "//",  "<",  ">",  "+",
      "*", "/",   "^",  "@",  "%",  "~",  "=",  ",",  "and", "or", "in", ":"};
  return std::ranges::any_of(kBinary, [&](std::string_view s) { return t.is(s); });
}

bool is_identifier(std::string_view word) {
  return !word.empty() && is_name_start(word[0]) && std::ranges::all_of(word, is_name_part) &&
         !is_keyword(word);
}

std::vector<Token> lex(const SourceFile& file, Diagnostics& diagnostics) {
  return Lexer(file, diagnostics).run();
}

}  // namespace mlpc::frontend
