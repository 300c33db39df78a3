#pragma once

#include <optional>
#include <span>

#include "ir/graph.h"
#include "ir/ops/einsum.h"

namespace mlpc::lowering {

/// Bytes of a core's own cache from which on it holds a chunk of rows and what passes there, too.
constexpr std::int64_t kLargeNear = std::int64_t{1} << 20;

/// The greatest divisor of n from `least` to `most`; 0 if there is none.
std::int64_t divisor(std::int64_t n, std::int64_t least, std::int64_t most);

/// The operand of a contraction whose columns run in lanes, [depth, columns], which is better read from a
/// copy where a panel's rows follow each other: it is a transposed view, whose columns have to be turned
/// anyway; or its own rows lie a large power of two of bytes apart, and so in few sets of the caches. The
/// copy of the latter pays only where many contractions read it, in a loop over turns.
struct Packing {
  std::size_t operand;  // of the contraction
  ir::ElementType type;
  ir::Dim depth, columns;
  bool is_turned;
};

/// Nullopt where nothing could be packed. Requires that prepare() put the column last.
std::optional<Packing> packing_of(const ir::Graph& graph, ir::ValueId contraction);
/// Whether a copy pays that is there before the product runs.
bool pays_once(const Packing& packing);
/// Whether it pays that a task packs the panels that it reads, which then lie in the core's own cache: where
/// that is small, so that rows a large power of two of bytes apart push each other out.
bool pays_in_tasks(const Packing& packing, std::int64_t near_bytes);
/// Columns of what a task packs; 0 where there is no room for any.
std::int64_t panel_in_task(const Packing& packing, std::int64_t near_bytes);

/// The operand that has_rows_in_lanes turns: [chunk, depth, row of the chunk], so that no two elements of a
/// row lie further apart than needed, nor a large power of two.
ir::Shape turned_shape(const ir::Shape& operand, std::int64_t near_bytes);
/// Rows of a chunk: what registers hold, if a chunk of more would fill the core's own cache, so that it
/// passes below some rows of W; else it stays while W passes.
constexpr std::int64_t turned_rows(std::int64_t near_bytes) { return near_bytes < kLargeNear ? 16 : 128; }

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

/// X'δ where the core's own cache is small: rows of the result are tasks by the chunk, of which a task packs
/// its part of X, and δ is packed before, for all of them.
struct PackedGradient {
  Packing packing;  // of δ
  DepthBlocks blocks;
  std::int64_t pitch;  // from one turn's rows of a chunk to the next one's: no power of two of bytes
};
/// Columns of δ that lie together.
constexpr std::int64_t kGradientPanel = 64;
/// From this many turns on; fewer are better done without any copy.
constexpr std::int64_t kFewTurns = 16;
std::optional<PackedGradient> packed_gradient(const ir::Graph& graph, ir::ValueId contraction,
                                              std::int64_t near_bytes);

/// Nullopt where the sum is short, or nothing divides it or the rows.
std::optional<DepthBlocks> depth_blocks_of(const ir::Graph& graph, ir::ValueId contraction);

}  // namespace mlpc::lowering
