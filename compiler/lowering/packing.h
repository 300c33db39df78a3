#pragma once

#include <optional>
#include <span>

#include "ir/graph.h"
#include "ir/ops/einsum.h"

namespace mlpc::lowering {

/// The operand of a contraction whose columns run in lanes, [depth, columns], which is better read from a
/// copy where a panel's rows follow each other: it is a transposed view, whose columns have to be turned
/// anyway; or its own rows lie a large power of two of bytes apart, and so in few sets of the caches. The
/// copy of the latter pays only where many contractions read it, in a loop over turns.
struct Packing {
  std::size_t operand;  // of the contraction
  ir::Dim depth, columns;
  bool is_turned;
};

/// Nullopt where packing does not pay. Requires that prepare() put the column last.
std::optional<Packing> packing_of(const ir::Graph& graph, ir::ValueId contraction);

/// Whether a product of matrices, δ W', runs with its rows in lanes: then δ, which is the smaller one, is
/// turned before, and tiles of the result in registers, and W is read as it lies. Not in loops over turns,
/// before which W is turned once.
bool has_rows_in_lanes(const ir::Graph& graph, const ir::ops::EinsumSpec& spec,
                       std::span<const ir::ValueId> operands);

/// The sum of a contraction in blocks of turns over its first letter: one of the streamed operand's rows is
/// passed by all rows of the result, whose sums so far rest in the workspace, before the next one is. For
/// operands so large that a panel of them would not stay in the caches, whose sets and pages its distant rows
/// use up; and for the gradient of a convolution's weights, so that all taps pass over an image (or a few
/// small ones) while that is near.
struct DepthBlocks {
  ir::Dim first;      // turns that stand before the blocks
  ir::Dim count;      // of blocks
  std::int64_t size;  // turns of a block
};

/// Nullopt where the sum is short, or is over one letter which is free or has no blocks of one size.
std::optional<DepthBlocks> depth_blocks_of(const ir::Graph& graph, ir::ValueId contraction);

}  // namespace mlpc::lowering
