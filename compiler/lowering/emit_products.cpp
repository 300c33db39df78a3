#include <algorithm>
#include <span>

#include "compiler/lowering/convolution.h"
#include "compiler/lowering/group_emitter.h"
#include "compiler/lowering/roots.h"
#include "ir/error.h"
#include "ir/ops/einsum.h"

namespace mlpc::lowering {

EmittedKernel GroupEmitter::packing() {
  const Group& group = c_.grouping.groups[static_cast<std::size_t>(g_)];
  space_ = group.space;
  const ir::VarId panel = builder_.new_var();
  if (is_packed_gradient(c_, static_cast<std::size_t>(g_))) {
    packed_.emplace(packed_gradient(c_.graph, group.members.front(), c_.near_bytes)->packing, kGradientPanel);
    builder_.add_task_split(panel, 1);
  } else {
    packed_.emplace(*packing_of(c_.graph, group.members.front()), plan_of(group).panel);
  }
  packed_->panel_index = AffineIndex::of(panel);
  open(panel, panel_count(), {});
  pack_panel();
  return finish();
}

EmittedKernel GroupEmitter::turning() {
  constexpr std::int64_t kDepthOfTask = 64;
  const Group& group = c_.grouping.groups[static_cast<std::size_t>(g_)];
  space_ = group.space;
  const Node& node = c_.graph.producer(group.members.front());
  const ValueId operand = c_.graph.operands(node)[turned_operand(node)];
  const BufferId turned = add_turned_buffer(true);
  const ir::VarId depth = builder_.new_var(), chunk = builder_.new_var(), row = builder_.new_var();
  builder_.add_task_split(depth, kDepthOfTask);
  open(depth, shape(operand)[1], {c_.level < 2 ? 1 : c_.target.lanes, false});
  const std::int64_t rows = turned_rows(c_.near_bytes);
  open(chunk, Dim::ceildiv(space_[0], rows), {});
  const AffineIndex first_row = Dim(rows) * AffineIndex::of(chunk);
  open_part(row, rows, first_row, space_[0], {1, true});
  const AffineIndex d = AffineIndex::of(depth), r = AffineIndex::of(row);
  builder_.store(turned, {AffineIndex::of(chunk), d, r}, eval(operand, {first_row + r, d}));
  return finish();
}

BufferId GroupEmitter::add_turned_buffer(bool is_written) {
  const auto g = static_cast<std::size_t>(g_);
  const ValueId contraction = c_.grouping.groups[g].members.front();
  const Node& node = c_.graph.producer(contraction);
  const Shape& operand = shape(c_.graph.operands(node)[turned_operand(node)]);
  return add_buffer({c_.graph.type(contraction).element, turned_shape(operand, c_.near_bytes)},
                    {BufferRef::Space::workspace, c_.storage.packed_slots[g]}, is_written);
}

BufferId GroupEmitter::add_packed_buffer(bool is_written) {
  const ElementType type =
      c_.graph.type(c_.grouping.groups[static_cast<std::size_t>(g_)].members.front()).element;
  return add_buffer({type, {panel_count(), packed_->packing.depth, packed_->panel}},
                    {BufferRef::Space::workspace, c_.storage.packed_slots[static_cast<std::size_t>(g_)]},
                    is_written);
}

void GroupEmitter::pack_panel() {
  const ValueId contraction = c_.grouping.groups[static_cast<std::size_t>(g_)].members.front();
  const ValueId operand = c_.graph.operands(c_.graph.producer(contraction))[packed_->packing.operand];
  packed_->buffer = add_packed_buffer(true);
  const ir::VarId depth = builder_.new_var(), column = builder_.new_var();
  const bool is_turned = packed_->packing.is_turned;
  open(depth, packed_->packing.depth, {c_.level >= 2 && is_turned ? c_.target.lanes : 1, false});
  open(column, packed_->panel, {is_turned ? 1 : static_cast<int>(packed_->panel) / c_.target.lanes, true});
  const AffineIndex d = AffineIndex::of(depth), c = AffineIndex::of(column);
  const Scalar element = eval(operand, {d, Dim(packed_->panel) * packed_->panel_index + c});
  builder_.store(packed_->buffer, {packed_->panel_index, d, c}, element);
  close();
  close();
}

void GroupEmitter::emit_blocked(const Group& group, const BufferRef& place) {
  const LoopPlan plan = plan_of(group);
  reduce_unroll_ = plan.reduce_unroll;
  const ValueId contraction = group.members.front();
  const ElementType type = c_.graph.type(contraction).element;
  const DepthBlocks blocks = *depth_blocks_of(c_.graph, contraction);
  base_.assign(space_.size(), {});
  const std::span<const LoopPlan::Level> levels = plan.levels;
  // Sums rest in the order of the loops, with the lanes innermost.
  std::vector<std::size_t> axes;
  for (const LoopPlan::Level& level : levels)
    if (!level.schedule.lanes) axes.push_back(level.axis);
  for (const LoopPlan::Level& level : levels)
    if (level.schedule.lanes) axes.push_back(level.axis);
  const auto in_order = [&](const auto& by_axis) {
    auto out = by_axis;
    for (std::size_t i = 0; i < axes.size(); ++i) out[i] = by_axis[axes[i]];
    return out;
  };
  const BufferId sums = add_buffer({type, in_order(space_)}, place, true);
  const std::span<const LoopPlan::Level> around = levels.first(plan.levels_around_blocks),
                                         inner = levels.subspan(plan.levels_around_blocks);
  for (const LoopPlan::Level& level : around) open_level(level);
  const Index tile = base_;
  const auto for_each_row = [&](bool jams, const auto& body) {
    const std::size_t outside = builder_.open_blocks();
    const auto open_inner_levels = [&] {
      for (const LoopPlan::Level& level : inner)
        open_level({level.axis, {jams ? level.schedule.unroll : 1, level.schedule.lanes}});
    };
    // One by one they run in the order of the result, whose rows are far apart: of each, a line is used up.
    if (jams) open_inner_levels();
    for (const LoopPlan::Level& level : around) {
      if (level.tile == 0) continue;
      const ir::VarId var = builder_.new_var();
      base_[level.axis] = tile[level.axis] + AffineIndex::of(var);
      open_part(var, level.tile, tile[level.axis], space_[level.axis],
                {jams ? level.schedule.unroll : 1, false});
    }
    if (!jams) open_inner_levels();
    body();
    while (builder_.open_blocks() > outside) close();
  };
  for_each_row(true, [&] {
    const Scalar zero = builder_.constant(type, 0);
    builder_.store(
        sums, in_order(base_),
        blocks.first == Dim(0) ? zero : contract(contraction, base_, PartOfSum{{}, blocks.first, zero}));
  });
  in_turn(blocks.count, [&](const AffineIndex& block) {
    for_each_row(true, [&] {
      const AffineIndex first = AffineIndex{blocks.first, {}, {}} + Dim(blocks.size) * block;
      const PartOfSum part{first, blocks.size, builder_.load(sums, in_order(base_))};
      builder_.store(sums, in_order(base_), contract(contraction, base_, part));
    });
  });
  for_each_row(false, [&] { finish_product(group, builder_.load(sums, in_order(base_))); });
}

Scalar GroupEmitter::sum_before(const AffineIndex& first, BufferId sums) {
  const Scalar has_sum =
      builder_.compare(ir::ScalarOp::gt_, builder_.index_value(first), builder_.index_value({}));
  return builder_.load(sums, base_, has_sum);
}

void GroupEmitter::finish_product(const Group& group, Scalar sum) {
  const ValueId contraction = group.members.front();
  finish_member(contraction, base_, sum);
  for (ValueId member : group.members)
    if (member != contraction) emit_member(member);
}

void GroupEmitter::emit_gradient(const Group& group, const BufferRef& place) {
  const LoopPlan plan = plan_of(group);
  reduce_unroll_ = plan.reduce_unroll;
  const ValueId contraction = group.members.front();
  const DepthBlocks blocks = *depth_blocks_of(c_.graph, contraction);
  MLPC_CHECK(plan.levels.size() == 3, "a gradient has {} levels of loops", plan.levels.size());
  const BufferId sums = add_buffer({c_.graph.type(contraction).element, space_}, place, true);
  base_.assign(2, {});
  open_level(plan.levels[0]);
  const AffineIndex first_row = base_[0];
  const auto for_each_tile = [&](const auto& body) {
    const std::size_t outside = builder_.open_blocks();
    const ir::VarId row = builder_.new_var();
    base_[0] = first_row + AffineIndex::of(row);
    open(row, blocks.row_chunk, plan.levels[1].schedule);
    open_level(plan.levels[2]);
    body();
    while (builder_.open_blocks() > outside) close();
  };
  // The sum, with the turns from `first` on, where there were any before.
  const auto add_turns = [&](const AffineIndex& first, const Dim& turns) {
    return contract(contraction, base_, PartOfSum{first, turns, sum_before(first, sums)});
  };
  in_turn(blocks.count, [&](const AffineIndex& block) {
    for_each_tile([&] { builder_.store(sums, base_, add_turns(Dim(blocks.size) * block, blocks.size)); });
  });
  for_each_tile(
      [&] { finish_product(group, add_turns({Dim(blocks.size) * blocks.count, {}, {}}, blocks.rest)); });
}

void GroupEmitter::emit_packed_gradient(const Group& group) {
  const auto g = static_cast<std::size_t>(g_);
  const LoopPlan plan = plan_of(group);
  reduce_unroll_ = plan.reduce_unroll;
  const ValueId contraction = group.members.front();
  const Node& node = c_.graph.producer(contraction);
  const ElementType type = c_.graph.type(contraction).element;
  const auto [packing, blocks, pitch] = *packed_gradient(c_.graph, contraction, c_.near_bytes);
  const std::int64_t chunk_rows = blocks.row_chunk;
  MLPC_CHECK(plan.levels.size() == 3, "a gradient has {} levels of loops", plan.levels.size());
  const Dim tasks = *space_[0].constant() / chunk_rows;
  const ir::VarId task = builder_.new_var();
  builder_.add_task_split(task, 1);
  open(task, tasks, {});
  const AffineIndex chunk = AffineIndex::of(task), first_row = Dim(chunk_rows) * chunk;
  packed_.emplace(packing, kGradientPanel);
  packed_->buffer = add_packed_buffer(false);
  chunk_ = Chunk{1 - packing.operand,
                 add_buffer({type, {tasks, blocks.size, pitch}},
                            {BufferRef::Space::workspace, c_.storage.chunk_slots[g]}, true),
                 chunk,
                 {}};
  std::optional<BufferId> sums;
  if (const std::uint32_t slot = c_.storage.scratch_slots[g]; slot != Storage::kNoSlot)
    sums = add_buffer({type, space_}, {BufferRef::Space::workspace, slot}, true);
  const ValueId x = c_.graph.operands(node)[chunk_->operand];

  const auto run_block = [&](const AffineIndex& first, const Dim& turns, const auto& finish) {
    const ir::VarId turn = builder_.new_var(), column = builder_.new_var();
    open(turn, turns, {});
    open(column, chunk_rows, {4, true});
    const AffineIndex t = AffineIndex::of(turn), c = AffineIndex::of(column);
    builder_.store(chunk_->buffer, {chunk, t, c}, eval(x, {first + t, first_row + c}));
    close();
    close();
    const std::size_t outside = builder_.open_blocks();
    const ir::VarId panel = builder_.new_var(), row = builder_.new_var(), lane = builder_.new_var();
    open(panel, panel_count(), {});
    open(row, chunk_rows, plan.levels[1].schedule);
    open(lane, kGradientPanel, plan.levels[2].schedule);
    packed_->panel_index = AffineIndex::of(panel);
    packed_->column_index = AffineIndex::of(lane);
    chunk_->row = AffineIndex::of(row);
    base_ = {first_row + AffineIndex::of(row),
             Dim(kGradientPanel) * packed_->panel_index + packed_->column_index};
    const std::optional<Scalar> before = sums ? std::optional(sum_before(first, *sums)) : std::nullopt;
    finish(contract(contraction, base_, PartOfSum{first, turns, before}));
    while (builder_.open_blocks() > outside) close();
  };
  if (sums)
    in_turn(blocks.count, [&](const AffineIndex& block) {
      run_block(Dim(blocks.size) * block, blocks.size,
                [&](Scalar sum) { builder_.store(*sums, base_, sum); });
    });
  run_block({Dim(blocks.size) * blocks.count, {}, {}}, blocks.rest,
            [&](Scalar sum) { finish_product(group, sum); });
}

void GroupEmitter::emit_rows_in_lanes(const Group& group) {
  const LoopPlan plan = plan_of(group);
  reduce_unroll_ = plan.reduce_unroll;
  const std::int64_t columns = *space_[1].constant(), chunk = column_chunk(columns);
  base_.assign(2, {});
  const std::int64_t rows = turned_rows(c_.near_bytes);
  const ir::VarId part = builder_.new_var(), outer = builder_.new_var(), column = builder_.new_var(),
                  row = builder_.new_var();
  for (const LoopPlan::Level& level : std::span(plan.levels).first(2)) {
    const ir::VarId var = level.axis == 0 ? part : outer;
    if (level.task_block > 0) builder_.add_task_split(var, level.task_block);
    open(var, level.axis == 0 ? Dim::ceildiv(space_[0], rows) : Dim(columns / chunk), level.schedule);
  }
  const AffineIndex first_row = Dim(rows) * AffineIndex::of(part);
  base_[1] = Dim(chunk) * AffineIndex::of(outer) + AffineIndex::of(column);
  base_[0] = first_row + AffineIndex::of(row);
  open(column, chunk, plan.levels[2].schedule);
  open_part(row, rows, first_row, space_[0], plan.levels[3].schedule);
  space_depth_ = builder_.open_blocks();
  turned_ = Turned{add_turned_buffer(false), AffineIndex::of(part), AffineIndex::of(row)};
  for (ValueId member : group.members) emit_member(member);
}

EmittedKernel GroupEmitter::row_parts() {
  const ValueId sum = c_.grouping.groups[static_cast<std::size_t>(g_)].members.front();
  space_ = shape(sum);
  LoopPlan plan = plan_of({space_, {sum}, kind(sum) == Kind::contraction});
  reduce_unroll_ = plan.reduce_unroll;
  const BufferId sums = add_part_buffer(sum, true);
  const ir::VarId part = builder_.new_var();
  builder_.add_task_split(part, 1);
  open(part, row_parts_of(c_.graph, sum)->count, {});
  for (LoopPlan::Level& level : plan.levels) level.task_block = 0;
  open_levels(plan);
  const PartOfSum rows{Dim(kRowsOfPart) * AffineIndex::of(part), kRowsOfPart, std::nullopt};
  Index at = {AffineIndex::of(part)};
  at.insert(at.end(), base_.begin(), base_.end());
  builder_.store(sums, at,
                 kind(sum) == Kind::contraction ? contract(sum, base_, rows) : reduce(sum, base_, rows));
  return finish();
}

BufferId GroupEmitter::add_part_buffer(ValueId sum, bool is_written) {
  Shape parts = {row_parts_of(c_.graph, sum)->count};
  parts.insert(parts.end(), shape(sum).begin(), shape(sum).end());
  return add_buffer({c_.graph.type(sum).element, parts},
                    {BufferRef::Space::workspace, c_.storage.part_slots[static_cast<std::size_t>(g_)]},
                    is_written);
}

std::optional<GroupEmitter::PartOfSum> GroupEmitter::rows_behind_parts(ValueId v, const Index& index) {
  const Group& group = c_.grouping.groups[static_cast<std::size_t>(g_)];
  const bool has_parts = c_.storage.part_slots[static_cast<std::size_t>(g_)] != Storage::kNoSlot;
  if (!has_parts || v != group.members.front()) return std::nullopt;
  const RowParts parts = *row_parts_of(c_.graph, v);
  const BufferId sums = add_part_buffer(v, false);
  const ir::VarId part = builder_.new_var();
  Index at = {AffineIndex::of(part)};
  at.insert(at.end(), index.begin(), index.end());
  open_reduce({{part, parts.count}}, 0, 1);
  const Scalar before = close_reduce(ir::Reducer::sum, {builder_.load(sums, at)});
  return PartOfSum{{Dim(kRowsOfPart) * parts.count, {}, {}}, parts.rest, before};
}

std::int64_t GroupEmitter::column_chunk(std::int64_t columns) {
  const std::int64_t chunk = divisor(columns, 16, 64);
  return chunk > 0 ? chunk : columns;
}

std::vector<ir::Reduce::Range> GroupEmitter::contracted_ranges(ValueId v) const {
  const Node& node = c_.graph.producer(v);
  const ir::ops::EinsumSpec spec = ir::ops::parse_einsum(std::get<std::string>(node.attributes[0]));
  std::vector<ir::Reduce::Range> ranges;
  for (Dim& extent : contracted_extents(c_.graph, node, spec)) ranges.push_back({{}, std::move(extent)});
  return ranges;
}

/// The same as eval() where no turn that runs reads the zeros of `pads`.
Scalar GroupEmitter::eval_inside(ValueId v, Index index, std::span<const ValueId> pads) {
  while (!is_buffer(v) && is_layout(c_.graph.producer(v).op) && c_.graph.producer(v).operand_count == 1) {
    const Node& node = c_.graph.producer(v);
    if (node.op == Op::pad_ && std::ranges::find(pads, v) == pads.end()) break;
    std::optional<OperandAccess> access = operand_access(c_.graph, node, index);
    if (!access) break;
    v = c_.graph.operands(node)[0];
    index = std::move(access->index);
  }
  return eval(v, index);
}

Scalar GroupEmitter::contract(ValueId v, const Index& index, const std::optional<PartOfSum>& part) {
  const Node& node = c_.graph.producer(v);
  const ir::ops::EinsumSpec spec = ir::ops::parse_einsum(std::get<std::string>(node.attributes[0]));
  std::vector<ir::Reduce::Range> ranges = contracted_ranges(v);
  std::map<char, AffineIndex> at;
  for (std::size_t i = 0; i < spec.result.size(); ++i) at[spec.result[i]] = index[i];
  for (std::size_t i = 0; i < ranges.size(); ++i) {
    ranges[i].var = builder_.new_var();
    at[spec.contracted[i]] = AffineIndex::of(ranges[i].var);
    if (!part || i > 0) continue;
    ranges[i].extent = part->turns;
    at[spec.contracted[i]] = part->first + at[spec.contracted[i]];
  }
  const Clips clips = clips_of(c_.graph, v);
  std::vector<ir::Reduce::Clip> clips_of_turns;
  for (const Clips::Clip& clip : clips.clips) {
    ir::Reduce::Clip& out = clips_of_turns.emplace_back(AffineIndex{clip.constant, {}, {}}, clip.extent);
    for (const auto& [letter, factor] : clip.terms) out.index = out.index + Dim(factor) * at[letter];
  }
  if (!ranges.empty()) open_reduce(ranges, 0, reduce_unroll_, std::move(clips_of_turns));
  std::vector<Scalar> factors;
  for (std::size_t k = 0; k < spec.operands.size(); ++k) {
    Index operand_at;
    for (char letter : spec.operands[k]) operand_at.push_back(at[letter]);
    if (packed_ && packed_->packing.operand == k)
      factors.push_back(
          builder_.load(packed_->buffer, {packed_->panel_index, operand_at[0], packed_->column_index}));
    else if (chunk_ && chunk_->operand == k)
      factors.push_back(
          builder_.load(chunk_->buffer, {chunk_->chunk, AffineIndex::of(ranges[0].var), chunk_->row}));
    else if (turned_ && turned_operand(node) == k)
      factors.push_back(builder_.load(turned_->buffer, {turned_->chunk, operand_at[1], turned_->row}));
    else
      factors.push_back(eval_inside(c_.graph.operands(node)[k], std::move(operand_at), clips.pads[k]));
  }
  // a · b · c: the first factors are multiplied, the last joins in the FMA.
  while (factors.size() > 2 || (ranges.empty() && factors.size() > 1)) {
    factors[1] = builder_.mul(factors[0], factors[1]);
    factors.erase(factors.begin());
  }
  if (ranges.empty()) return factors.front();
  return close_reduce(factors.size() == 2 ? ir::Reducer::fma : ir::Reducer::sum, factors,
                      part ? part->before : std::nullopt);
}

}  // namespace mlpc::lowering
