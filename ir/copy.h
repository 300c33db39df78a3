#pragma once

#include <vector>

#include "ir/builder.h"
#include "ir/graph.h"

namespace mlpc::ir {

/// Copies nodes of one graph into another, with names and locations. Values may be bound by hand first: a
/// parameter to whatever stands for it.
class Copier {
 public:
  Copier(const Graph& from, Builder& to) : from_(from), to_(to), map_(from.value_count()) {}

  void bind(ValueId from, ValueId to) { map_[from.index] = to; }
  bool has(ValueId from) const { return map_[from.index].index != UINT32_MAX; }
  ValueId at(ValueId from) const { return map_[from.index]; }

  /// What stands for a node's operands.
  std::vector<ValueId> operands(const Node& node) const;

  /// A parameter of the same name, role and type.
  void add_parameter(const Graph::Parameter& parameter);
  /// All parameters that are not bound.
  void add_parameters();
  /// The node by its op's rule, with operands that have been copied. Parameters have to be there.
  void copy(NodeId id);
  /// All nodes in order.
  void copy_all();
  /// The same node with other operands.
  void copy_with(NodeId id, std::span<const ValueId> operands);
  /// A node of the other graph stands for this one: its first results are this one's.
  void stand_in(NodeId from, NodeId to);
  /// Binds a value, which gets the names and locations of the one that it stands for.
  void stand_in(ValueId from, ValueId to);
  /// The graph's results, of what stands for their values.
  void add_results();

 private:
  void describe(ValueId from);
  const Graph& from_;
  Builder& to_;
  std::vector<ValueId> map_;
};

}  // namespace mlpc::ir
