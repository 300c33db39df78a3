#include <vector>

#include "compiler/passes/passes.h"
#include "compiler/passes/rebuild.h"
#include "ir/error.h"
#include "ir/node_view.h"

namespace mlpc::passes {

using ir::Builder;
using ir::Graph;
using ir::Node;
using ir::ValueId;

ir::Program expand_composites(const ir::Program& program) {
  ir::Program out = program;
  for (Graph& graph : out.graphs)
    graph = rebuild(graph, [&](Builder& b, ir::Copier& copier, const Node& node) {
      const auto* composite = std::get_if<ir::CompositeLowering>(&ir::def(node.op).lowering);
      if (!composite) return false;
      ir::NodeFacts facts(graph, node);
      std::vector<std::optional<ValueId>> operands;
      for (ValueId v : graph.operands(node)) operands.emplace_back(copier.at(v));
      facts.rebind(std::move(operands), std::vector<std::optional<ValueId>>(node.result_count));
      const std::vector<ValueId> results = composite->expand(b, facts.view());
      MLPC_CHECK(results.size() == node.result_count, "{} expands to {} values", ir::def(node.op).name,
                 results.size());
      for (std::uint32_t r = 0; r < node.result_count; ++r) copier.bind(Graph::result(node, r), results[r]);
      return true;
    });
  return out;
}

ir::Program drop_unused(const ir::Program& program) {
  ir::Program out = program;
  for (Graph& graph : out.graphs) {
    std::vector<bool> used(graph.value_count(), false);
    for (const Graph::Result& r : graph.results) used[r.value.index] = true;
    for (std::size_t i = graph.node_count(); i-- > 0;) {
      const Node& node = graph.node({static_cast<std::uint32_t>(i)});
      for (std::uint32_t r = 0; r < node.result_count; ++r)
        if (used[node.first_result + r])
          for (ValueId v : graph.operands(node)) used[v.index] = true;
    }
    Graph kept;
    kept.name = graph.name;
    Builder b(kept);
    ir::Copier copier(graph, b);
    for (const Graph::Parameter& p : graph.parameters())
      if (used[p.value.index]) copier.add_parameter(p);  // an entry takes only the inputs that it reads
    for (std::uint32_t i = 0; i < graph.node_count(); ++i) {
      const ValueId v = Graph::result(graph.node({i}));
      if (!used[v.index]) continue;
      copier.copy({i});
      if (!graph.comment(v).empty()) kept.set_comment(copier.at(v), graph.comment(v));
    }
    for (Graph::Result result : graph.results) {
      result.value = copier.at(result.value);
      kept.results.push_back(std::move(result));
    }
    graph = std::move(kept);
  }
  return out;
}

}  // namespace mlpc::passes
