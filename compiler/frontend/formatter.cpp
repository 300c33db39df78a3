#include "compiler/frontend/formatter.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "compiler/frontend/lexer.h"
#include "compiler/frontend/parser.h"
#include "ir/error.h"

// Works on the tokens: what lies between two of them (blanks, newlines, semicolons, comments) is read, and
// written anew.

namespace mlpc::frontend {
namespace {

struct Comment {
  std::string_view text;
  bool follows_blank_line = false;
};

/// A token with what stood between it and the one before.
struct Lexeme {
  Token token;
  std::vector<Comment> comments;    // on lines of their own, before it
  std::string_view trailing;        // the comment after it, on its line
  bool is_separated = false;        // a newline or semicolon before it ended a statement
  bool is_on_new_line = false;      // in the source
  bool follows_blank_line = false;  // after the comments
  bool is_block = false;            // a brace around statements or an `if`'s value, not of a record
  bool is_spread = false;           // a brace of a block that takes several lines
  bool is_unary = false;            // a minus
  bool is_subscript = false;        // a bracket after what it indexes
  bool is_tight = false;            // of h[t-1]: a sign between a name and a number, all that its bracket has
  bool is_binder = false;           // the closing bracket of sum(k) before a product
  const Lexeme* innermost = nullptr;  // the bracket that is open around it; a closing one's is its partner

