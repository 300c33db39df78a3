#include "tests/compiler/frontend/mutations.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>

#include "compiler/frontend/frontend.h"
#include "compiler/frontend/lexer.h"

namespace mlpc::testing {
namespace {

using frontend::SourceFile;
using frontend::Token;
using frontend::TokenKind;

std::vector<Token> tokens_of(const SourceFile& file) {
  frontend::Diagnostics diagnostics;
  std::vector<Token> out = frontend::lex(file, diagnostics);
  std::erase_if(out, [](const Token& t) { return t.kind == TokenKind::newline || t.kind == TokenKind::end; });
  return out;
}

std::uint32_t line_of(const SourceFile& file, const Token& t) {
  return frontend::place_of(file, t.span.begin).line;
}

/// Lines of the brackets that each closing one belongs to, and each opening one itself.
std::vector<std::uint32_t> opening_lines(const SourceFile& file, const std::vector<Token>& tokens) {
  std::vector<std::uint32_t> out(tokens.size(), 0), open;
  for (std::size_t i = 0; i < tokens.size(); ++i) {
    const Token& t = tokens[i];
    if (t.is("(") || t.is("[") || t.is("{")) open.push_back(line_of(file, t));
    if ((t.is(")") || t.is("]") || t.is("}")) && !open.empty()) {
      out[i] = open.back();
      open.pop_back();
    }
  }
  return out;
}

class Mutator {
 public:
  explicit Mutator(const std::string& source) : file_("m.net", source), tokens_(tokens_of(file_)) {
    const std::vector<std::uint32_t> opening = opening_lines(file_, tokens_);
    for (std::size_t i = 0; i < tokens_.size(); ++i) {
      const Token& t = tokens_[i];
      const std::string text(t.text);
      add(i, i, opening[i], fmt::format("`{}` deleted", text), replaced(t.span.begin, t.span.end, ""));
      add(i, i, opening[i], fmt::format("`{}` doubled", text), replaced(t.span.end, t.span.end, " " + text));
      if (i + 1 < tokens_.size()) {
        const Token& next = tokens_[i + 1];
        const std::string between = file_.text.substr(t.span.end, next.span.begin - t.span.end);
        add(i, i + 1, std::max(opening[i], opening[i + 1]),
            fmt::format("`{}` and `{}` swapped", text, next.text),
            replaced(t.span.begin, next.span.end,
                     fmt::format("{}{}{}", next.text, between.empty() ? " " : between, text)));
      }
      if (t.kind == TokenKind::number && text.find_first_not_of("0123456789") == std::string::npos) {
        const std::string larger = std::to_string(std::stoll(text) + 1);
        add(i, i, 0, fmt::format("{} one larger", text), replaced(t.span.begin, t.span.end, larger));
        mutants.back().names.push_back(larger);
      }
    }
  }
  std::vector<Mutant> mutants;

 private:
  std::string replaced(std::size_t begin, std::size_t end, const std::string& text) const {
    return file_.text.substr(0, begin) + text + file_.text.substr(end);
  }

  void add(std::size_t first, std::size_t last, std::uint32_t opening, std::string what, std::string source) {
    const std::uint32_t from = line_of(file_, tokens_[first]), to = line_of(file_, tokens_[last]);
    Mutant m{fmt::format("line {}: {}", from, what), std::move(source), {from}, {}, opening};
    if (to != from) m.lines.push_back(to);
    for (const Token& t : tokens_) {
      const bool is_word =
          t.kind == TokenKind::name || t.kind == TokenKind::keyword || t.kind == TokenKind::number;
      if (is_word && std::ranges::find(m.lines, line_of(file_, t)) != m.lines.end())
        m.names.emplace_back(t.text);
    }
    mutants.push_back(std::move(m));
  }

  const SourceFile file_;
  const std::vector<Token> tokens_;
};

/// Whether the text speaks of one of the names: "`name`", "`name.W`".
bool names_one(const std::string& text, const std::vector<std::string>& names) {
  return std::ranges::any_of(names, [&](const std::string& n) {
    for (std::size_t at = text.find(n); at != std::string::npos; at = text.find(n, at + 1)) {
      const auto is_part = [&](std::size_t i) {
        return i < text.size() && (std::isalnum(static_cast<unsigned char>(text[i])) || text[i] == '_');
      };
      if (!(at > 0 && is_part(at - 1)) && !is_part(at + n.size())) return true;
    }
    return false;
  });
}

bool points_there(const frontend::Diagnostic& d, const Mutant& m, const std::string& name) {
  const auto is_changed = [&](const SourceFile& file, frontend::Span span) {
    return file.name == name &&
           std::ranges::find(m.lines, frontend::place_of(file, span.begin).line) != m.lines.end();
  };
  if (is_changed(*d.file, d.span) || names_one(d.text, m.names)) return true;
  if (std::ranges::any_of(d.notes, [&](const frontend::Note& n) { return is_changed(*n.file, n.span); }))
    return true;
  return d.text.find("is not closed") != std::string::npos &&
         frontend::place_of(*d.file, d.span.begin).line == m.opening_line;
}

}  // namespace

std::vector<Mutant> mutants_of(const std::string& source) { return Mutator(source).mutants; }

std::string complaint_about(const Mutant& mutant, const std::string& name) {
  constexpr std::size_t kMost = 3;
  frontend::Diagnostics diagnostics;
  std::vector<std::unique_ptr<SourceFile>> files;
  if (frontend::parse_net(mutant.source, name, {}, diagnostics, files)) return "";
  const std::size_t count = diagnostics.list().size();
  if (count < 1 || count > kMost) return fmt::format("{} errors\n{}", count, diagnostics.text());
  if (!points_there(diagnostics.list()[0], mutant, name)) return "points elsewhere\n" + diagnostics.text();
  return "";
}

}  // namespace mlpc::testing
