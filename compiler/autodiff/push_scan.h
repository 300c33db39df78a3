#pragma once

#include <span>

#include "compiler/autodiff/push_node.h"

namespace mlpc::autodiff {

/// ẏ = J ẋ of a scan, in one linear scan over what the primal one leaves behind of each turn. The primal scan
/// gets further stacked results where its own do not tell enough. Requires and gives the same as push_node().
///
///   h ← f(U, h, x)                  primal, which stacks r = the residuals of f
///   ḣ ← ∂f/∂U · U̇ + ∂f/∂h · ḣ + ∂f/∂x · ẋ      over r, in the same order of turns
///
/// Tangents of loop values that stay 0 are not carried: those that move are a least fixed point.
PushedNode push_scan(ir::Builder& b, std::span<const ir::ValueId> operands, const ir::Attributes& attributes,
                     std::span<const ir::MaybeValue> tangents);

}  // namespace mlpc::autodiff
