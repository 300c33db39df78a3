#pragma once

#include <functional>
#include <unordered_map>

#include "ir/program.h"

namespace mlpc::ir {

/// Rewrites graphs together with the bodies inside them: innermost first, each different body once. The
/// rewrite keeps parameters and results as they are.
class BodyMapper {
 public:
  explicit BodyMapper(std::function<Graph(const Graph&)> rewrite) : rewrite_(std::move(rewrite)) {}
  Graph operator()(const Graph& graph);

 private:
  std::function<Graph(const Graph&)> rewrite_;
  std::unordered_map<Body, Body> done_;
};

/// The program with all its graphs rewritten, and the bodies inside them.
Program with_rewritten_graphs(const Program& program, std::function<Graph(const Graph&)> rewrite);

}  // namespace mlpc::ir
