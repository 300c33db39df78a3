#pragma once

#include <optional>
#include <span>
#include <vector>

#include "ir/builder.h"

namespace mlpc::autodiff {

/// What lies between some values of a graph and a later one, linearised.
struct Path {
  ir::Graph linear;                    // parameters: the targets' tangents, then residuals; one result: ẏ
  std::vector<ir::ValueId> residuals;  // by parameter of role `residual`, in the graph itself
};

/// The path from `targets`, none of which depends on another, to y. Residuals that are not there yet are
/// appended. nullopt where y does not depend on them.
std::optional<Path> path_between(ir::Builder& b, std::span<const ir::ValueId> targets, ir::ValueId y);

/// Whether a target's derivative flows into another of them.
bool depend_on_each_other(const ir::Graph& graph, std::span<const ir::ValueId> targets);

}  // namespace mlpc::autodiff
