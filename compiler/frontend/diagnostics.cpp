#include "compiler/frontend/diagnostics.h"

#include <fmt/format.h>

#include <algorithm>

namespace mlpc::frontend {
namespace {

bool is_continuation(char c) { return (static_cast<unsigned char>(c) & 0xc0) == 0x80; }

std::size_t code_points(std::string_view text) {
  return static_cast<std::size_t>(std::ranges::count_if(text, [](char c) { return !is_continuation(c); }));
}

/// The byte at which a code point begins, or the end.
std::size_t at_code_point(std::string_view text, std::size_t n) {
  std::size_t at = 0;
  for (; at < text.size(); ++at)
    if (!is_continuation(text[at]) && n-- == 0) break;
  return at;
}

std::string_view line_at(const SourceFile& file, std::uint32_t offset) {
  const std::string_view text = file.text;
  const std::size_t at = std::min<std::size_t>(offset, text.size());
  const std::size_t newline = at == 0 ? std::string_view::npos : text.rfind('\n', at - 1);
  const std::size_t begin = newline == std::string_view::npos ? 0 : newline + 1;
  return text.substr(begin, std::min(text.find('\n', begin), text.size()) - begin);
}

/// The source line and, below it, a caret under the span. Tabs and other control characters count as one
/// blank, in both lines.
std::string excerpt(const SourceFile& file, Span span) {
  constexpr std::size_t kLongest = 200,
                        kBefore = 60;  // code points that are shown, and those before the caret
  std::string line(line_at(file, span.begin));
  if (line.ends_with('\r')) line.pop_back();
  std::ranges::replace_if(line, [](unsigned char c) { return c < ' ' || c == 0x7f; }, ' ');
  std::size_t column = place_of(file, span.begin).column - 1;
  if (code_points(line) > kLongest) {
    const std::size_t first = column - std::min(column, kBefore);
    line = line.substr(at_code_point(line, first));
    line = line.substr(0, at_code_point(line, kLongest));
    column -= first;
  }
  const std::string_view covered = std::string_view(file.text).substr(
      std::min<std::size_t>(span.begin, file.text.size()), span.end - span.begin);
  const std::size_t width =
      std::clamp<std::size_t>(code_points(covered.substr(0, covered.find('\n'))), 1,
                              code_points(line) - std::min(column, code_points(line)) + 1);
  return fmt::format("    {}\n    {}{}\n", line, std::string(column, ' '), "^" + std::string(width - 1, '~'));
}

std::string headed(const SourceFile& file, Span span, std::string_view severity, std::string_view text) {
  const Place place = place_of(file, span.begin);
  return fmt::format("{}:{}:{}: {}: {}", file.name, place.line, place.column, severity, text);
}

}  // namespace

SourceFile::SourceFile(std::string file_name, std::string source, bool is_of_library)
    : name(std::move(file_name)), text(std::move(source)), is_library(is_of_library), line_starts{0} {
  for (std::size_t i = 0; i < text.size(); ++i)
    if (text[i] == '\n') line_starts.push_back(static_cast<std::uint32_t>(i + 1));
}

Place place_of(const SourceFile& file, std::uint32_t offset) {
  const auto line = std::ranges::upper_bound(file.line_starts, offset) - 1;
  const std::string_view in_line = std::string_view(file.text).substr(*line, offset - *line);
  return {static_cast<std::uint32_t>(line - file.line_starts.begin()) + 1,
          static_cast<std::uint32_t>(code_points(in_line)) + 1};
}

void Diagnostics::add(Diagnostic diagnostic) {
  const auto is_same = [&](const Diagnostic& d) {
    return d.id == diagnostic.id && d.span.begin == diagnostic.span.begin && d.text == diagnostic.text;
  };
  if (!full() && std::ranges::none_of(list_, is_same)) list_.push_back(std::move(diagnostic));
}

std::string Diagnostics::text() const {
  std::string out;
  for (const Diagnostic& d : list_) {
    out += headed(*d.file, d.span, "error", fmt::format("{} [{}]\n", d.text, d.id.text())) +
           excerpt(*d.file, d.span);
    for (const Note& note : d.notes)
      out += headed(*note.file, note.span, "note", note.text) + "\n" + excerpt(*note.file, note.span);
    if (!d.hint.empty()) out += fmt::format("hint: {}\n", d.hint);
  }
  return out;
}

}  // namespace mlpc::frontend
