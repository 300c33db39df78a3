#pragma once

#include <optional>
#include <span>
#include <vector>

#include "ir/op.h"

namespace mlpc::ir {

/// Holds what a NodeView refers to.
class NodeFacts {
 public:
  NodeFacts(const Graph& graph, const Node& node) : node_(node) {
    for (ValueId v : graph.operands(node)) {
      operand_types_.push_back(graph.type(v));
      operands_.emplace_back(v);
    }
    for (std::uint32_t r = 0; r < node.result_count; ++r) {
      results_.emplace_back(Graph::result(node, r));
      result_types_.push_back(graph.type(*results_.back()));
    }
  }
  /// What stands for the operands and results in the graph under construction; nullopt where nothing does.
  void rebind(std::vector<std::optional<ValueId>> operands, std::vector<std::optional<ValueId>> results) {
    operands_ = std::move(operands);
    results_ = std::move(results);
  }
  NodeView view() const {
    return {node_.op, operand_types_, result_types_, operands_, results_, node_.attributes};
  }

 private:
  const Node node_;  // a copy: nodes of a growing graph move
  std::vector<Type> operand_types_, result_types_;
  std::vector<std::optional<ValueId>> operands_, results_;
};

}  // namespace mlpc::ir
