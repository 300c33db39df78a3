#pragma once

#include "ir/graph.h"

namespace mlpc::autodiff {

/// The graph with one scan in the place of two over the same operands, where the later one's body computes
/// all that the other's does: differentiation leaves such pairs, of which the later one also stacks
/// residuals.
ir::Graph with_merged_scans(const ir::Graph& graph);

}  // namespace mlpc::autodiff
