#pragma once

#include <optional>

#include "ir/graph.h"

namespace mlpc::lowering {

/// A sum over rows whose result is small: the gradient of a bias, or of the weights of a narrow layer. One
/// chain over all rows would be one task, so that it runs in parts of so many rows: the sum of each part,
/// which are tasks; then these in order; then the rows that are left, in the same chain.
struct RowParts {
  ir::Dim rows, count, rest;  // all rows; parts; rows behind them
};
constexpr std::int64_t kRowsOfPart = 128;

/// Nullopt where there are never as many rows, or the result is so large that its tiles are tasks.
std::optional<RowParts> row_parts_of(const ir::Graph& graph, ir::ValueId v);

}  // namespace mlpc::lowering
