#include "compiler/frontend/lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <set>

#include "compiler/frontend/foreign.h"

namespace mlpc::frontend {
namespace {

constexpr std::array<std::string_view, 31> kKeywords = {
    "fn",     "layer", "optimizer", "model", "const",  "input",    "param",  "state",
    "carry",  "noise", "output",    "loss",  "metric", "train",    "use",    "return",
    "assert", "if",    "else",      "for",   "in",     "recur",    "repeat", "as",
    "and",    "or",    "not",       "true",  "false",  "training", "inf"};

// Longest first.
constexpr std::array<std::string_view, 30> kSymbols = {
    "|>", "<-", "==", "!=", "<=", ">=", "//", "..", "(", ")", "[", "]", "{", "}", ",",
    ";",  ":",  "=",  "<",  ">",  "+",  "-",  "*",  "/", "^", "@", "~", "%", ".", "_"};

// Blanks that are not, and look like them.
constexpr std::array<std::pair<std::string_view, std::string_view>, 3> kInvisible = {
    {{"\u00a0", "U+00A0"}, {"\u200b", "U+200B"}, {"\ufeff", "U+FEFF"}}};

bool is_name_start(char c) { return std::isalpha(static_cast<unsigned char>(c)) || c == '_'; }
bool is_name_part(char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; }
/// The first byte of a letter that is not ASCII: Latin, Greek, Cyrillic, …, but not × and ÷.
bool is_letter(std::string_view text) {
  const auto first = static_cast<unsigned char>(text.empty() ? 0 : text[0]);
  return text.size() > 1 && first >= 0xc3 && first <= 0xdf && !text.starts_with("×") &&
         !text.starts_with("÷");
}
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
    if (text_.starts_with("\ufeff")) at_ = 3;  // some editors begin a file so
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

  void error(DiagnosticId id, std::size_t begin, std::string text, std::string_view hint = {}) {
    diagnostics_.add({id,
                      &file_,
                      {static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(at_)},
                      std::move(text),
                      {},
                      std::string(hint)});
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
    } else if (is_name_start(c) || is_letter(text_.substr(at_))) {
      word(begin);
    } else if (is_digit(c)) {
      number(begin);
    } else if (c == '"') {
      string(begin);
    } else if (!other_quotes(begin, "'", "'") && !other_quotes(begin, "“", "”")) {
      symbol(begin);
    }
  }

  void word(std::size_t begin) {
    bool is_ascii = true;
    for (; at_ < text_.size(); ++at_) {
      if (is_name_part(text_[at_])) continue;
      if (!is_letter(text_.substr(at_))) break;
      is_ascii = false;
      ++at_;
    }
    const std::string_view word = text_.substr(begin, at_ - begin);
    if (!is_ascii && said_.insert(word).second)
      error("bad-character", begin,
            fmt::format("`{}` is not a name: names have the letters a to z, digits and `_`", word));
    add(word == "_" ? TokenKind::symbol : is_keyword(word) ? TokenKind::keyword : TokenKind::name, begin);
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
    bool is_whole = true;
    if (at_ < text_.size() && (text_[at_] == 'e' || text_[at_] == 'E')) {
      ++at_;
      if (at_ < text_.size() && (text_[at_] == '-' || text_[at_] == '+')) ++at_;
      is_whole = at_ < text_.size() && is_digit(text_[at_]);
      digits();
    }
    const std::string_view rest = text_.substr(at_);
    if (rest.starts_with('.') && !rest.starts_with("..") && (rest.size() == 1 || !is_name_start(rest[1]))) {
      ++at_;
      error("bad-number", begin, fmt::format("`{}` is not a number", text_.substr(begin, at_ - begin)),
            fmt::format("write `{}0`", text_.substr(begin, at_ - begin)));
    } else if (!is_whole || (!rest.empty() && is_name_part(rest[0]))) {
      while (at_ < text_.size() && is_name_part(text_[at_])) ++at_;
      error("bad-number", begin, fmt::format("`{}` is not a number", text_.substr(begin, at_ - begin)));
    }
    add(TokenKind::number, begin);
  }

  void string(std::size_t begin) {
    ++at_;
    while (at_ < text_.size() && text_[at_] != '"' && text_[at_] != '\n') ++at_;
    if (at_ < text_.size() && text_[at_] == '"')
      ++at_;
    else
      error("unterminated-string", begin, "the string is not closed: its line ends before a second `\"`");
    add(TokenKind::string, begin);
  }

  /// A string in other quotes; false if none begins here, or none ends on the line.
  bool other_quotes(std::size_t begin, std::string_view open, std::string_view close) {
    const std::string_view line = text_.substr(at_, text_.substr(at_).find('\n'));
    const std::size_t end = line.starts_with(open) ? line.find(close, open.size()) : std::string_view::npos;
    if (end == std::string_view::npos) return false;
    at_ += end + close.size();
    error("bad-character", begin, fmt::format("`{}` does not begin a string", open),
          fmt::format("write `\"{}\"`", line.substr(open.size(), end - open.size())));
    add(TokenKind::string, begin);
    return true;
  }

  void symbol(std::size_t begin) {
    const std::string_view rest = text_.substr(at_);
    const auto starts = [&](std::string_view s) { return rest.starts_with(s); };
    if (starts(".") && rest.size() > 1 && is_digit(rest[1])) {
      do ++at_;
      while (at_ < text_.size() && is_name_part(text_[at_]));
      error("bad-number", begin, fmt::format("`{}` is not a number", text_.substr(begin, at_ - begin)),
            fmt::format("write `0{}`", text_.substr(begin, at_ - begin)));
      add(TokenKind::number, begin);
    } else if (const ForeignSign* sign = foreign_sign(rest)) {
      at_ += sign->text.size();
      error("bad-character", begin, fmt::format("`{}` has no meaning here", sign->text), sign->hint);
      const Span span{static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(at_)};
      if (!sign->here.empty())
        tokens_.push_back(
            {is_keyword(sign->here) ? TokenKind::keyword : TokenKind::symbol, span, sign->here});
    } else if (const auto known = std::ranges::find_if(kSymbols, starts); known != kSymbols.end()) {
      at_ += known->size();
      add(TokenKind::symbol, begin);
    } else {
      unknown_character(begin);
    }
  }

  void unknown_character(std::size_t begin) {
    do ++at_;
    while (at_ < text_.size() && (static_cast<unsigned char>(text_[at_]) & 0xc0) == 0x80);
    const std::string_view c = text_.substr(begin, at_ - begin);
    const auto invisible = std::ranges::find(kInvisible, c, [](const auto& known) { return known.first; });
    if (invisible != kInvisible.end()) {
      if (said_.insert(c).second)
        error("bad-character", begin, fmt::format("{} looks like a blank and is not one", invisible->second),
              "type it again as a space");
    } else if (static_cast<unsigned char>(c[0]) < ' ' || c[0] == '\x7f') {
      error("bad-character", begin,
            fmt::format("the control character {:#04x} has no meaning here", static_cast<int>(c[0])));
    } else {
      error("bad-character", begin, fmt::format("`{}` has no meaning here", c));
    }
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
  std::set<std::string_view> said_;  // what is reported once a file
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
