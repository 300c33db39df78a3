#pragma once

#include <span>
#include <vector>

#include "compiler/autodiff/algebra.h"
#include "ir/builder.h"

namespace mlpc::autodiff {

/// Where a linear graph is transposed to.
struct PullBackSite {
  /// By parameter of role `residual`, in order: what stands for it.
  std::span<const ir::ValueId> residuals;
  /// Values before this one were there already: they keep their names and comments.
  std::size_t first_new_value = 0;
  /// If given, comments say which terms of the chain rule a cotangent adds up.
  const ChainRule* chain_rule = nullptr;
};

/// Appends x̄ = Jᵀ ȳ to the builder's graph, for a graph that is linear in its parameters of role `tangent`.
///   cotangents: by result of the linear graph; nullopt is 0
/// Returns the cotangents of those parameters in their order; nullopt where no path leads from them to a
/// result with a cotangent. Ops are at most a constant times the linear graph's. Throws mlpc::Error where an
/// op is not linear.
std::vector<ir::MaybeValue> pull_back(ir::Builder& b, const ir::Graph& linear,
                                      std::span<const ir::MaybeValue> cotangents, const PullBackSite& site);

/// A linear graph's transpose, as a graph.
struct Transposed {
  /// Parameters: the results' cotangents ("y.bar" of a result "y.dot", role `tangent`, numbered as the
  /// results), then the linear graph's residuals. Results: the cotangents of its tangents that are not 0
  /// ("x.bar", with the parameters' roles and indexes).
  ir::Graph graph;
  /// By parameter of role `tangent` of the linear graph, in order: its cotangent; nullopt is 0.
  std::vector<ir::MaybeValue> cotangents;
};
Transposed transpose(const ir::Graph& linear);

/// "z" of a value called "z.dot"; empty for others.
std::string primal_name(const std::string& tangent);

}  // namespace mlpc::autodiff
