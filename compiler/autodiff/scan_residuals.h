#pragma once

#include <span>
#include <vector>

#include "ir/graph.h"

namespace mlpc::autodiff {

/// What a scan's linear body gets of its primal body's values. All others that it needs it computes again,
/// by cheap ops, from the turn, consts, sequences and these.
struct ScanResiduals {
  std::vector<bool> is_stacked;  // by value: kept of every turn
  std::vector<bool> is_hoisted;  // by value: the same in every turn, and too dear for each: computed once
};

/// Chooses them so that `needed` can be had, and few bytes are kept: a value is not kept if it follows
/// cheaply from others that take no more room.
///   body: the primal body; what it stacks anyway is free
ScanResiduals choose_residuals(const ir::Graph& body, std::span<const ir::ValueId> needed);

/// By value, whether it depends on the turn, a loop value or a sequence of the body.
std::vector<bool> varying_values(const ir::Graph& body);

/// By value, whether one of `wanted` is computed from it, up to values for which `ends` is true: those are
/// in, what they are made of is not.
std::vector<bool> ancestors(const ir::Graph& graph, std::span<const ir::ValueId> wanted,
                            const std::vector<bool>& ends);

}  // namespace mlpc::autodiff
