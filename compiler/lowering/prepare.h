#pragma once

#include <cstdint>
#include <span>

#include "ir/graph.h"

namespace mlpc::lowering {

/// The graph as lowering wants it: a result that is a parameter becomes a copy of it (unless it stays in its
/// place), and the operand of a contraction that runs along the result's last axis has that axis last, by a
/// transposed copy (W in dX = δ Wᵀ: its panels are then read with stride 1; the copy costs about as much as 8
/// rows of the product).
///   in_place : numbers of a body's stacked results that are loop values, and need no copy
ir::Graph prepare(const ir::Graph& graph, std::span<const std::uint32_t> in_place = {});

}  // namespace mlpc::lowering
