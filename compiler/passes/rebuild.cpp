#include "compiler/passes/rebuild.h"

namespace mlpc::passes {

using ir::Graph;

Graph rebuild(const Graph& graph,
              const std::function<bool(ir::Builder&, ir::Copier&, const ir::Node&)>& rewrite) {
  Graph out;
  out.name = graph.name;
  ir::Builder b(out);
  ir::Copier copier(graph, b);
  copier.add_parameters();
  for (std::uint32_t i = 0; i < graph.node_count(); ++i) {
    const ir::Node& node = graph.node({i});
    if (node.op == ir::Op::parameter_ || !rewrite(b, copier, node)) copier.copy({i});
    const ir::ValueId from = Graph::result(node), to = copier.at(from);
    if (out.comment(to).empty() && !graph.comment(from).empty()) out.set_comment(to, graph.comment(from));
  }
  for (Graph::Result result : graph.results) {
    result.value = copier.at(result.value);
    out.results.push_back(std::move(result));
  }
  return out;
}

}  // namespace mlpc::passes
