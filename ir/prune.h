#pragma once

#include "ir/graph.h"

namespace mlpc::ir {

/// The graph without nodes and parameters that no result needs.
Graph pruned(const Graph& graph);

}  // namespace mlpc::ir
