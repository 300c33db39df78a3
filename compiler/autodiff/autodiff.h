#pragma once

#include <vector>

#include "ir/builder.h"
#include "ir/program.h"

namespace mlpc::autodiff {

// Reverse mode in two steps (Radul et al., "You only linearize once", POPL 2023): linearise the forward
// graph, then transpose the linear program. Every op states one fact about its Jacobian (ir/op.h), from which
// both follow.

/// The program with the forward graph's linear part as a graph of its own, `linear`: tangents of the
/// parameters and residuals -> tangent of the total loss. `forward` gets the residuals as further results.
/// Requires stage `graph`. The linear graph's ops are linear in the tangents, and at most a constant times
/// the forward graph's in number. A model without a loss stays as it is.
ir::Program linearise(const ir::Program& program);

/// The program with the graph `grad` in the place of `forward` and `linear`: values of the forward graph, and
/// the cotangent of each parameter, loss_bar times the gradient of the total loss; zeros where the loss does
/// not depend on it. Inputs get no cotangent. Comments tell the chain rule. Requires stage `linear`; gives
/// stage `jacobian`.
ir::Program transpose(const ir::Program& program);

/// Tangents of all values of the builder's graph from those of some: ẏ = J ẋ, node by node.
///   tangents[v]: the tangent of v, or nullopt for 0; complete when it returns.
void push_forward(ir::Builder& b, ir::ValueMap<ir::MaybeValue>& tangents);

}  // namespace mlpc::autodiff
