#pragma once

#include <optional>
#include <vector>

#include "ir/kernel.h"

namespace mlpc::lowering {

/// The loop of a block beside which stand only loads and arithmetic; else null.
template <typename Block>
auto* only_loop(Block& block) {
  decltype(std::get_if<ir::Loop>(&block.front().kind)) found = nullptr;
  for (auto& statement : block) {
    auto* loop = std::get_if<ir::Loop>(&statement.kind);
    const bool is_cheap = std::holds_alternative<ir::Let>(statement.kind) ||
                          std::holds_alternative<ir::IndexValue>(statement.kind) ||
                          std::holds_alternative<ir::Load>(statement.kind);
    if (loop ? found != nullptr : !is_cheap) return decltype(found)(nullptr);
    if (loop) found = loop;
  }
  return found;
}

/// How the turns of a loop touch a buffer: each only its own row of it, [..., extent, ...], or the rows of
/// its own part, c * turn to c * turn + c - 1.
struct OwnRows {
  ir::Dim bytes;    // between two turns' elements
  bool is_leading;  // axes before that of the rows have the extent 1, so that neighbours are one piece of
                    // memory
};

/// A loop of a kernel that could be cut into tasks, were it for the loops around it. Or a nest of some, one
/// in the other, all of whose turns together could be a task each: its rows are those of adjacent axes.
struct RowLoop {
  std::vector<ir::Dim> extents;              // one; of a nest one for each loop
  ir::Dim extent;                            // their product
  std::vector<ir::TaskSplit> around;         // one task each; of a nest one task a turn
  ir::VarId var;                             // of the innermost one
  std::vector<std::optional<OwnRows>> rows;  // by buffer
};

/// Outermost first: a kernel's only loop, the only one in that, …
std::vector<RowLoop> row_loops(const ir::Kernel& kernel);
/// The outermost two of these as a nest, three, …
std::vector<RowLoop> row_nests(const ir::Kernel& kernel);

}  // namespace mlpc::lowering
