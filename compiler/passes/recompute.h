#pragma once

#include <cstdint>
#include <vector>

#include "ir/graph.h"

namespace mlpc::passes {

/// The forward part of a gradient graph, of stage `jacobian`: what of it the backward part finds, and what it
/// computes again. Forward is what does not depend on loss_bar.
class ForwardParts {
 public:
  static constexpr std::int64_t kBackward = -1, kEverywhere = -2;  // parameters, and what is made of nothing

  /// All of it is part 0, and nothing is kept.
  explicit ForwardParts(const ir::Graph& graph);

  std::int64_t of(ir::ValueId v) const { return of_[v.index]; }
  /// It is there when the backward part runs.
  bool is_kept(ir::ValueId v) const { return is_kept_[v.index]; }
  /// Whether the forward part itself may need the node: those behind the last one that a forward result needs
  /// are partial derivatives, which only the backward part uses.
  bool is_primal(ir::NodeId id) const { return id.index < end_; }
  bool is_forward(const ir::Node& node) const { return of(ir::Graph::result(node)) >= 0; }

  /// f(id, node) for the forward nodes.
  template <typename F>
  void for_each_forward(F f) const {
    for (std::uint32_t i = 0; i < graph_.node_count(); ++i)
      if (const ir::Node& node = graph_.node({i}); is_forward(node)) f(ir::NodeId{i}, node);
  }

  void set(const ir::Node& node, std::int64_t part);
  void keep(ir::ValueId v) { is_kept_[v.index] = true; }
  /// Those of the forward part.
  void keep_results();
  /// Whether all that a node reads is kept, or everywhere.
  bool is_made_of_kept(const ir::Node& node) const;

 private:
  const ir::Graph& graph_;
  std::vector<std::int64_t> of_;  // by value
  std::vector<bool> is_kept_;     // by value
  std::uint32_t end_ = 0;
};

/// The graph whose backward part reads what is kept, and computes again, in the same bits, what else it
/// needs: each value once, before its first reader, from `recompute` of what is kept.
ir::Graph with_recomputation(const ir::Graph& graph, const ForwardParts& parts);

}  // namespace mlpc::passes
