#include "ir/rebuild.h"

namespace mlpc::ir {

Graph rebuild(const Graph& graph, const std::function<bool(Builder&, Copier&, const Node&)>& rewrite) {
  Graph out;
  out.name = graph.name;
  Builder b(out);
  Copier copier(graph, b);
  copier.add_parameters();
  for (std::uint32_t i = 0; i < graph.node_count(); ++i) {
    const Node& node = graph.node({i});
    if (node.op == Op::parameter_ || !rewrite(b, copier, node)) copier.copy({i});
    const ValueId from = Graph::result(node), to = copier.at(from);
    if (out.comment(to).empty() && !graph.comment(from).empty()) out.set_comment(to, graph.comment(from));
  }
  copier.add_results();
  return out;
}

}  // namespace mlpc::ir
