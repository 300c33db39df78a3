#include <fmt/format.h>

#include "compiler/frontend/diagnostics.h"

namespace mlpc::frontend {
namespace {

/// Bytes of the UTF-8 sequence at the start of `text`; 0 if there is none (RFC 3629).
std::size_t sequence_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return i < text.size() ? static_cast<unsigned char>(text[i]) : 0U; };
  const unsigned first = byte(0);
  if (first < 0x80) return 1;
  const std::size_t length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
  if (first < 0xc2 || first > 0xf4) return 0;
  for (std::size_t i = 1; i < length; ++i)
    if ((byte(i) & 0xc0) != 0x80) return 0;
  // Overlong forms, surrogates, and what lies beyond U+10FFFF.
  const unsigned second = byte(1);
  if ((first == 0xe0 && second < 0xa0) || (first == 0xed && second > 0x9f) ||
      (first == 0xf0 && second < 0x90) || (first == 0xf4 && second > 0x8f))
    return 0;
  return length;
}

std::string place(const SourceFile& file, Span span) {
  const Place begin = place_of(file, span.begin), end = place_of(file, std::max(span.begin, span.end));
  return fmt::format(R"("file":{},"line":{},"column":{},"end":{{"line":{},"column":{}}})",
                     json_string(file.name), begin.line, begin.column, end.line, end.column);
}

}  // namespace

std::string json_string(std::string_view text) {
  std::string out = "\"";
  while (!text.empty()) {
    const std::size_t length = sequence_length(text);
    const char c = text[0];
    if (length == 0)
      out += "\\ufffd";
    else if (c == '"' || c == '\\')
      out += fmt::format("\\{}", c);
    else if (static_cast<unsigned char>(c) < 0x20 || c == 0x7f)
      out += fmt::format("\\u{:04x}", c);
    else
      out += text.substr(0, length);
    text.remove_prefix(std::max<std::size_t>(length, 1));
  }
  return out + "\"";
}

std::string Diagnostics::json() const {
  std::string out = "[";
  for (const Diagnostic& d : list_) {
    std::string notes;
    for (const Note& note : d.notes)
      notes += fmt::format("{}{{{},\"text\":{}}}", notes.empty() ? "" : ",", place(*note.file, note.span),
                           json_string(note.text));
    out += fmt::format("{}\n{{\"id\":{},\"severity\":\"error\",{},\"text\":{},\"notes\":[{}],\"hint\":{}}}",
                       &d == list_.data() ? "" : ",", json_string(d.id.text()), place(*d.file, d.span),
                       json_string(d.text), notes, json_string(d.hint));
  }
  return out + (list_.empty() ? "]\n" : "\n]\n");
}

}  // namespace mlpc::frontend
