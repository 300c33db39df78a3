#pragma once

#include <functional>

#include "ir/copy.h"

namespace mlpc::ir {

/// Builds a graph again, node by node. `rewrite` may bind a node's results to other values of the new graph
/// and say true; a node for which it says false is copied.
Graph rebuild(const Graph& graph, const std::function<bool(Builder&, Copier&, const Node&)>& rewrite);

}  // namespace mlpc::ir
