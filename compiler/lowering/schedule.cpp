#include "compiler/lowering/schedule.h"

#include <algorithm>
#include <ranges>

namespace mlpc::lowering {
namespace {

using ir::Dim;

constexpr std::int64_t kFreeExtent = 64;  // what a free dim counts as where a size has to be guessed
constexpr std::int64_t kContractionTask =
    1 << 19;                                  // multiply-adds: about 4 us, against 0.2 us to hand a task out
constexpr std::int64_t kPointTask = 1 << 15;  // elements of pointwise work
constexpr std::int64_t kRowsOfTask = 64;

std::int64_t guess(const Dim& dim) {
  return dim.evaluate([](std::string_view) { return kFreeExtent; }).value_or(INT64_MAX >> 8);
}

std::int64_t round_up(std::int64_t n, std::int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

/// Register tile of mr rows by nv vectors: mr·nv accumulators, nv vectors of the streamed operand and one
/// broadcast have to stay in registers, and at least 12 accumulators hide the latency of the FMA.
struct Tile {
  int mr, nv;
};

Tile register_tile(std::int64_t columns, ir::ElementType type, const ir::Target& target) {
  const int registers_per_vector = ir::size_of(type) / 4;
  const std::int64_t vectors = std::max<std::int64_t>(1, (columns + target.lanes - 1) / target.lanes);
  const int widest = std::max(1, (target.vector_registers >= 32 ? 4 : 2) / registers_per_vector);
  const int nv = static_cast<int>(std::min<std::int64_t>(vectors, widest));
  const int budget = target.vector_registers - 1 - registers_per_vector * nv - 2;
  const int mr = std::clamp(budget / (nv * registers_per_vector), 1, 14);
  return {mr, nv};
}

/// The streamed operand's panel (lanes axis) is the outer loop and rows the inner one, so that a panel stays
/// in cache while rows pass.
LoopPlan plan_contraction(const GroupShape& group, const ir::Target& target, int level) {
  LoopPlan plan;
  const std::size_t rank = group.space.size();
  const Tile tile =
      level < 2 ? Tile{1, 1} : register_tile(guess(group.space[rank - 1]), group.widest, target);
  for (std::size_t axis = 0; axis + 2 < rank; ++axis) plan.levels.push_back({axis, {}, 1});
  const std::int64_t panel = std::int64_t{tile.nv} * target.lanes;
  const std::int64_t per_panel = std::max<std::int64_t>(1, guess(group.work) * kRowsOfTask * panel);
  const std::int64_t columns =
      round_up(std::max<std::int64_t>(1, kContractionTask / per_panel) * panel, panel);
  plan.levels.push_back({rank - 1, {tile.nv, true}, columns});
  if (rank >= 2) plan.levels.push_back({rank - 2, {tile.mr, false}, kRowsOfTask});
  plan.reduce_unroll = level < 2 ? 1 : 2;
  return plan;
}

LoopPlan plan_points(const GroupShape& group, const ir::Target& target, int level) {
  LoopPlan plan;
  const std::size_t rank = group.space.size();
  std::int64_t inside = std::max<std::int64_t>(1, guess(group.work));
  for (std::size_t axis = 1; axis < rank; ++axis)
    inside *= std::clamp<std::int64_t>(guess(group.space[axis]), 1, 1 << 20);
  for (std::size_t axis = 0; axis < rank; ++axis) {
    const bool is_lanes = axis + 1 == rank && !group.has_lanes_inside;
    LoopPlan::Level entry{axis, {level < 2 ? 1 : is_lanes ? 4 : 1, is_lanes}, 0};
    // A transposing copy turns whole blocks of lanes × lanes in registers.
    if (level >= 2 && group.turned_axis == axis && !is_lanes) entry.schedule.unroll = target.lanes;
    // Short rows leave a vector's latency open: several at a time.
    if (level >= 2 && axis + 1 == rank && group.has_lanes_inside && guess(group.work) <= 4 * target.lanes)
      entry.schedule.unroll = 4;
    if (axis == 0)
      entry.task_block =
          round_up(std::max<std::int64_t>(1, kPointTask / inside), is_lanes ? 4 * target.lanes : 4);
    plan.levels.push_back(entry);
  }
  return plan;
}

}  // namespace

LoopPlan plan_loops(const GroupShape& group, const ir::Target& target, int level) {
  if (group.space.empty()) return {};
  LoopPlan plan =
      group.is_contraction ? plan_contraction(group, target, level) : plan_points(group, target, level);
  // A loop with one task is not cut, unless a loop inside it is: tasks are cut from the outside in.
  bool inner_is_cut = false;
  for (LoopPlan::Level& l : std::views::reverse(plan.levels)) {
    const std::optional<std::int64_t> extent = group.space[l.axis].constant();
    if (extent && *extent <= l.task_block && !inner_is_cut) l.task_block = 0;
    inner_is_cut |= l.task_block > 0;
  }
  return plan;
}

}  // namespace mlpc::lowering
