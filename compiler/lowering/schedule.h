#pragma once

#include <optional>
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
  };
  std::vector<Level> levels;  // outermost first
  int reduce_unroll = 1;      // of contractions
};

/// What a group does at each point of its space, for the sizes of tiles and tasks.
struct GroupShape {
  ir::Shape space;
  bool is_contraction = false;
  bool has_lanes_inside = false;  // loops or reductions inside run in lanes, so the space's own do not
  ir::ElementType widest = ir::ElementType::f32;
  ir::Dim work = 1;                                       // multiply-adds or elements a point
  std::optional<std::size_t> turned_axis = std::nullopt;  // of a transposing copy: its operand's last axis
};

LoopPlan plan_loops(const GroupShape& group, const ir::Target& target, int level);

}  // namespace mlpc::lowering