  bool is(std::string_view symbol) const { return token.is(symbol); }
  bool opens() const { return is("(") || is("[") || is("{"); }
  bool closes() const { return is(")") || is("]") || is("}"); }
};

std::string_view without_blanks(std::string_view text) {
  constexpr std::string_view kBlanks = " \t\r;";
  const std::size_t begin = text.find_first_not_of(kBlanks);
  if (begin == std::string_view::npos) return {};
  return text.substr(begin, text.find_last_not_of(" \t\r") + 1 - begin);
}

/// Reads the text between two tokens.
void read_gap(std::string_view gap, Lexeme* before, Lexeme& after) {
  bool is_blank = false;
  for (std::size_t line = 0;; ++line) {
    const std::size_t newline = gap.find('\n');
    const std::string_view text = without_blanks(gap.substr(0, newline));
    const bool is_last = newline == std::string_view::npos;
    if (!text.empty() && line == 0 && before) {
      before->trailing = text;
    } else if (!text.empty()) {
      after.comments.push_back({text, is_blank});
      is_blank = false;
    } else if (line > 0 && !is_last) {
      is_blank = true;
    }
    if (is_last) break;
    after.is_on_new_line = true;
    gap.remove_prefix(newline + 1);
  }
  after.follows_blank_line = is_blank;
}

bool is_operand_end(const Token& t) {
  constexpr std::array<std::string_view, 10> kEnds = {")",   "]",        "}",      "_",    "true",
                                                      "inf", "training", "repeat", "loss", "false"};
  return t.kind == TokenKind::name || t.kind == TokenKind::number || t.kind == TokenKind::string ||
         std::ranges::any_of(kEnds, [&](std::string_view s) { return t.is(s); });
}

std::vector<Lexeme> lexemes_of(const SourceFile& file) {
  Diagnostics diagnostics;
  std::vector<Lexeme> out;
  bool is_separated = false;
  for (const Token& t : lex(file, diagnostics)) {
    if (t.kind == TokenKind::newline || t.is(";")) {
      is_separated = true;
      continue;
    }
    Lexeme& lexeme = out.emplace_back();
    lexeme.token = t;
    lexeme.is_separated = std::exchange(is_separated, false);
  }
  for (std::size_t i = 0; i < out.size(); ++i) {
    const std::size_t begin = i ? out[i - 1].token.span.end : 0;
    read_gap(std::string_view(file.text).substr(begin, out[i].token.span.begin - begin),
             i ? &out[i - 1] : nullptr, out[i]);
  }
  return out;
}

/// Pairs brackets and finds out what each brace and minus is.
void classify(std::vector<Lexeme>& all) {
  std::vector<std::size_t> open;
  for (std::size_t i = 0; i < all.size(); ++i) {
    Lexeme& l = all[i];
    l.innermost = open.empty() ? nullptr : &all[open.back()];
    l.is_unary = l.is("-") && (i == 0 || l.is_separated || !is_operand_end(all[i - 1].token));
    if (l.is("{"))
      l.is_block = !(i + 2 < all.size() && all[i + 1].token.kind == TokenKind::name && all[i + 2].is(":"));
    if (l.is("[") && i > 0) {
      const Lexeme& before = all[i - 1];
      l.is_subscript =
          !l.is_separated && (before.token.kind == TokenKind::name || before.is("]") || before.is(")"));
    }
    if (l.opens()) open.push_back(i);
    if (!l.closes() || open.empty()) continue;
    Lexeme& opening = all[open.back()];
    l.is_block = opening.is_block;
    const bool is_empty = open.back() + 1 == i && l.comments.empty() && opening.trailing.empty();
    const bool has_lines = std::any_of(all.begin() + static_cast<std::ptrdiff_t>(open.back()) + 1,
                                       all.begin() + static_cast<std::ptrdiff_t>(i) + 1,
                                       [](const Lexeme& inner) { return inner.is_on_new_line; });
    l.is_spread = opening.is_spread = l.is_block && has_lines && !is_empty;
    open.pop_back();
  }
}

/// h[t-1], x[:, t+2]: the whole of a subscript is a name, a sign and a number.
bool is_shifted_time(const std::vector<Lexeme>& all, std::size_t i) {
  if (!(all[i].is("-") || all[i].is("+")) || i < 2 || i + 2 >= all.size()) return false;
  const Lexeme &name = all[i - 1], &number = all[i + 1], *bracket = all[i].innermost;
  const auto ends = [](const Lexeme& l) { return l.is(",") || l.is("[") || l.is("]"); };
  return bracket && bracket->is("[") && bracket->is_subscript && name.token.kind == TokenKind::name &&
         number.token.kind == TokenKind::number && ends(all[i - 2]) && ends(all[i + 2]);
}

/// Fills in what depends on the tokens around, bracket pairs known.
void classify_neighbours(std::vector<Lexeme>& all) {
  for (std::size_t i = 0; i < all.size(); ++i) {
    Lexeme& l = all[i];
    l.is_tight = is_shifted_time(all, i);
    const auto opening = static_cast<std::size_t>(l.is(")") && l.innermost ? l.innermost - all.data() : 0);
    l.is_binder =
        opening > 0 && all[opening - 1].token.text == "sum" && i + 1 < all.size() && all[i + 1].is("(");
  }
}

bool starts_line(const Lexeme& before, const Lexeme& l) {
  if (!before.trailing.empty() || !l.comments.empty()) return true;
  if (before.is("{") && before.is_block) return before.is_spread;
  if (l.is("}") && l.is_block) return l.is_spread;
  if ((l.is("{") && l.is_block) || l.is("else")) return false;
  return l.is_on_new_line;
}

/// Whether a blank stands between two tokens of one line.
bool is_spaced(const Lexeme& before, const Lexeme& l) {
  const auto either_is = [&](std::string_view symbol) { return before.is(symbol) || l.is(symbol); };
  if (before.is("{") || l.is("}")) return before.is("{") ? before.is_block && !l.is("}") : l.is_block;
  if (l.is(",")) return false;
  if (before.is(",")) return true;
  if (before.is("(") || before.is("[") || l.is(")") || l.is("]")) return false;
  if (before.is_tight || l.is_tight) return false;
  if (before.is_unary || either_is(".") || either_is("..") || either_is("^")) return false;
  if (either_is(":")) {
    if (l.innermost && l.innermost->is("[")) return false;
    return before.is(":") || !l.innermost || l.innermost->is_block;
  }
  const bool ends_callee = before.token.kind == TokenKind::name || before.is(")") || before.is("]");
  if (l.is("(")) return before.is_binder || (!ends_callee && !before.is("repeat"));
  if (l.is("[")) return !ends_callee;
  return true;
}

struct Line {
  int indent = 0;
  std::string text;
  std::string_view comment;
  bool follows_blank_line = false;
};

std::size_t width(std::string_view text) {
  return static_cast<std::size_t>(
      std::ranges::count_if(text, [](char c) { return (static_cast<unsigned char>(c) & 0xc0) != 0x80; }));
}

/// Lines, with what each is indented by.
class Layout {
 public:
  std::vector<Line> run(const std::vector<Lexeme>& all) {
    for (std::size_t i = 0; i < all.size(); ++i) {
      const Lexeme& l = all[i];
      if (i == 0 || starts_line(all[i - 1], l))
        begin_line(i ? &all[i - 1] : nullptr, l);
      else
        lines_.back().text += separator(all[i - 1], l);
      lines_.back().text += l.token.text;
      if (l.closes() && !open_.empty()) open_.pop_back();
      if (l.opens()) open_.push_back(lines_.back().indent);
      lines_.back().comment = l.trailing;
    }
    while (!lines_.empty() && lines_.back().text.empty() && lines_.back().comment.empty()) lines_.pop_back();
    return std::move(lines_);
  }

