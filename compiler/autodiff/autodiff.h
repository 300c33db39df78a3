#pragma once

#include "ir/program.h"

namespace mlpc::autodiff {

// Reverse mode in two steps (Radul et al., "You only linearize once", POPL 2023): linearise the forward
// graph, then transpose the linear program. Every op states one fact about its Jacobian (ir/op.h), from which
// both follow. linearise.h and transpose.h do it to one graph; here are the passes.

/// Writes grad, jvp, vjp and jacobian in other ops, innermost first, and drops the marks. Requires stage
/// `graph`. Only paths through a target count; where there is none, the derivative is zeros.
ir::Program expand_derivatives(const ir::Program& program);

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

}  // namespace mlpc::autodiff
