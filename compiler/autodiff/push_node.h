#pragma once

#include <span>
#include <vector>

#include "ir/builder.h"

namespace mlpc::autodiff {

/// A primal node in the graph under construction, and the tangents of its results; nullopt is 0. The node may
/// have more results than the one that it stands for, behind those: what its tangents have to know of it.
struct PushedNode {
  ir::NodeId node;
  std::vector<ir::MaybeValue> tangents;
};

/// Operands (bit k: operand k; from 31 on, all alike) in which the op has a derivative.
bool is_differentiable(ir::Op op, std::size_t operand);

/// Makes a node and ẏ = J ẋ. At least one operand moves, each one that does is differentiable, and a result
/// is a float.
PushedNode push_node(ir::Builder& b, ir::Op op, std::span<const ir::ValueId> operands,
                     const ir::Attributes& attributes, std::span<const ir::MaybeValue> tangents);

}  // namespace mlpc::autodiff
