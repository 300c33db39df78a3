#pragma once

#include <string>
#include <vector>

#include "ir/graph.h"

namespace mlpc::autodiff {

// What the jacobian dump says beside the ops. Comments only: nothing reads them.

/// Beside each of the first `node_count` nodes that lies on a path from a parameter: the Jacobians with
/// respect to its operands, as factored operators; beside inputs, that they have no cotangent.
void describe_primal(ir::Graph& grad, std::size_t node_count);

/// The chain rule for each tangent of a linear graph: "z.bar = J(h, z)ᵀ h.bar + J(g, z)ᵀ g.bar" for z.dot,
/// one term for each named tangent that it flows into through unnamed ones.
class ChainRule {
 public:
  explicit ChainRule(const ir::Graph& linear);
  std::string text(ir::ValueId tangent) const;

 private:
  std::vector<std::string> named_successors(ir::ValueId tangent) const;
  const ir::Graph& linear_;
  std::vector<std::vector<ir::ValueId>> users_;  // by value
};

}  // namespace mlpc::autodiff
