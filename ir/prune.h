#pragma once

#include "ir/graph.h"

namespace mlpc::ir {

/// The graph without nodes and parameters that no result needs.
Graph pruned(const Graph& graph);

/// The graph without nodes that no result needs, nor any turn of a loop; its own parameters stay.
Graph without_dead_nodes(Graph graph);

}  // namespace mlpc::ir
