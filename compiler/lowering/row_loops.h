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

/// A loop of a kernel that could be cut into tasks, were it for the loops around it.
struct RowLoop {
  ir::VarId var;
  ir::Dim extent;
  std::vector<ir::TaskSplit> around;  // each of one task
  /// By buffer: the bytes that lie between two turns' elements where a turn touches only its own row of the
  /// buffer, [..., extent, ...], or the rows of its own part, c * turn to c * turn + c - 1; else nullopt.
  std::vector<std::optional<ir::Dim>> row_bytes;
};

/// Outermost first: a kernel's only loop, the only one in that, …
std::vector<RowLoop> row_loops(const ir::Kernel& kernel);

}  // namespace mlpc::lowering
