#include "ir/bodies.h"

#include <optional>

namespace mlpc::ir {

Graph BodyMapper::operator()(const Graph& graph) {
  std::optional<Graph> with_bodies;
  for (std::uint32_t i = 0; i < graph.node_count(); ++i) {
    const Body* body = body_of(graph.node({i}));
    if (!body) continue;
    auto found = done_.find(*body);
    if (found == done_.end()) found = done_.emplace(*body, Body((*this)(body->graph()))).first;
    if (!with_bodies) with_bodies = graph;
    with_bodies->set_body({i}, found->second);
  }
  return rewrite_(with_bodies ? *with_bodies : graph);
}

Program with_rewritten_graphs(const Program& program, std::function<Graph(const Graph&)> rewrite) {
  Program out = program;
  BodyMapper map(std::move(rewrite));
  for (Graph& graph : out.graphs) graph = map(graph);
  return out;
}

}  // namespace mlpc::ir
