#include <algorithm>

#include "compiler/frontend/elaborator.h"
#include "compiler/frontend/lexer.h"

namespace mlpc::frontend {

void Elaborator::note_names_in(std::vector<Note>& notes, const SourceFile& source, Span span,
                               Scope& scope) const {
  constexpr std::size_t kMost = 3;  // notes
  const std::size_t begin = std::min<std::size_t>(span.begin, source.text.size());
  const SourceFile piece(source.name, source.text.substr(begin, span.end - span.begin));
  Diagnostics ignored;
  std::size_t added = 0;
  for (const Token& t : lex(piece, ignored)) {
    const Binding* binding = t.kind == TokenKind::name ? scope.find(std::string(t.text)) : nullptr;
    // A dim is its name, and an index, and what has a value at each time.
    if (!binding || !binding->file || binding->file->is_library || binding->value.as<Poison>() ||
        binding->value.as<ir::Dim>() || binding->value.as<Affine>() || binding->value.as<Sequence>())
      continue;
    const bool is_known = std::ranges::any_of(
        notes, [&](const Note& n) { return n.file == binding->file && n.span.begin == binding->span.begin; });
    if (is_known) continue;
    if (++added > kMost) break;
    notes.push_back(note_of(*binding, meaning_of(std::string(t.text), *binding)));
  }
}

}  // namespace mlpc::frontend
