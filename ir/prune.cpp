#include "ir/prune.h"

#include <vector>

#include "ir/copy.h"

namespace mlpc::ir {
namespace {

std::vector<bool> values_in_use(const Graph& graph) {
  std::vector<bool> used(graph.value_count(), false);
  for (const Graph::Result& r : graph.results) used[r.value.index] = true;
  for (std::size_t i = graph.node_count(); i-- > 0;) {
    const Node& node = graph.node({static_cast<std::uint32_t>(i)});
    for (std::uint32_t r = 0; r < node.result_count; ++r)
      if (used[node.first_result + r])
        for (ValueId v : graph.operands(node)) used[v.index] = true;
  }
  return used;
}

}  // namespace

Graph pruned(const Graph& graph) {
  const std::vector<bool> used = values_in_use(graph);
  Graph kept;
  kept.name = graph.name;
  Builder b(kept);
  Copier copier(graph, b);
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
  return kept;
}

}  // namespace mlpc::ir
