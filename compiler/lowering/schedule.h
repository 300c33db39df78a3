#pragma once

#include <optional>
#include <utility>
#include <vector>

#include "ir/kernel.h"
#include "ir/target.h"

namespace mlpc::lowering {

/// How the loops over a group's space run. Changes no bit: the order of every reduction was decided before.
struct LoopPlan {
  struct Level {
    std::size_t axis;  // of the space
    ir::LoopSchedule schedule;
    std::int64_t task_block = 0;  // turns a task; 0: not cut
    std::int64_t tile = 0;        // around blocks of a sum: turns of a tile, which run within a block; 0: one
  };
  std::vector<Level>
      levels;              // outermost first; with panels, the last axis has two: panels, and columns of one
  std::int64_t panel = 0;  // columns of what is packed of the streamed operand, before its rows run; 0: none
  int reduce_unroll = 1;   // of contractions
  std::size_t levels_around_blocks = 1;  // where the sum runs in blocks: the other levels are within one
};

/// A contraction over windows, with channels in lanes, or images.
struct ConvolutionShape {
  std::size_t lane_axis;
  /// With images in lanes: the last axis that only the windowed operand has, and the last that only the other
  /// one has.
  std::optional<std::pair<std::size_t, std::size_t>> tile_axes;
  std::optional<std::size_t> contiguous_axis;  // along which the windowed operand is read with stride 1
  ir::Dim last_range;                          // extent of the innermost sum
  bool is_clipped = false;                     // its body is there once for each part of a tile at an edge
  bool loads_other_in_lanes = false;           // images are lanes of both operands
};

/// What a group does at each point of its space, for the sizes of tiles and tasks.
struct GroupShape {
  ir::Shape space;
  bool is_contraction = false;
  bool is_packed = false;               // of a contraction: the streamed operand is packed, panel by panel
  std::int64_t task_panel = 0;          // then: columns of a panel that its task packs; 0: packed before
  bool is_blocked = false;              // of a contraction: its sum runs in blocks
  std::int64_t row_chunk = 0;           // then: of DepthBlocks
  bool has_rows_in_lanes = false;       // of a contraction
  std::int64_t turned_rows = 0;         // then: of a chunk
  bool has_few_rows = false;            // of a contraction: a few rows of a free number
  bool is_turned_in_registers = false;  // then: the streamed operand, whose columns are its rows in memory
  bool has_lanes_inside = false;        // loops or reductions inside run in lanes, so the space's own do not
  ir::ElementType widest = ir::ElementType::f32;
  ir::Dim work = 1;       // multiply-adds or elements a point
  std::int64_t cost = 1;  // of an element's pointwise work, in what it takes to read and write one
  std::optional<std::size_t> turned_axis = std::nullopt;  // of a transposing copy: its operand's last axis
  std::optional<ConvolutionShape> convolution = std::nullopt;
};

/// From this many rows on a contraction runs in register tiles of rows; below, rows run one by one. Where
/// rows run in lanes, each row would turn W anew.
constexpr std::int64_t kFewRows = 5, kFewRowsInLanes = 3;

/// An extent, or what a free one counts as where a size has to be guessed.
std::int64_t guess(const ir::Dim& extent);

/// Turns, by axis, of the loops around one in lanes that share a trip: where the last axis is a vector or a
/// few long, so that a trip is about four, and its loops' own work does not show.
std::vector<int> jams_around_lanes(const ir::Shape& shape, int lanes);

LoopPlan plan_loops(const GroupShape& group, const ir::Target& target, int level);

}  // namespace mlpc::lowering
