#pragma once

#include <span>
#include <vector>

#include "ir/builder.h"

namespace mlpc::autodiff {

/// x̄ = Jᵀ ȳ of a linear scan, whose tangents are the operands without a value: a scan in the other order of
/// turns. By operand; nullopt where it is no tangent, or its cotangent is 0. At least one cotangent is there.
///
///   h̄ ← Aᵀ h̄ + Cᵀ ȳ       carried, for h ← A h + B x + c and stacked y = C h: a least fixed point again
///   x̄ = Bᵀ h̄              stacked, for a sequence
///   c̄ ← c̄ + …             carried, for a const; but where a step contracts it (z = U h), its step's z̄ is
///                         stacked, and contracted over the turns when they are over: Ū = Σₜ z̄ₜ hₜᵀ
std::vector<ir::MaybeValue> pull_back_scan(ir::Builder& b, const ir::NodeView& scan,
                                           std::span<const ir::MaybeValue> cotangents);

}  // namespace mlpc::autodiff
