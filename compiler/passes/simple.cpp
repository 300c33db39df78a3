#include <vector>

#include "compiler/passes/passes.h"
#include "ir/bodies.h"
#include "ir/error.h"
#include "ir/node_view.h"
#include "ir/prune.h"
#include "ir/rebuild.h"

namespace mlpc::passes {

using ir::Builder;
using ir::Graph;
using ir::Node;
using ir::ValueId;

namespace {

Graph without_composites(const Graph& graph) {
  return ir::rebuild(graph, [&](Builder& b, ir::Copier& copier, const Node& node) {
    const auto* composite = std::get_if<ir::CompositeLowering>(&ir::def(node.op).lowering);
    if (!composite) return false;
    ir::NodeFacts facts(graph, node);
    const std::vector<ValueId> operands = copier.operands(node);
    facts.rebind({operands.begin(), operands.end()}, std::vector<std::optional<ValueId>>(node.result_count));
    const std::vector<ValueId> results = composite->expand(b, facts.view());
    MLPC_CHECK(results.size() == node.result_count, "{} expands to {} values", ir::def(node.op).name,
               results.size());
    for (std::uint32_t r = 0; r < node.result_count; ++r) copier.bind(Graph::result(node, r), results[r]);
    return true;
  });
}

}  // namespace

ir::Program expand_composites(const ir::Program& program) {
  return ir::with_rewritten_graphs(program, without_composites);
}

ir::Program drop_unused(const ir::Program& program) {
  ir::Program out = program;
  for (Graph& graph : out.graphs) graph = ir::pruned(graph);
  return out;
}

}  // namespace mlpc::passes
