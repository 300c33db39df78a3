#pragma once

#include <string>
#include <string_view>

namespace mlpc::frontend {

/// A sign of another language: what is read in its place, if anything, and a hint.
struct ForeignSign {
  std::string_view text, here, hint;
};

/// The foreign sign that a piece of source begins with; null if it begins with none.
const ForeignSign* foreign_sign(std::string_view text);

/// A hint for a keyword of another language; empty if it is none.
std::string hint_for_keyword(std::string_view word);
/// The same for other names of that language or of its libraries.
std::string hint_for_name(std::string_view name);

}  // namespace mlpc::frontend
