#pragma once

#include <span>
#include <vector>

#include "ir/graph.h"
#include "ir/op.h"

namespace mlpc::autodiff {

/// A graph's linear approximation at the point where it is run (Radul et al., "You only linearize once", POPL
/// 2023), as two graphs.
struct Linearised {
  /// The graph itself: its parameters, its results, then the residuals, of role `residual` and numbered.
  ir::Graph primal;
  /// Parameters: a tangent ("x.dot", role `tangent`, the parameter's index) for each that moves, in the order
  /// given; then the residuals, in theirs. Results: the tangents of those results that matter and move, with
  /// their roles and indexes. All ops are linear in the tangents, at most a constant times the graph's in
  /// number.
  ir::Graph linear;
  /// By result of the graph: its tangent in `linear`; nullopt where it is 0 or does not matter.
  std::vector<ir::MaybeValue> tangents;
  /// By value of the graph: what stands for it in `primal`; nullopt where nothing needs it any more. A node
  /// may have been replaced by one with further results.
  std::vector<ir::MaybeValue> primal_values;
};

/// Linearises a graph in one walk over its nodes.
///   moving: which of the graph's parameters have tangents, as positions; they are floats
///   matters: by result, whether its tangent is asked for
Linearised linearise(const ir::Graph& graph, std::span<const std::size_t> moving,
                     const std::vector<bool>& matters);

/// The graph and its tangents in one graph: its parameters and those of `linear`'s that are tangents; its
/// results, then the tangents of those that matter, zeros included.
ir::Graph push_forward(const ir::Graph& graph, std::span<const std::size_t> moving,
                       const std::vector<bool>& matters);

}  // namespace mlpc::autodiff
