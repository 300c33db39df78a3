#pragma once

#include <functional>

#include "ir/copy.h"

namespace mlpc::passes {

/// Builds a graph again, node by node. `rewrite` may bind a node's results to other values of the new graph
/// and say true; a node for which it says false is copied.
ir::Graph rebuild(const ir::Graph& graph,
                  const std::function<bool(ir::Builder&, ir::Copier&, const ir::Node&)>& rewrite);

}  // namespace mlpc::passes
