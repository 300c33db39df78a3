#pragma once

#include <algorithm>
#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace mlpc::frontend {

/// A piece of the source, in bytes.
struct Span {
  std::uint32_t begin = 0, end = 0;
};

struct SourceFile {
  SourceFile(std::string file_name, std::string source, bool is_of_library = false);

  std::string name;
  std::string text;
  bool is_library;                         // ours: a mistake that shows there was made where it was called
  std::vector<std::uint32_t> line_starts;  // every value of a graph asks for its line
};

/// Line and column, from 1; columns count code points.
struct Place {
  std::uint32_t line, column;
};
Place place_of(const SourceFile& file, std::uint32_t offset);

struct Note {
  const SourceFile* file;
  Span span;
  std::string text;
};

/// Every id that a diagnostic can have. tests/errors/<id>.net shows each.
// clang-format off
inline constexpr auto kDiagnosticIds = std::to_array<std::string_view>({
    "bad-character", "unterminated-string", "bad-number", "syntax-error", "too-deep", "unknown-name",
    "duplicate-name", "not-callable", "missing-argument", "unknown-argument", "too-many-arguments",
    "layer-not-made", "not-a-number", "not-a-tensor", "not-a-condition", "shape-mismatch",
    "matmul-extent-mismatch", "type-mismatch", "bad-axis", "bad-reshape", "bad-index", "bad-operand",
    "rank-mismatch", "extent-mismatch", "bad-shape", "bad-parameter", "bad-pattern", "bad-use",
    "bad-initialiser", "bad-input", "loss-not-scalar", "no-model", "no-result", "bad-name",
    "several-models", "bad-define", "bad-train-key", "bad-train-value", "assert-failed", "no-match",
    "unpack-count", "not-here", "too-large", "bad-value", "bad-derivative", "bad-recurrence", "unknown-extent"});
// clang-format on

/// One of kDiagnosticIds: any other text does not compile.
class DiagnosticId {
 public:
  consteval DiagnosticId(const char* id) : text_(id) {
    if (std::ranges::find(kDiagnosticIds, text_) == kDiagnosticIds.end())
      throw "this id is not in kDiagnosticIds";
  }
  std::string_view text() const { return text_; }
  bool operator==(const DiagnosticId&) const = default;

 private:
  std::string_view text_;
};

struct Diagnostic {
  DiagnosticId id;
  const SourceFile* file;
  Span span;
  std::string text;
  std::vector<Note> notes;
  std::string hint;
};

/// Collects what is wrong with a source: all independent errors, at most kMost.
class Diagnostics {
 public:
  static constexpr std::size_t kMost = 20;

  void add(Diagnostic diagnostic);
  bool empty() const { return list_.empty(); }
  bool full() const { return list_.size() >= kMost; }
  const std::vector<Diagnostic>& list() const { return list_; }
  /// As a terminal shows them: place, text and id, the line with a caret, notes, hint.
  std::string text() const;
  /// The same for programs: a JSON array of objects with id, severity, file, line, column, end, text, notes
  /// and hint, one a line. Lines and columns as in `Place`; `end` is the place after the last character.
  std::string json() const;

 private:
  std::vector<Diagnostic> list_;
};

/// A JSON string with its quotes; bytes that are no UTF-8 become U+FFFD.
std::string json_string(std::string_view text);

}  // namespace mlpc::frontend
