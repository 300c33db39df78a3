#pragma once

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

struct Diagnostic {
  std::string id;  // of diagnostic_ids()
  const SourceFile* file;
  Span span;
  std::string text;
  std::vector<Note> notes;
  std::string hint;
};

/// Every id that an error can have. tests/errors/<id>.net shows each.
const std::vector<std::string_view>& diagnostic_ids();

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

 private:
  std::vector<Diagnostic> list_;
};

}  // namespace mlpc::frontend
