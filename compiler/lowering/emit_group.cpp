#include "compiler/lowering/emit_group.h"

#include <algorithm>
#include <set>

#include "compiler/lowering/convolution.h"
#include "compiler/lowering/group_emitter.h"
#include "compiler/lowering/roots.h"
#include "ir/error.h"
#include "ir/ops/einsum.h"

namespace mlpc::lowering {

namespace {

/// Layout ops whose elements are other ones than the operand's at the same place.
bool is_part(Op op) {
  return is_layout(op) && op != Op::broadcast_ && op != Op::reshape_ && op != Op::transpose_ &&
         op != Op::recompute_;
}

}  // namespace

EmittedKernel GroupEmitter::group(bool few_rows) {
  has_few_rows_ = few_rows;
  const Group& group = c_.grouping.groups[static_cast<std::size_t>(g_)];
  is_flat_ = is_flat(group);
  space_ = is_flat_ ? Shape{product(group.space)} : group.space;
  if (group.is_scatter) {
    emit_scatter(group.members.front());
    return finish();
  }
  if (group.is_contraction && !few_rows && has_rows_in_lanes(c_.graph, group.members.front())) {
    emit_rows_in_lanes(group);
    return finish();
  }
  if (is_packed_gradient(c_, static_cast<std::size_t>(g_)) && !few_rows) {
    emit_packed_gradient(group);
    return finish();
  }
  const std::uint32_t sums = c_.storage.scratch_slots[static_cast<std::size_t>(g_)];
  if (sums != Storage::kNoSlot && !few_rows) {
    const BufferRef place{BufferRef::Space::workspace, sums};
    if (depth_blocks_of(c_.graph, group.members.front())->row_chunk > 0)
      emit_gradient(group, place);
    else
      emit_blocked(group, place);
    return finish();
  }
  open_space(group);
  if (group.is_cumulative) {
    emit_cumulative(group.members.front());
    return finish();
  }
  for (ValueId member : group.members) emit_member(member);
  return finish();
}

EmittedKernel GroupEmitter::copy(const Storage::Copy& copy) {
  const ir::Type& type = c_.graph.type(copy.value);
  space_ = type.rank() == 0 ? Shape{} : Shape{type.element_count()};
  is_flat_ = true;
  open_levels(plan_loops({.space = space_, .widest = type.element}, c_.target, c_.level));
  add_store(add_buffer({type.element, space_}, copy.to, true), base_, load(copy.value, space_, base_));
  return finish();
}

bool GroupEmitter::is_flat(const Group& group) const {
  const std::size_t rank = group.space.size();
  if (rank < 2) return false;
  const auto is_plain = [&](ValueId m) { return kind(m) == Kind::elementwise && shape(m).size() == rank; };
  const auto is_whole = [&](const Grouping::Read& read) {
    const std::size_t operand_rank = shape(read.value).size();
    return operand_rank == 0 || (operand_rank == rank && read.prefix == rank);
  };
  return std::ranges::all_of(group.members, is_plain) &&
         std::ranges::all_of(c_.grouping.reads[static_cast<std::size_t>(g_)], is_whole) &&
         std::ranges::none_of(group.members, [&](ValueId m) { return reads_index(m); });
}

/// `in_order`: v's elements have the row-major order of the space, which is enough for random numbers.
bool GroupEmitter::reads_index(ValueId v, bool in_order) const {
  const Node& node = c_.graph.producer(v);
  const auto* source = std::get_if<ir::SourceLowering>(&ir::def(node.op).lowering);
  if (source && !shape(v).empty() && !(source->is_random && in_order)) return true;
  if (is_part(node.op)) return true;
  const bool stay_in_order = in_order && node.op != Op::transpose_ && node.op != Op::broadcast_;
  return std::ranges::any_of(c_.graph.operands(node), [&](ValueId o) {
    return kind(o) == Kind::inlined && reads_index(o, stay_in_order);
  });
}

bool GroupEmitter::runs_in_lanes_inside(ValueId member) const {
  if (is_flat_) return false;
  if (shape(member).size() > space_.size()) return true;
  if (kind(member) != Kind::reduction) return false;
  return lanes_of_reduction(member) > 0;
}

void GroupEmitter::open_space(const Group& group) {
  const LoopPlan plan = plan_of(group);
  reduce_unroll_ = plan.reduce_unroll;
  if (plan.panel > 0) packed_.emplace(*packing_of(c_.graph, group.members.front()), plan.panel);
  open_levels(plan);
}

LoopPlan GroupEmitter::plan_of(const Group& group) const {
  GroupShape s{space_, group.is_contraction};
  for (ValueId m : group.members) {
    const ElementType type = c_.graph.type(m).element;
    if (ir::size_of(type) > ir::size_of(s.widest)) s.widest = type;
    if (group.is_contraction) continue;
    s.has_lanes_inside |= runs_in_lanes_inside(m);
    s.work = Dim::max(s.work, work_of(m));
  }
  if (group.is_contraction) {
    s.work = work_of(group.members.front());
    s.convolution = convolution_shape(c_.graph, group.members.front());
    if (s.convolution) s.convolution->is_clipped = !clips_of(c_.graph, group.members.front()).clips.empty();
    const bool rows_in_lanes = has_rows_in_lanes(c_.graph, group.members.front());
    s.has_rows_in_lanes = rows_in_lanes && !has_few_rows_;
    s.turned_rows = turned_rows(c_.near_bytes);
    s.is_turned_in_registers = rows_in_lanes && has_few_rows_;
  }
  s.cost = cost_of(group);
  s.turned_axis = turned_axis(group);
  const std::uint32_t slot = c_.storage.packed_slots[static_cast<std::size_t>(g_)];
  const bool is_gradient = is_packed_gradient(c_, static_cast<std::size_t>(g_));
  s.has_few_rows = has_few_rows_ && !is_gradient;
  s.is_packed = slot != Storage::kNoSlot && !has_few_rows_ && !s.has_rows_in_lanes && !is_gradient;
  if (s.is_packed && packs_in_tasks(c_, static_cast<std::size_t>(g_))) {
    const Packing packing = *packing_of(c_.graph, group.members.front());
    s.task_panel = panel_in_task(packing, c_.near_bytes);
  }
  s.is_blocked = c_.storage.scratch_slots[static_cast<std::size_t>(g_)] != Storage::kNoSlot &&
                 !has_few_rows_ && !s.has_rows_in_lanes;
  if (is_gradient && !has_few_rows_) {
    s.is_blocked = true;
    s.row_chunk = packed_gradient(c_.graph, group.members.front(), c_.near_bytes)->blocks.row_chunk;
  } else if (s.is_blocked) {
    s.row_chunk = depth_blocks_of(c_.graph, group.members.front())->row_chunk;
  }
  return plan_loops(s, c_.target, c_.runs_once && !group.is_contraction ? std::min(c_.level, 1) : c_.level);
}

std::int64_t GroupEmitter::cost_of(const Group& group) const {
  constexpr std::int64_t kDear = 8;
  std::int64_t cost = 1;
  std::set<std::uint32_t> seen;
  std::vector<ValueId> open = group.members;
  while (!open.empty()) {
    const ValueId v = open.back();
    open.pop_back();
    if (!seen.insert(v.index).second) continue;
    const Node& node = c_.graph.producer(v);
    if (ir::def(node.op).is_dear) cost += kDear;
    for (ValueId operand : c_.graph.operands(node))
      if (kind(operand) == Kind::inlined) open.push_back(operand);
  }
  return cost;
}

std::optional<std::size_t> GroupEmitter::turned_axis(const Group& group) const {
  const Node& node = c_.graph.producer(group.members.front());
  if (group.members.size() != 1 || node.op != Op::transpose_) return std::nullopt;
  const Integers& permutation = std::get<Integers>(node.attributes[0]);
  return std::ranges::max_element(permutation) - permutation.begin();
}

Dim GroupEmitter::work_of(ValueId member) const {
  if (is_flat_) return 1;
  const Node& node = c_.graph.producer(member);
  Dim work = 1;
  for (std::size_t axis = space_.size(); axis < shape(member).size(); ++axis)
    work = work * shape(member)[axis];
  if (node.op == Op::fold_) return work * shape(c_.graph.operands(node)[0])[folded_axis(node) + 1];
  if (kind(member) == Kind::reduction)
    for (std::int64_t axis : reduced_axes(node))
      work = work * shape(c_.graph.operands(node)[0])[static_cast<std::size_t>(axis)];
  if (kind(member) == Kind::contraction)
    for (const ir::Reduce::Range& range : contracted_ranges(member)) work = work * range.extent;
  return work;
}

void GroupEmitter::open_levels(const LoopPlan& plan) {
  base_.assign(space_.size(), {});
  for (const LoopPlan::Level& level : plan.levels) {
    if (!packed_ || level.axis + 1 != space_.size()) {
      open_level(level);
      continue;
    }
    const ir::VarId var = builder_.new_var();
    if (level.task_block > 0) builder_.add_task_split(var, level.task_block);
    if (!level.schedule.lanes) {
      base_[level.axis] = Dim(plan.panel) * AffineIndex::of(var);
      open(var, Dim::floordiv(space_[level.axis], plan.panel), level.schedule);
      packed_->panel_index = AffineIndex::of(var);
      if (c_.storage.is_packed_before[static_cast<std::size_t>(g_)])
        packed_->buffer = add_packed_buffer(false);
      else
        pack_panel();
    } else {
      packed_->column_index = AffineIndex::of(var);
      base_[level.axis] = base_[level.axis] + packed_->column_index;
      open(var, plan.panel, level.schedule);
    }
  }
  space_depth_ = builder_.open_blocks();
}

void GroupEmitter::open(ir::VarId var, const Dim& extent, ir::LoopSchedule schedule,
                        std::optional<ir::Loop::Limit> limit) {
  builder_.open_loop(var, extent, schedule, std::move(limit));
  memo_.emplace_back();
}

void GroupEmitter::open_part(ir::VarId var, std::int64_t turns, const AffineIndex& first, const Dim& end,
                             ir::LoopSchedule schedule) {
  const bool are_whole = end.constant().value_or(1) % turns == 0;
  open(var, turns, schedule, are_whole ? std::nullopt : std::optional(ir::Loop::Limit{first, end}));
}

void GroupEmitter::close() {
  flush_stores();
  builder_.close_loop();
  memo_.pop_back();
}

EmittedKernel GroupEmitter::finish() {
  while (builder_.open_blocks() > 1) close();
  flush_stores();
  return {builder_.finish(), std::move(refs_)};
}

void GroupEmitter::open_level(const LoopPlan::Level& level) {
  const ir::VarId var = builder_.new_var();
  if (level.task_block > 0) builder_.add_task_split(var, level.task_block);
  if (level.tile > 0) {
    base_[level.axis] = Dim(level.tile) * AffineIndex::of(var);
    open(var, Dim::ceildiv(space_[level.axis], level.tile), {});
  } else {
    base_[level.axis] = AffineIndex::of(var);
    open(var, space_[level.axis], level.schedule);
  }
  space_depth_ = builder_.open_blocks();
}

BufferId GroupEmitter::add_buffer(ir::Type type, const BufferRef& ref, bool is_written) {
  refs_.push_back(ref);
  return builder_.add_buffer(fmt::format("b{}", refs_.size() - 1), std::move(type), is_written);
}

BufferId GroupEmitter::written_buffer(ValueId v, std::size_t place) {
  const auto [it, is_new] = written_.try_emplace({v, place});
  if (is_new)
    it->second = add_buffer({c_.graph.type(v).element, is_flat_ ? space_ : shape(v)},
                            c_.storage.places[v.index][place], true);
  return it->second;
}

Scalar GroupEmitter::load(ValueId v, const Shape& as_shape, const Index& index) {
  flush_stores_of(v);
  if (is_own(v) && as_shape == (is_flat_ ? space_ : shape(v)))
    return builder_.load(written_buffer(v, 0), index, guard_);
  const auto& places = c_.storage.places[v.index];
  MLPC_CHECK(!places.empty(), "graph {}: value {} is read but not stored", c_.graph.name, v.index);
  const auto found =
      std::ranges::find_if(reads_, [&](const auto& r) { return r.value == v && r.shape == as_shape; });
  if (found != reads_.end()) return builder_.load(found->buffer, index, guard_);
  reads_.push_back({v, as_shape, add_buffer({c_.graph.type(v).element, as_shape}, places.front(), false)});
  return builder_.load(reads_.back().buffer, index, guard_);
}

void GroupEmitter::flush_stores_from(std::size_t depth) {
  std::erase_if(stores_, [&](PendingStore& s) {
    if (s.depth < depth) return false;
    builder_.store(s.buffer, std::move(s.index), s.value);
    return true;
  });
}

void GroupEmitter::add_store(BufferId buffer, Index index, Scalar value) {
  stores_.push_back({buffer, std::move(index), value, builder_.open_blocks()});
}

void GroupEmitter::flush_stores_of(ValueId v) {
  const auto is_of_v = [&](const PendingStore& s) {
    const auto found = written_.find({v, 0});
    return found != written_.end() && found->second == s.buffer;
  };
  if (std::ranges::any_of(stores_, is_of_v)) flush_stores_from(0);
}

namespace {

/// Where the number of rows of a contraction y = x W is free, few of them have a kernel of their own, and so
/// have few turns of a packed gradient. Not where W is turned before: that kernel does for any number of
/// rows.
std::optional<ir::CallGuard> many_rows(const EntryContext& c, std::size_t g) {
  const Group& group = c.grouping.groups[g];
  if (is_packed_gradient(c, g)) {
    const Dim depth = packed_gradient(c.graph, group.members.front(), c.near_bytes)->packing.depth;
    return depth.is_constant() ? std::nullopt : std::optional(ir::CallGuard{depth, kFewTurns});
  }
  if (!group.is_contraction || c.level < 2 || group.space.size() != 2 || group.space[0].is_constant())
    return std::nullopt;
  if (has_rows_in_lanes(c.graph, group.members.front()))
    return ir::CallGuard{group.space[0], kFewRowsInLanes};
  const Node& node = c.graph.producer(group.members.front());
  const ir::ops::EinsumSpec spec = ir::ops::parse_einsum(std::get<std::string>(node.attributes[0]));
  const char row = spec.result[0], column = spec.result[1];
  for (std::size_t k = 0; k < spec.operands.size(); ++k) {
    const bool has_rows = spec.operands[k].find(row) != std::string::npos;
    const bool is_streamed = spec.operands[k].find(column) != std::string::npos;
    if (has_rows == is_streamed || (has_rows && spec.operands[k].front() != row)) return std::nullopt;
    if (is_streamed && c.graph.producer(c.graph.operands(node)[k]).op == Op::transpose_) return std::nullopt;
  }
  return ir::CallGuard{group.space[0], kFewRows};
}

}  // namespace

std::vector<EmittedKernel> emit_group(const EntryContext& context, std::size_t group) {
  std::vector<EmittedKernel> out;
  out.push_back(GroupEmitter(context, group, "").group(false));
  if (std::optional<ir::CallGuard> guard = many_rows(context, group)) {
    out.push_back(GroupEmitter(context, group, "").group(true));
    out[0].guard = guard;
    guard->negated = true;
    out[1].guard = std::move(guard);
  }
  return out;
}

bool packs_in_tasks(const EntryContext& context, std::size_t group) {
  const ValueId first = context.grouping.groups[group].members.front();
  return context.storage.packed_slots[group] != Storage::kNoSlot &&
         !context.storage.is_packed_before[group] && !has_rows_in_lanes(context.graph, first);
}

EmittedKernel emit_turning(const EntryContext& context, std::size_t group) {
  EmittedKernel out = GroupEmitter(context, group, "").turning();
  out.guard = many_rows(context, group);
  return out;
}

EmittedKernel emit_row_parts(const EntryContext& context, std::size_t group) {
  EmittedKernel out = GroupEmitter(context, group, "").row_parts();
  const ValueId sum = context.grouping.groups[group].members.front();
  const RowParts parts = *row_parts_of(context.graph, sum);
  if (!parts.rows.is_constant()) out.guard = ir::CallGuard{parts.rows, kRowsOfPart};
  return out;
}

EmittedKernel emit_packing(const EntryContext& context, std::size_t group) {
  EmittedKernel out = GroupEmitter(context, group, "").packing();
  out.guard = many_rows(context, group);
  return out;
}

EmittedKernel emit_copy(const EntryContext& context, const Storage::Copy& copy) {
  return GroupEmitter(context, static_cast<std::size_t>(Grouping::kNone), "").copy(copy);
}

}  // namespace mlpc::lowering
