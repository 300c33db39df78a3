#pragma once

#include <functional>
#include <span>
#include <string>
#include <string_view>

#include "ir/program.h"

namespace mlpc::passes {

/// Whether that is the name of an entry that is there on request.
bool is_on_request(std::string_view name);

/// Adds the entries that are there on request (abi.md): `jvp`, `hvp`, `jacobian`, written with derivatives as
/// ops. Requires stage `graph`. Throws mlpc::Error for an entry that the model cannot have, or another name.
ir::Program add_entries(const ir::Program& program, std::span<const std::string> names);

/// Rewrites each graph by exact rules: the same bits come out, and no right side is dearer than its left.
/// Runs before lowering, so that a derivative's mask is read from the value that is there anyway.
ir::Program canonicalize(const ir::Program& program);

/// Writes composite ops (logsumexp) in simpler ones. After differentiation: they have derivatives of their
/// own.
ir::Program expand_composites(const ir::Program& program);

/// Rewrites whose rounding differs, though its error is no worse: tanh(softplus(x)), the factor of mish, and
/// what its derivative is made of have one exp. Runs at every level.
ir::Program rewrite_bounded(const ir::Program& program);

/// Writes folds of contractions as contractions of windows, whose sums are the fold's, too: the gradient of a
/// convolution by its input is a convolution. Runs at every level, for it changes the order of sums.
ir::Program contract_overlaps(const ir::Program& program);

/// Adds `train_step`: gradients at loss_bar = 1, then the update, in one graph. Needs `grad` without
/// accumulation.
ir::Program compose_train_step(const ir::Program& program);

/// Lets the backward part of `grad` compute most of the forward part again instead of keeping it: the forward
/// part is cut into `segments` of about equal bytes, only what crosses a cut is kept, and each segment but
/// the last is computed again, in the same bits, before its cotangents are. Requires stage `jacobian`.
///   value_of_dim: extents of the free dims, for the sizes of values
ir::Program recompute_segments(const ir::Program& program, std::int64_t segments,
                               const std::function<std::int64_t(std::string_view)>& value_of_dim);

/// Lets the backward part of `grad` compute again what grows faster with the free dims than what it is made
/// of: products of higher degree than their operands, such as the scores of attention, f32[B, H, T, T] of
/// queries and keys f32[B, T, D], and what is made of them element by element. Nothing of it is kept then, so
/// that a phase has it whole in its tasks' rooms. Requires stage `jacobian`.
ir::Program recompute_squares(const ir::Program& program);

/// Lets `grad` and `hvp` add to what the buffer of gradients holds, if the call asks for it.
ir::Program accumulate_gradients(const ir::Program& program);

/// What a loop contracts turn by turn, though no turn waits for it, becomes one contraction of all turns:
/// that of a sequence's element with a const, before the loop; and one that is stacked only, of what is
/// stacked too, behind it. The same chains of FMAs, so the same bits.
///   zₜ = xₜ W   ->   z = x W, whose rows are those of all turns
/// Weights are read once for many rows, not once for each turn's few. And a loop value to which each turn
/// adds the sum of what it stacks (a bias' gradient) becomes one sum behind the loop, in the order of the
/// stack.
ir::Program hoist_contractions(const ir::Program& program);

/// Stores the tensors between convolutions of few channels with some images side by side, where they are
/// learned: [B, c, h, w] -> [blocks, c, h, w, lanes]. Runs at every level, for it changes the order of sums.
ir::Program images_in_lanes(const ir::Program& program);

/// Stores the tensors between convolutions with their channels last, where there are enough for lanes: a
/// transpose stands where that begins and ends. Runs at every level, for it changes the order of sums.
ir::Program channels_last(const ir::Program& program);

/// Drops nodes that no result needs.
ir::Program drop_unused(const ir::Program& program);

}  // namespace mlpc::passes
