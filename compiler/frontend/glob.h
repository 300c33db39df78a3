#pragma once

#include <string_view>

namespace mlpc::frontend {

/// Whether a path matches a pattern in which `*` stands for any characters, dots too.
inline bool matches_glob(std::string_view pattern, std::string_view path) {
  // Greedy with one point of return: linear in pattern · path.
  std::size_t p = 0, s = 0, star = std::string_view::npos, resume = 0;
  while (s < path.size()) {
    if (p < pattern.size() && pattern[p] == '*') {
      star = p++;
      resume = s;
    } else if (p < pattern.size() && pattern[p] == path[s]) {
      ++p;
      ++s;
    } else if (star != std::string_view::npos) {
      p = star + 1;
      s = ++resume;
    } else {
      return false;
    }
  }
  while (p < pattern.size() && pattern[p] == '*') ++p;
  return p == pattern.size();
}

}  // namespace mlpc::frontend
