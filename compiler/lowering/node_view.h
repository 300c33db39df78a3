#pragma once

#include <optional>
#include <vector>

#include "ir/op.h"

namespace mlpc::lowering {

/// Holds what a NodeView refers to.
class NodeFacts {
 public:
  NodeFacts(const ir::Graph& graph, const ir::Node& node) : node_(node) {
    for (ir::ValueId v : graph.operands(node)) {
      operand_types_.push_back(graph.type(v));
      operands_.emplace_back(v);
    }
    for (std::uint32_t r = 0; r < node.result_count; ++r) {
      results_.emplace_back(ir::Graph::result(node, r));
      result_types_.push_back(graph.type(*results_.back()));
    }
  }
  ir::NodeView view() const {
    return {node_.op, operand_types_, result_types_, operands_, results_, node_.attributes};
  }

 private:
  const ir::Node& node_;
  std::vector<ir::Type> operand_types_, result_types_;
  std::vector<std::optional<ir::ValueId>> operands_, results_;
};

}  // namespace mlpc::lowering
