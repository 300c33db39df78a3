#pragma once

#include <optional>
#include <span>

#include "ir/graph.h"
#include "ir/ops/einsum.h"

namespace mlpc::lowering {

/// The greatest divisor of n from `least` to `most`; 0 if there is none.
std::int64_t divisor(std::int64_t n, std::int64_t least, std::int64_t most);

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

/// The operand that has_rows_in_lanes turns: [chunk, depth, row of the chunk], so that no two elements of a
/// row lie further apart than needed, nor a large power of two.
constexpr std::int64_t kTurnedRows = 128;
ir::Shape turned_shape(const ir::Shape& operand);

/// Whether a product of matrices, δ W', runs with its rows in lanes: then δ, which is the smaller one, is
/// turned before, and tiles of the result in registers, and W is read as it lies. Not in loops over turns,
/// before which W is turned once.
bool has_rows_in_lanes(const ir::Graph& graph, const ir::ops::EinsumSpec& spec,
                       std::span<const ir::ValueId> operands);
bool has_rows_in_lanes(const ir::Graph& graph, ir::ValueId contraction);
/// Then: which operand δ is.
std::size_t turned_operand(const ir::Node& contraction);

/// The sum of a contraction in blocks of turns over its first letter: some of the streamed operand's rows are
/// passed by many rows of the result, whose sums so far rest in the workspace, before the next ones are. For
/// operands so large that a panel of them would not stay in the caches, whose sets and pages distant rows use
/// up; and for the gradient of a convolution's weights, so that all taps pass over an image (or a few small
/// ones) while that is near.
struct DepthBlocks {
  ir::Dim first;               // turns that stand before the blocks
  ir::Dim count;               // of blocks
  std::int64_t size;           // turns of a block
  ir::Dim rest = 0;            // turns behind the blocks
  std::int64_t row_chunk = 0;  // of X'δ: this many rows go through all blocks, then the next ones; else 0
};

/// Nullopt where the sum is short, or nothing divides it or the rows.
std::optional<DepthBlocks> depth_blocks_of(const ir::Graph& graph, ir::ValueId contraction);

}  // namespace mlpc::lowering
