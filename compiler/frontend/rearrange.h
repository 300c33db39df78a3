#pragma once

#include <map>
#include <string>
#include <vector>

#include "compiler/frontend/elaborator.h"

namespace mlpc::frontend {

/// "b t (h d) -> b h t d": the axes of a tensor before and after, each a product of named factors.
struct AxisPattern {
  using Axes = std::vector<std::vector<std::string>>;
  Axes from, to;
};

/// Both sides have the same names, each once.
AxisPattern parse_pattern(Elaborator& el, const std::string& text, Span span);

/// x with its axes taken apart, put in order, and joined. `extents` are those that the caller stated; of each
/// axis at most one factor's follows from the others.
ir::ValueId rearranged(Elaborator& el, ir::ValueId x, const AxisPattern& pattern,
                       std::map<std::string, ir::Dim> extents, Span span);

}  // namespace mlpc::frontend
