#include "compiler/lowering/schedule.h"

#include <algorithm>
#include <bit>
#include <ranges>
#include <utility>

#include "compiler/lowering/packing.h"

namespace mlpc::lowering {
namespace {

using ir::Dim;

constexpr std::int64_t kLargest = 1 << 20;  // a guess, so that products of three do not overflow
constexpr std::int64_t kContractionTask =
    1 << 19;  // multiply-adds of f32: about 4 us, against 0.2 us to hand a task out
constexpr std::int64_t kDearEpilogue = 4;       // multiply-adds for a unit of GroupShape::cost
constexpr std::int64_t kFewRowsTask = 1 << 16;  // weights that a task streams where rows are few: 256 KiB
constexpr std::int64_t kPointTask = 1 << 15;    // elements of pointwise work
constexpr std::int64_t kRowsOfTask = 128;
constexpr std::int64_t kLeastTiles = 4;           // of rows a task: the last one is a smaller tile
constexpr int kMostRows = 14;                     // of a register tile
constexpr std::int64_t kStreamedBytes = 1 << 18;  // of an operand that has to stay in L2: half of it

std::int64_t round_up(std::int64_t n, std::int64_t multiple) {
  return (n + multiple - 1) / multiple * multiple;
}

/// Register tile of mr rows by nv vectors: mr·nv accumulators, nv vectors of the streamed operand and one
/// broadcast have to stay in registers, one of which is left over; at least 12 accumulators hide the latency
/// of the FMA. AVX2: 6 × 16, AVX-512: 6 × 64.
struct Tile {
  int mr, nv;
};

Tile register_tile(std::int64_t columns, ir::ElementType type, const ir::Target& target, int most_rows) {
  const int registers_per_vector = ir::size_of(type) / 4;
  const std::int64_t vectors = std::max<std::int64_t>(1, (columns + target.lanes - 1) / target.lanes);
  const int widest = std::max(1, (target.vector_registers >= 32 ? 4 : 2) / registers_per_vector);
  const int nv = static_cast<int>(std::min<std::int64_t>(vectors, widest));
  const int budget = target.vector_registers - 2 - registers_per_vector * nv;
  const int mr = std::clamp(budget / (nv * registers_per_vector), 1, most_rows);
  return {mr, nv};
}

/// Turns of a sum a trip: two where a tile is small, so that the loop's own work does not show.
int turns_a_trip(const Tile& tile) { return tile.mr * tile.nv >= 16 ? 1 : 2; }

/// The constant extent's divisor nearest to `wanted`, if one is within a factor of two: tasks of one size
/// need no code for a last one.
std::int64_t even_block(const Dim& extent, std::int64_t wanted) {
  const std::int64_t turns = extent.constant().value_or(0);
  for (std::int64_t by = 0; by <= wanted && wanted + by < turns; ++by) {
    if (turns % (wanted + by) == 0) return wanted + by;
    if (2 * (wanted - by) >= wanted && turns % (wanted - by) == 0) return wanted - by;
  }
  return wanted;
}

/// Whether rows are the outer loop: the streamed operand stays in L2 while the result, which is larger,
/// passes once, row by row. So it is in X'δ. Else a panel of the streamed operand stays in cache while rows
/// pass.
bool runs_by_rows(const GroupShape& group) {
  if (group.space.size() < 2) return false;
  const std::int64_t rows = guess(group.space[group.space.size() - 2]), depth = guess(group.work);
  return rows > depth && depth <= kStreamedBytes / ir::size_of(group.widest) / guess(group.space.back());
}

/// Chunks of rows, which stay in L2 while W passes; chunks of columns, then tiles of them, which registers
/// turn where they are stored, so that they are a power of two; of two vectors of rows. Or chunks of two
/// vectors, which pass while some columns stay: these are the tasks.
LoopPlan plan_rows_in_lanes(const GroupShape& group, const ir::Target& target, int level) {
  constexpr int kVectors = 2, kMostColumns = 8;
  LoopPlan plan;
  const int registers_per_vector = ir::size_of(group.widest) / 4;
  const int budget = target.vector_registers / registers_per_vector - 2 - kVectors;
  const Tile tile =
      level < 2 ? Tile{1, 1}
                : Tile{std::min(kMostColumns,
                                static_cast<int>(std::bit_floor(static_cast<unsigned>(budget / kVectors)))),
                       kVectors};
  plan.reduce_unroll = level < 2 ? 1 : turns_a_trip(tile);
  const bool stays = group.turned_rows == turned_rows(kLargeNear);
  plan.levels = {{0, {}, stays ? 1 : 0, group.turned_rows},
                 {1, {}, 1},
                 {1, {tile.mr, false}, 0},
                 {0, {tile.nv, true}, 0}};
  if (!stays) std::swap(plan.levels[0], plan.levels[1]);
  return plan;
}

LoopPlan plan_contraction(const GroupShape& group, const ir::Target& target, int level) {
  constexpr int kMostFreeRows =
      8;  // a free number has code for two tiles: taller ones would hardly be faster
  LoopPlan plan;
  const std::size_t rank = group.space.size();
  const Dim& columns = group.space[rank - 1];
  const bool has_free_rows = rank >= 2 && !group.space[rank - 2].is_constant();
  const Tile tile = level < 2 ? Tile{1, 1}
                              : register_tile(guess(columns), group.widest, target,
                                              has_free_rows ? kMostFreeRows : kMostRows);
  plan.reduce_unroll = level < 2                      ? 1
                       : group.is_turned_in_registers ? target.lanes
                       : group.has_few_rows           ? 2
                                                      : turns_a_trip(tile);
  for (std::size_t axis = 0; axis + 2 < rank; ++axis) plan.levels.push_back({axis, {}, 1});
  const std::int64_t panel = std::int64_t{tile.nv} * target.lanes;
  const std::int64_t depth = guess(group.work);
  const std::int64_t per_element = (depth + kDearEpilogue * (group.cost - 1)) * ir::size_of(group.widest) / 4;
  if (group.has_few_rows) {
    // One stream through the weights, as wide as there are registers for.
    const int vectors =
        group.is_turned_in_registers ? 1 : target.vector_registers / 2 * 4 / ir::size_of(group.widest);
    const std::int64_t wide = std::int64_t{vectors} * target.lanes;
    plan.levels.push_back(
        {rank - 1, {vectors, true}, std::max(kFewRowsTask / depth / wide, std::int64_t{1}) * wide});
    plan.levels.push_back({rank - 2, {}, 0});
  } else if (group.is_packed) {
    plan.panel = std::max(panel, group.task_panel);
    plan.levels.push_back({rank - 1, {}, 1});
    plan.levels.push_back({rank - 2, {tile.mr, false}, 0});
    plan.levels.push_back({rank - 1, {tile.nv, true}, 0});
  } else if (group.is_blocked) {
    const LoopPlan::Level in_panels{rank - 1, {tile.nv, true}, group.row_chunk ? 0 : panel};
    const LoopPlan::Level rows{rank - 2, {tile.mr, false}, 0};
    const bool are_few = group.space[rank - 2].constant().value_or(kLargest) <= kRowsOfTask;
    if (group.row_chunk) {
      plan.levels = {{rank - 2, {}, 1, group.row_chunk}, rows, in_panels};
    } else if (are_few) {
      plan.levels = {in_panels, rows};
    } else {
      plan.levels = {{rank - 2, rows.schedule, 1, kRowsOfTask}, in_panels};
      plan.levels_around_blocks = 2;
    }
  } else if (runs_by_rows(group)) {
    const std::int64_t per_row = per_element * guess(columns);
    const std::int64_t tiles = std::max<std::int64_t>(kContractionTask / per_row / tile.mr, kLeastTiles);
    const std::int64_t rows = tiles * tile.mr;
    plan.levels.push_back({rank - 2, {tile.mr, false}, even_block(group.space[rank - 2], rows)});
    plan.levels.push_back({rank - 1, {tile.nv, true}, 0});
  } else {
    const std::int64_t task = kContractionTask / (per_element * kRowsOfTask * panel) * panel;
    // Rows that lie in L3 are fetched once a task: for two panels, where that leaves four tasks.
    const std::int64_t least = guess(columns) >= 8 * panel ? 2 * panel : panel;
    plan.levels.push_back({rank - 1, {tile.nv, true}, std::max(task, least)});
    if (rank >= 2)
      plan.levels.push_back({rank - 2, {tile.mr, false}, even_block(group.space[rank - 2], kRowsOfTask)});
  }
  return plan;
}

/// Turns of a loop that share a register tile, at most `most`: the extent's largest divisor, if it fills at
/// least half of that.
std::int64_t jammed(const Dim& extent, std::int64_t most) {
  const std::int64_t turns = guess(extent);
  if (turns <= most) return turns;
  for (std::int64_t by = most; 2 * by > most; --by)
    if (turns % by == 0) return by;
  return most;
}

/// The rows of a convolution's tile: turns along some axes of the space.
using TileRows = std::vector<std::pair<std::size_t, int>>;

/// Along the axis that is read with stride 1 or the longest one, and where that is short along a second one.
TileRows tile_rows(const GroupShape& group, std::int64_t most_rows) {
  constexpr std::int64_t kMostOfAnAxis = 14;
  TileRows rows;
  const auto add_longest = [&](std::int64_t most, std::size_t first) {
    std::optional<std::size_t> best;
    for (std::size_t axis = first; axis < group.space.size(); ++axis) {
      const bool is_taken = axis == group.convolution->lane_axis || (!rows.empty() && axis == rows[0].first);
      if (!is_taken && (!best || guess(group.space[axis]) >= guess(group.space[*best]))) best = axis;
    }
    if (best) rows.emplace_back(*best, jammed(group.space[*best], most));
  };
  const std::int64_t most = std::min(most_rows, kMostOfAnAxis);
  if (const std::optional<std::size_t> axis = group.convolution->contiguous_axis)
    rows.emplace_back(*axis, jammed(group.space[*axis], most));
  else
    add_longest(most, 1);  // elements of the first axis lie far apart
  if (rows.empty()) add_longest(most, 0);
  if (!rows.empty() && 2 * rows[0].second <= most_rows) add_longest(most_rows / rows[0].second, 1);
  return rows;
}

/// Images are tasks, and panels of channels where these are large; in each of them tiles of rows. A weight's
/// gradient has panels and tiles as tasks, and within one the images, and for each all taps.
LoopPlan plan_convolution(const GroupShape& group, const ir::Target& target, int level) {
  constexpr std::int64_t kMostTapsUnrolled = 8, kTasksWanted = 8, kMostTilesOfTask = 4;
  constexpr int kMostVectors = 2;  // more would read the weights faster than L2 gives them
  LoopPlan plan;
  const std::size_t lanes = group.convolution->lane_axis;
  const std::int64_t vectors = (guess(group.space[lanes]) + target.lanes - 1) / target.lanes;
  const int nv = level < 2 ? 1 : static_cast<int>(std::min<std::int64_t>(vectors, kMostVectors));
  const int registers = ir::size_of(group.widest) / 4;
  const int most_rows =
      level < 2 ? 1 : std::max(1, (target.vector_registers - 2 - registers * nv) / (nv * registers));
  const TileRows rows = tile_rows(group, most_rows);
  const std::int64_t taps = group.convolution->last_range.constant().value_or(0);
  int tile = nv;
  for (const TileRows::value_type& row : rows) tile *= row.second;
  const bool has_taps_inside = !group.convolution->is_clipped && taps >= 1 && taps <= kMostTapsUnrolled;
  plan.reduce_unroll = level < 2 ? 1 : has_taps_inside ? static_cast<int>(taps) : turns_a_trip({tile, 1});
  const auto is_row = [&](std::size_t axis) {
    return std::ranges::find(rows, axis, &TileRows::value_type::first) != rows.end();
  };
  const std::int64_t panel = std::int64_t{nv} * target.lanes;
  std::int64_t tasks = 1;
  std::vector<LoopPlan::Level> inside;
  if (!group.is_blocked)
    for (std::size_t axis = 0; axis < group.space.size(); ++axis) {
      if (axis == lanes || is_row(axis)) continue;
      if (tasks < kTasksWanted)
        plan.levels.push_back({axis, {}, 1});
      else
        inside.push_back({axis, {}, 0});
      tasks *= guess(group.space[axis]);
    }
  plan.levels.push_back({lanes, {nv, true}, group.is_blocked ? panel : 0});
  plan.levels.insert(plan.levels.end(), inside.begin(), inside.end());
  // A tile around the blocks has all its turns.
  const auto is_whole = [&](const TileRows::value_type& row) {
    const std::optional<std::int64_t> extent = group.space[row.first].constant();
    return group.is_blocked && extent && *extent % row.second == 0;
  };
  // Tiles of a task pass over an image that is near; all tasks read all images.
  const auto tiles_of_task = [&](const TileRows::value_type& row) {
    const std::int64_t tiles = guess(group.space[row.first]) / row.second;
    const std::int64_t panels = std::max<std::int64_t>(guess(group.space[lanes]) / panel, 1);
    return divisor(tiles, 1, std::min(kMostTilesOfTask, std::max<std::int64_t>(tiles * panels / 2, 1)));
  };
  for (const auto& row : std::views::reverse(rows))
    if (is_whole(row))
      plan.levels.push_back({row.first, {row.second, false}, 1, tiles_of_task(row) * row.second});
  plan.levels_around_blocks = plan.levels.size();
  if (group.is_blocked)
    for (std::size_t axis = 0; axis < group.space.size(); ++axis)
      if (axis != lanes && !is_row(axis)) plan.levels.push_back({axis, {}, 0});
  for (const auto& row : std::views::reverse(rows))
    if (!is_whole(row)) plan.levels.push_back({row.first, {row.second, false}, 0});
  return plan;
}

/// Turns of two axes that share a register tile of one vector each: as many as registers allow, with the
/// fewest loads for an accumulator.
struct JammedPair {
  int first, second;
};

/// `most_second`: turns of the second axis that a tile may have.
JammedPair jammed_pair(const Dim& first, const Dim& second, std::int64_t most_second, int budget,
                       bool loads_both) {
  const std::int64_t n = guess(first), m = guess(second);
  const auto tiles = [](std::int64_t turns, std::int64_t most) { return (turns + most - 1) / most; };
  JammedPair best{1, 1};
  double best_cost = 0;
  for (std::int64_t a = 1; a <= std::min<std::int64_t>(n, budget); ++a)
    for (std::int64_t b = 1; b <= most_second && a * b + a + (loads_both ? b : 1) <= budget; ++b) {
      const double tile_count = static_cast<double>(tiles(n, a) * tiles(m, b));
      // Products take a half cycle each, loads as much, and a tile hides latency from 8 accumulators on.
      const double cost = tile_count * static_cast<double>(std::max<std::int64_t>(a * b, 8) + (a + b) / 2) +
                          (n % a == 0 ? 0 : 0.5) + (m % b == 0 ? 0 : 0.5);
      if (best_cost != 0 && cost >= best_cost) continue;
      best = {static_cast<int>(a), static_cast<int>(b)};
      best_cost = cost;
    }
  return best;
}

/// Blocks of images are tasks, and rows of pixels where those are few; tiles of pixels (or taps) × channels.
/// A weight's gradient has its channels as tasks, and within one the images, and for each all taps.
LoopPlan plan_images_in_lanes(const GroupShape& group, const ir::Target& target, int level) {
  constexpr std::int64_t kMostTapsUnrolled = 8, kTasksWanted = 8;
  LoopPlan plan;
  const auto [inner, outer] = *group.convolution->tile_axes;
  const std::size_t lanes = group.convolution->lane_axis;
  const int budget = target.vector_registers / (ir::size_of(group.widest) / 4) - 2;
  // Tiles of a gradient's channels are its tasks, so there are two at least.
  const std::int64_t channels = guess(group.space[outer]);
  const std::int64_t most_channels = group.is_blocked ? std::max<std::int64_t>(channels / 2, 1) : channels;
  const JammedPair tile = level < 2 ? JammedPair{1, 1}
                                    : jammed_pair(group.space[inner], group.space[outer], most_channels,
                                                  budget, group.convolution->loads_other_in_lanes);
  const std::int64_t taps = group.convolution->last_range.constant().value_or(0);
  plan.reduce_unroll = level < 2                                ? 1
                       : group.convolution->is_clipped          ? turns_a_trip({tile.first, tile.second})
                       : taps >= 1 && taps <= kMostTapsUnrolled ? static_cast<int>(taps)
                                                                : 2;
  const bool is_whole = group.is_blocked && guess(group.space[outer]) % tile.second == 0;
  if (is_whole) plan.levels.push_back({outer, {tile.second, false}, 1, tile.second});
  plan.levels_around_blocks = plan.levels.size();
  std::int64_t tasks = group.is_blocked ? kTasksWanted : 1;
  for (std::size_t axis = 0; axis < group.space.size(); ++axis) {
    if (axis == inner || axis == outer || axis == lanes) continue;
    plan.levels.push_back({axis, {}, tasks < kTasksWanted ? 1 : 0});
    tasks *= guess(group.space[axis]);
  }
  if (!is_whole) plan.levels.push_back({outer, {tile.second, false}, 0});
  plan.levels.push_back({inner, {tile.first, false}, 0});
  plan.levels.push_back({lanes, {1, true}, 0});
  return plan;
}

LoopPlan plan_points(const GroupShape& group, const ir::Target& target, int level) {
  LoopPlan plan;
  const std::size_t rank = group.space.size();
  std::int64_t inside = std::min(guess(group.work) * group.cost, kLargest);
  for (std::size_t axis = 1; axis < rank; ++axis)
    inside = std::min(inside * guess(group.space[axis]), kLargest);
  const std::vector<int> jams = jams_around_lanes(group.space, target.lanes);
  for (std::size_t axis = 0; axis < rank; ++axis) {
    const bool is_lanes = axis + 1 == rank && !group.has_lanes_inside;
    // A transposing copy turns whole blocks of lanes × lanes in registers, one at a time.
    LoopPlan::Level entry{axis, {is_lanes && level >= 2 && !group.turned_axis ? 4 : 1, is_lanes}, 0};
    if (level >= 2 && group.turned_axis == axis && !is_lanes) entry.schedule.unroll = target.lanes;
    // Short rows leave a vector's latency open: several at a time.
    if (level >= 2 && axis + 1 == rank && group.has_lanes_inside && guess(group.work) <= 4 * target.lanes)
      entry.schedule.unroll = 4;
    if (level >= 2 && !is_lanes && !group.has_lanes_inside && !group.turned_axis)
      entry.schedule.unroll = jams[axis];
    const std::int64_t multiple = is_lanes ? 4 * target.lanes : kPointTask >= inside ? 4 : 1;
    if (axis == 0) entry.task_block = round_up(std::max<std::int64_t>(1, kPointTask / inside), multiple);
    plan.levels.push_back(entry);
  }
  return plan;
}

}  // namespace

std::int64_t guess(const Dim& extent) {
  constexpr std::int64_t kFreeExtent = 64;
  const std::optional<std::int64_t> value = extent.evaluate([](std::string_view) { return kFreeExtent; });
  return std::clamp<std::int64_t>(value.value_or(kLargest), 1, kLargest);
}

std::vector<int> jams_around_lanes(const ir::Shape& shape, int lanes) {
  constexpr std::int64_t kMostVectors = 4;
  std::vector<int> jams(shape.size(), 1);
  if (shape.empty()) return jams;
  const std::int64_t last = shape.back().constant().value_or(0);
  if (last == 0 || last > kMostVectors * lanes) return jams;
  std::int64_t room = kMostVectors;
  const auto jam = [&](std::size_t axis, std::int64_t turns) {
    jams[axis] = static_cast<int>(std::min(turns, room));
    room /= jams[axis];
    return jams[axis] == turns;
  };
  bool is_whole = jam(shape.size() - 1, (last + lanes - 1) / lanes);
  for (std::size_t axis = shape.size() - 1; axis-- > 0 && is_whole;)
    is_whole =
        jam(axis, std::max<std::int64_t>(shape[axis].constant().value_or(1), 1)) && shape[axis].is_constant();
  return jams;
}

LoopPlan plan_loops(const GroupShape& group, const ir::Target& target, int level) {
  if (group.space.empty()) return {};
  LoopPlan plan = group.convolution && group.convolution->tile_axes
                      ? plan_images_in_lanes(group, target, level)
                  : group.convolution       ? plan_convolution(group, target, level)
                  : group.has_rows_in_lanes ? plan_rows_in_lanes(group, target, level)
                  : group.is_contraction    ? plan_contraction(group, target, level)
                                            : plan_points(group, target, level);
  // A loop with one task is not cut, unless a loop inside it is: tasks are cut from the outside in.
  bool inner_is_cut = plan.panel > 0;  // its blocks count panels
  for (LoopPlan::Level& l : std::views::reverse(plan.levels)) {
    const std::optional<std::int64_t> extent = group.space[l.axis].constant();
    if (extent && *extent <= l.task_block * std::max<std::int64_t>(l.tile, 1) && !inner_is_cut)
      l.task_block = 0;
    inner_is_cut |= l.task_block > 0;
  }
  return plan;
}

}  // namespace mlpc::lowering
