#pragma once

#include <string>
#include <vector>

#include "ir/graph.h"

namespace mlpc::autodiff {

// What the jacobian dump says beside the ops. Comments only: nothing reads them.

/// Beside each of the first `node_count` nodes that lies on a path from a parameter: the Jacobians with
/// respect to its operands, as factored operators; beside inputs, that they have no cotangent.
void describe_primal(ir::Graph& grad, std::size_t node_count);

/// The chain rule of a linear graph, in words of its named tangents: z.dot is the tangent of z.
class ChainRule {
 public:
  explicit ChainRule(const ir::Graph& linear);

  /// "z.bar = J(h, z)ᵀ h.bar + J(g, z)ᵀ g.bar": one term for each named tangent that z.dot flows into,
  /// through unnamed ones. For a parameter, the product along its path as well, up to where paths meet:
  /// "∂L/∂W = J(z, W)ᵀ · J(h, z)ᵀ · J(L, h)ᵀ".
  std::string text(ir::ValueId tangent) const;

 private:
  using Names = std::vector<std::uint32_t>;  // tangents, by index; more than kMostTerms: incomplete

  bool is_named(ir::ValueId v) const;
  std::string name(ir::ValueId v) const;
  std::string product(ir::ValueId parameter) const;

  const ir::Graph& linear_;
  ir::ValueId loss_;
  std::vector<Names> next_;  // by value: the named tangents that it flows into first
};

}  // namespace mlpc::autodiff