 private:
  static std::string_view separator(const Lexeme& before, const Lexeme& l) {
    const bool is_at_brace = (before.is("{") && before.is_block) || (l.is("}") && l.is_block);
    if (l.is_separated && !is_at_brace) return l.token.kind == TokenKind::end ? "" : "; ";
    return l.token.kind != TokenKind::end && is_spaced(before, l) ? " " : "";
  }

  void begin_line(const Lexeme* before, const Lexeme& l) {
    constexpr int kStep = 2;
    const int outer = open_.empty() ? 0 : open_.back();
    const int inner = open_.empty() ? 0 : outer + kStep;
    const bool is_among_statements = !l.innermost || l.innermost->is_block;
    const bool begins_statement =
        !before || l.is_separated || before->is("{") || l.token.kind == TokenKind::end;
    const int indent = is_among_statements && !begins_statement && !l.closes() ? inner + kStep : inner;
    const bool is_first = !before || (before->is("{") && before->is_block);
    for (const Comment& comment : l.comments)
      lines_.push_back({indent, "", comment.text,
                        comment.follows_blank_line && !(is_first && &comment == l.comments.data())});
    const bool keeps_blank_line = l.follows_blank_line && !l.closes() && (!is_first || !l.comments.empty());
    lines_.push_back({l.closes() ? outer : indent, "", {}, keeps_blank_line});
  }

  std::vector<Line> lines_;
  std::vector<int> open_;  // what the lines of the open brackets are indented by
};

/// Comments after code stand below each other in lines that follow each other.
std::string text_of(const std::vector<Line>& lines) {
  std::string out;
  const auto has_both = [](const Line& l) { return !l.text.empty() && !l.comment.empty(); };
  for (std::size_t i = 0; i < lines.size();) {
    std::size_t end = i, widest = 0;
    do {
      widest = std::max(widest, width(lines[end].text));
      ++end;
    } while (end < lines.size() && has_both(lines[end - 1]) && has_both(lines[end]) &&
             lines[end].indent == lines[i].indent && !lines[end].follows_blank_line);
    for (; i < end; ++i) {
      const Line& l = lines[i];
      const std::size_t gap = has_both(l) ? widest - width(l.text) + 2 : 0;
      out += fmt::format("{}{}{}{}{}\n", l.follows_blank_line ? "\n" : "",
                         std::string(static_cast<std::size_t>(l.indent), ' '), l.text, std::string(gap, ' '),
                         l.comment);
    }
  }
  return out;
}

/// The tokens without layout, and the tree.
std::string meaning_of(const SourceFile& file) {
  Diagnostics diagnostics;
  std::string out = print_ast(parse(file, diagnostics));
  for (const Lexeme& l : lexemes_of(file)) out += fmt::format("{}\n", l.token.text);
  return out + diagnostics.text();
}

}  // namespace

std::string laid_out(const SourceFile& file) {
  std::vector<Lexeme> all = lexemes_of(file);
  classify(all);
  classify_neighbours(all);
  std::string out = text_of(Layout().run(all));
  MLPC_CHECK(meaning_of(file) == meaning_of({file.name, out}), "fmt: {} would become another program",
             file.name);
  return out;
}

}  // namespace mlpc::frontend
