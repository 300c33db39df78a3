#include "compiler/lowering/emit_group.h"

#include <algorithm>
#include <map>
#include <unordered_map>
#include <utility>

#include "compiler/lowering/access.h"
#include "compiler/lowering/convolution.h"
#include "compiler/lowering/packing.h"
#include "compiler/lowering/roots.h"
#include "compiler/lowering/schedule.h"
#include "ir/error.h"
#include "ir/kernel_builder.h"
#include "ir/node_view.h"
#include "ir/ops/einsum.h"

namespace mlpc::lowering {
namespace {

using ir::AffineIndex;
using ir::BufferId;
using ir::BufferRef;
using ir::Dim;
using ir::ElementType;
using ir::Graph;
using ir::Integers;
using ir::KernelBuilder;
using ir::Node;
using ir::Op;
using ir::Scalar;
using ir::Shape;
using ir::ValueId;
using Index = std::vector<AffineIndex>;

/// Layout ops whose elements are other ones than the operand's at the same place.
bool is_part(Op op) {
  return is_layout(op) && op != Op::broadcast_ && op != Op::reshape_ && op != Op::transpose_ &&
         op != Op::recompute_;
}

Dim product(const Shape& shape) { return ir::Type{ElementType::f32, shape}.element_count(); }

class GroupEmitter {
 public:
  GroupEmitter(const EntryContext& context, std::size_t g, std::string name)
      : c_(context), g_(static_cast<std::int32_t>(g)), builder_(std::move(name)) {}

  /// `few_rows`: for a contraction of fewer than kFewRows rows.
  EmittedKernel group(bool few_rows) {
    has_few_rows_ = few_rows;
    const Group& group = c_.grouping.groups[static_cast<std::size_t>(g_)];
    is_flat_ = is_flat(group);
    space_ = is_flat_ ? Shape{product(group.space)} : group.space;
    if (group.is_scatter) {
      emit_scatter(group.members.front());
      return finish();
    }
    const std::uint32_t sums = c_.storage.sum_slots[static_cast<std::size_t>(g_)];
    if (sums != Storage::kNoSlot && !few_rows) {
      emit_blocked(group, {BufferRef::Space::workspace, sums});
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

  EmittedKernel packing() {
    const Group& group = c_.grouping.groups[static_cast<std::size_t>(g_)];
    space_ = group.space;
    const LoopPlan plan = plan_of(group);
    packed_.emplace(*packing_of(c_.graph, group.members.front()), plan.panel);
    const ir::VarId panel = builder_.new_var();
    packed_->panel_index = AffineIndex::of(panel);
    open(panel, panel_count(), {});
    pack_panel();
    return finish();
  }

  EmittedKernel copy(const Storage::Copy& copy) {
    const ir::Type& type = c_.graph.type(copy.value);
    space_ = type.rank() == 0 ? Shape{} : Shape{type.element_count()};
    is_flat_ = true;
    open_levels(plan_loops({.space = space_, .widest = type.element}, c_.target, c_.level));
    add_store(add_buffer({type.element, space_}, copy.to, true), base_, load(copy.value, space_, base_));
    return finish();
  }

 private:
  struct PendingStore {
    BufferId buffer;
    Index index;
    Scalar value;
    std::size_t depth;  // of the block that it stands in
  };

  Kind kind(ValueId v) const { return c_.grouping.kinds[v.index]; }
  bool is_buffer(ValueId v) const { return kind(v) != Kind::inlined; }
  bool is_own(ValueId v) const { return c_.grouping.group_of[v.index] == g_ && g_ != Grouping::kNone; }
  const Shape& shape(ValueId v) const { return c_.graph.type(v).shape; }

  // ---- The loops over the space ----

  /// Whether every member is elementwise and reads nothing but whole arrays of the space's shape and scalars:
  /// then one loop over all elements does.
  bool is_flat(const Group& group) const {
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

  /// Whether the inlined expression below v (v's own op included) depends on the index itself.
  bool reads_index(ValueId v) const {
    const Node& node = c_.graph.producer(v);
    const bool is_source = std::holds_alternative<ir::SourceLowering>(ir::def(node.op).lowering);
    if (is_source && shape(v).size() > 0) return true;
    if (is_part(node.op)) return true;
    return std::ranges::any_of(c_.graph.operands(node),
                               [&](ValueId o) { return kind(o) == Kind::inlined && reads_index(o); });
  }

  bool runs_in_lanes_inside(ValueId member) const {
    if (is_flat_) return false;
    if (shape(member).size() > space_.size()) return true;
    if (kind(member) != Kind::reduction) return false;
    return lanes_of_reduction(member) > 0;
  }

  void open_space(const Group& group) {
    const LoopPlan plan = plan_of(group);
    reduce_unroll_ = plan.reduce_unroll;
    if (plan.panel > 0) packed_.emplace(*packing_of(c_.graph, group.members.front()), plan.panel);
    open_levels(plan);
  }

  LoopPlan plan_of(const Group& group) const {
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
      const Node& node = c_.graph.producer(group.members.front());
      s.has_rows_in_lanes =
          has_rows_in_lanes(c_.graph, ir::ops::parse_einsum(std::get<std::string>(node.attributes[0])),
                            c_.graph.operands(node));
    }
    s.turned_axis = turned_axis(group);
    s.has_few_rows = has_few_rows_;
    const std::uint32_t slot = c_.storage.packed_slots[static_cast<std::size_t>(g_)];
    s.is_packed = slot != Storage::kNoSlot && !has_few_rows_;
    s.is_blocked = c_.storage.sum_slots[static_cast<std::size_t>(g_)] != Storage::kNoSlot && !has_few_rows_;
    return plan_loops(s, c_.target, c_.runs_once && !group.is_contraction ? std::min(c_.level, 1) : c_.level);
  }

  /// The axis of the space along which a transposing copy reads with stride 1.
  std::optional<std::size_t> turned_axis(const Group& group) const {
    const Node& node = c_.graph.producer(group.members.front());
    if (group.members.size() != 1 || node.op != Op::transpose_) return std::nullopt;
    const Integers& permutation = std::get<Integers>(node.attributes[0]);
    return std::ranges::max_element(permutation) - permutation.begin();
  }

  /// Elements or multiply-adds at one point of the space.
  Dim work_of(ValueId member) const {
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

  void open_levels(const LoopPlan& plan) {
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

  // ---- The packed operand: [panel, depth, column of the panel] ----

  struct Packed {
    Packed(Packing p, std::int64_t width) : packing(std::move(p)), panel(width) {}
    Packing packing;
    std::int64_t panel;  // columns
    AffineIndex panel_index, column_index;
    BufferId buffer;
  };

  Dim panel_count() const { return Dim::floordiv(packed_->packing.columns, packed_->panel); }

  BufferId add_packed_buffer(bool is_written) {
    const ElementType type =
        c_.graph.type(c_.grouping.groups[static_cast<std::size_t>(g_)].members.front()).element;
    return add_buffer({type, {panel_count(), packed_->packing.depth, packed_->panel}},
                      {BufferRef::Space::workspace, c_.storage.packed_slots[static_cast<std::size_t>(g_)]},
                      is_written);
  }

  /// Turned operands are read in blocks of lanes × lanes, which registers turn.
  void pack_panel() {
    const ValueId contraction = c_.grouping.groups[static_cast<std::size_t>(g_)].members.front();
    const ValueId operand = c_.graph.operands(c_.graph.producer(contraction))[packed_->packing.operand];
    packed_->buffer = add_packed_buffer(true);
    const ir::VarId depth = builder_.new_var(), column = builder_.new_var();
    const bool is_turned = c_.graph.producer(operand).op == Op::transpose_;
    open(depth, packed_->packing.depth, {c_.level >= 2 && is_turned ? c_.target.lanes : 1, false});
    open(column, packed_->panel, {is_turned ? 1 : static_cast<int>(packed_->panel) / c_.target.lanes, true});
    const AffineIndex d = AffineIndex::of(depth), c = AffineIndex::of(column);
    const Scalar element = eval(operand, {d, Dim(packed_->panel) * packed_->panel_index + c});
    builder_.store(packed_->buffer, {packed_->panel_index, d, c}, element);
    close();
    close();
  }

  void open(ir::VarId var, const Dim& extent, ir::LoopSchedule schedule) {
    builder_.open_loop(var, extent, schedule);
    memo_.emplace_back();
  }

  void close() {
    flush_stores();
    builder_.close_loop();
    memo_.pop_back();
  }

  EmittedKernel finish() {
    while (builder_.open_blocks() > 1) close();
    flush_stores();
    return {builder_.finish(), std::move(refs_)};
  }

  // ---- A contraction whose sum runs in blocks ----

  void emit_blocked(const Group& group, const BufferRef& place) {
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
      for (const LoopPlan::Level& level : inner)
        open_level({level.axis, {jams ? level.schedule.unroll : 1, level.schedule.lanes}});
      for (const LoopPlan::Level& level : around) {
        if (level.tile == 0) continue;
        const ir::VarId var = builder_.new_var();
        base_[level.axis] = tile[level.axis] + AffineIndex::of(var);
        open(var, level.tile, {jams ? level.schedule.unroll : 1, false});
      }
      body();
      while (builder_.open_blocks() > outside) close();
    };
    for_each_row(true, [&] {
      const Scalar zero = builder_.constant(type, 0);
      builder_.store(
          sums, in_order(base_),
          blocks.first == Dim(0) ? zero : contract(contraction, base_, PartOfSum{{}, blocks.first, zero}));
    });
    const ir::VarId block = builder_.new_var();
    const Scalar nothing =
        builder_.open_recurrence(block, blocks.count, ir::Constant::of_integer(ElementType::i64, 0));
    memo_.emplace_back();
    for_each_row(true, [&] {
      const AffineIndex first = AffineIndex{blocks.first, {}, {}} + Dim(blocks.size) * AffineIndex::of(block);
      const PartOfSum part{first, blocks.size, builder_.load(sums, in_order(base_))};
      builder_.store(sums, in_order(base_), contract(contraction, base_, part));
    });
    memo_.pop_back();
    builder_.close_recurrence(nothing);
    for_each_row(false, [&] {
      finish_member(contraction, base_, builder_.load(sums, in_order(base_)));
      for (ValueId member : group.members)
        if (member != contraction) emit_member(member);
    });
  }

  void open_level(const LoopPlan::Level& level) {
    const ir::VarId var = builder_.new_var();
    if (level.task_block > 0) builder_.add_task_split(var, level.task_block);
    if (level.tile > 0) {
      base_[level.axis] = Dim(level.tile) * AffineIndex::of(var);
      open(var, Dim::floordiv(space_[level.axis], level.tile), {});
    } else {
      base_[level.axis] = AffineIndex::of(var);
      open(var, space_[level.axis], level.schedule);
    }
    space_depth_ = builder_.open_blocks();
  }

  // ---- Members ----

  void emit_member(ValueId v) {
    const bool is_reduction = kind(v) == Kind::reduction;
    const Index index = open_inner(v, !is_reduction || lanes_of_reduction(v) == 0);
    Scalar value;
    if (is_reduction)
      value = reduce(v, index);
    else if (kind(v) == Kind::contraction)
      value = contract(v, index);
    else
      value = compute(v, index);
    finish_member(v, index, value);
  }

  void finish_member(ValueId v, const Index& index, Scalar value) {
    remember(v, index, value);
    const auto& places = c_.storage.places[v.index];
    for (std::size_t i = 0; i < places.size(); ++i) add_store(written_buffer(v, i), index, value);
  }

  /// A recurrence along the axis behind the space, inside loops over the axes behind that.
  void emit_cumulative(ValueId v) {
    const Node& node = c_.graph.producer(v);
    const auto& lowering = std::get<ir::CumulativeLowering>(ir::def(node.op).lowering);
    const std::size_t axis = space_.size(), rank = shape(v).size();
    Index index = base_;
    index.resize(rank);
    for (std::size_t i = axis + 1; i < rank; ++i) {
      const ir::VarId var = builder_.new_var();
      index[i] = AffineIndex::of(var);
      open(var, shape(v)[i], {1, i + 1 == rank});
    }
    const ir::VarId turn = builder_.new_var();
    const bool is_reverse = std::get<std::int64_t>(node.attributes[1]) != 0;
    index[axis] = is_reverse ? AffineIndex{shape(v)[axis] - Dim(1), {{turn, -1}}, {}} : AffineIndex::of(turn);
    const ir::Constant start = ir::Constant::of(c_.graph.type(v).element, lowering.start);
    const Scalar before = builder_.open_recurrence(turn, shape(v)[axis], start);
    memo_.emplace_back();
    std::vector<Scalar> operands;
    for (ValueId o : c_.graph.operands(node)) operands.push_back(eval(o, index));
    const Scalar after = lowering.step(builder_, before, operands);
    for (std::size_t i = 0; i < c_.storage.places[v.index].size(); ++i)
      builder_.store(written_buffer(v, i), index, lowering.is_delayed ? before : after);
    memo_.pop_back();
    builder_.close_recurrence(after);
  }

  /// Columns in lanes and tasks; of some columns, zeros first, then row after row in the order of the ids.
  /// The turns of the recurrence meet in memory and hand nothing else on.
  void emit_scatter(ValueId v) {
    const Node& node = c_.graph.producer(v);
    const ValueId ids = c_.graph.operands(node)[0], updates = c_.graph.operands(node)[1];
    const ElementType type = c_.graph.type(v).element;
    const Dim rows = shape(v)[0], width = product({shape(v).begin() + 1, shape(v).end()}),
              count = product(shape(ids));
    std::vector<BufferId> sums;
    for (const BufferRef& place : c_.storage.places[v.index])
      sums.push_back(add_buffer({type, {rows, width}}, place, true));
    const ir::VarId column = builder_.new_var(), row = builder_.new_var(), once = builder_.new_var(),
                    turn = builder_.new_var();
    const int vectors = c_.level < 2 ? 1 : 4;
    const std::int64_t block = std::int64_t{vectors} * c_.target.lanes;
    if (width.constant().value_or(block + 1) > block) builder_.add_task_split(column, block);
    open(column, width, {vectors, true});
    open(row, rows, {});
    for (BufferId sum : sums)
      builder_.store(sum, {AffineIndex::of(row), AffineIndex::of(column)}, builder_.constant(type, 0));
    close();
    open(once, rows + 1 - Dim::max(rows, 1), {});  // not where there are no rows
    const Scalar nothing =
        builder_.open_recurrence(turn, count, ir::Constant::of_integer(ElementType::i64, 0));
    memo_.emplace_back();
    const Scalar id = load(ids, {count}, {AffineIndex::of(turn)});
    const Index at = {{0, {}, clamped(id, rows).id}, AffineIndex::of(column)};
    const Scalar update = load(updates, {count, width}, {AffineIndex::of(turn), AffineIndex::of(column)});
    for (BufferId sum : sums) builder_.store(sum, at, builder_.add(builder_.load(sum, at), update));
    memo_.pop_back();
    builder_.close_recurrence(nothing);
  }

  /// Loops over the axes of a member beyond the space; those that are open are used again if they are the
  /// same, and the member reads nothing there that a later turn of them makes.
  Index open_inner(ValueId v, bool in_lanes) {
    const Shape inner =
        is_flat_ ? Shape{}
                 : Shape(shape(v).begin() + static_cast<std::ptrdiff_t>(space_.size()), shape(v).end());
    const bool is_apart = in_lanes != inner_in_lanes_ || c_.grouping.is_turned[v.index];
    if (inner != inner_shape_ || (is_apart && !inner.empty())) {
      while (builder_.open_blocks() > space_depth_) close();
      inner_shape_ = inner;
      inner_in_lanes_ = in_lanes;
      inner_.clear();
      for (std::size_t i = 0; i < inner.size(); ++i) {
        const ir::VarId var = builder_.new_var();
        inner_.push_back(AffineIndex::of(var));
        const bool is_lanes = in_lanes && i + 1 == inner.size();
        open(var, inner[i], {1, is_lanes});
      }
    }
    Index index = base_;
    index.insert(index.end(), inner_.begin(), inner_.end());
    return index;
  }

  /// The order of a reduction follows from its operand's shape and the target: over the last axis in lanes,
  /// unless that has just a few taps of windows.
  int lanes_of_reduction(ValueId v) const {
    const Node& node = c_.graph.producer(v);
    if (node.op == Op::fold_) return 0;
    const ValueId operand = c_.graph.operands(node)[0];
    const std::size_t rank = shape(operand).size();
    const Integers axes = reduced_axes(node);
    // Of 2 × 2 taps most lanes would be idle, whether they are windows themselves or what was made of them.
    constexpr std::int64_t kFewTaps = 4;
    const std::int64_t taps =
        rank > 0 ? shape(operand).back().constant().value_or(c_.target.lanes) : c_.target.lanes;
    if (taps <= kFewTaps || (taps < c_.target.lanes && reads_windows(c_.graph, operand))) return 0;
    return !axes.empty() && axes.back() == static_cast<std::int64_t>(rank) - 1 ? c_.target.lanes : 0;
  }

  /// One chain over the taps: of tap u the window (i - dilation · u) / stride lies on element i, if there is
  /// one.
  Scalar fold(const Node& node, const Index& index) {
    const ValueId operand = c_.graph.operands(node)[0];
    const std::size_t axis = folded_axis(node);
    const Dim stride = std::get<std::int64_t>(node.attributes[2]),
              dilation = std::get<std::int64_t>(node.attributes[3]);
    const ir::VarId tap = builder_.new_var();
    open_reduce({{tap, shape(operand)[axis + 1]}}, 0, 1);
    OperandAccess access{index, {}};
    AffineIndex first = index[axis] + AffineIndex{0, {{tap, Dim(0) - dilation}}, {}};
    std::optional<Scalar> divides;
    if (stride != Dim(1)) {
      const Scalar place = builder_.index_value(first), step = builder_.index_value({stride, {}, {}});
      const Scalar window = builder_.binary(ir::ScalarOp::div_, place, step);
      divides = builder_.compare(ir::ScalarOp::eq_, builder_.mul(window, step), place);
      first = {0, {}, window.id};
    }
    access.index[axis] = first;
    access.index.insert(access.index.begin() + static_cast<std::ptrdiff_t>(axis) + 1, AffineIndex::of(tap));
    access.bounds = {{first, true, shape(operand)[axis]}};
    std::optional<Scalar> inside = bounded(access.bounds);
    if (divides) inside = builder_.binary(ir::ScalarOp::and_, *divides, *inside);
    return close_reduce(ir::Reducer::sum, {eval_if(*inside, operand, access.index)});
  }

  Scalar reduce(ValueId v, const Index& index) {
    const Node& node = c_.graph.producer(v);
    if (node.op == Op::fold_) return fold(node, index);
    const ValueId operand = c_.graph.operands(node)[0];
    const Integers axes = reduced_axes(node);
    const ir::Reducer reducer = std::get<ir::ReductionLowering>(ir::def(node.op).lowering).reducer;
    Index operand_at(shape(operand).size());
    std::vector<ir::Reduce::Range> ranges;
    std::size_t kept = 0;
    for (std::size_t axis = 0; axis < operand_at.size(); ++axis) {
      if (std::ranges::find(axes, static_cast<std::int64_t>(axis)) == axes.end()) {
        operand_at[axis] = index[kept++];
        continue;
      }
      ranges.push_back({builder_.new_var(), shape(operand)[axis]});
      operand_at[axis] = AffineIndex::of(ranges.back().var);
    }
    Scalar result = reduce_ranges(v, reducer, operand, operand_at, ranges);
    return builder_.convert(result, c_.graph.type(v).element);
  }

  /// In lanes over the last range, and one chain over what is left of the others.
  Scalar reduce_ranges(ValueId v, ir::Reducer reducer, ValueId operand, const Index& operand_at,
                       std::vector<ir::Reduce::Range> ranges) {
    if (ranges.empty()) return eval(operand, operand_at);
    const int lanes = lanes_of_reduction(v);
    const bool has_outer = lanes > 0 && ranges.size() > 1;
    MLPC_CHECK(!(has_outer && reducer == ir::Reducer::argmax), "argmax over several axes");
    std::vector<ir::Reduce::Range> last = ranges;
    if (has_outer) {
      last = {ranges.back()};
      ranges.pop_back();
      open_reduce(ranges, 0, 1);
    }
    open_reduce(last, lanes, 1);
    Scalar result = close_reduce(reducer, {eval(operand, operand_at)});
    return has_outer ? close_reduce(reducer, {result}) : result;
  }

  void open_reduce(const std::vector<ir::Reduce::Range>& ranges, int lanes, int unroll) {
    builder_.open_reduce(ranges, lanes, unroll);
    memo_.emplace_back();
  }

  Scalar close_reduce(ir::Reducer reducer, std::vector<Scalar> values,
                      std::optional<Scalar> start = std::nullopt) {
    const KernelBuilder::Reduction reduction{reducer, std::move(values), start};
    memo_.pop_back();
    return builder_.close_reduce({&reduction, 1}).front();
  }

  std::vector<ir::Reduce::Range> contracted_ranges(ValueId v) const {
    const Node& node = c_.graph.producer(v);
    const ir::ops::EinsumSpec spec = ir::ops::parse_einsum(std::get<std::string>(node.attributes[0]));
    std::vector<ir::Reduce::Range> ranges;
    for (char letter : spec.contracted) {
      Dim extent;
      for (std::size_t k = 0; k < spec.operands.size(); ++k)
        if (const auto axis = spec.operands[k].find(letter); axis != std::string::npos)
          extent = shape(c_.graph.operands(node)[k])[axis];
      ranges.push_back({{}, extent});
    }
    return ranges;
  }

  /// Some turns of a sum over its first letter, and the sum over those before.
  struct PartOfSum {
    AffineIndex first;
    Dim turns;
    Scalar before;
  };

  Scalar contract(ValueId v, const Index& index, const std::optional<PartOfSum>& part = std::nullopt) {
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
    if (!ranges.empty()) open_reduce(ranges, 0, reduce_unroll_);
    std::vector<Scalar> factors;
    for (std::size_t k = 0; k < spec.operands.size(); ++k) {
      Index operand_at;
      for (char letter : spec.operands[k]) operand_at.push_back(at[letter]);
      if (packed_ && packed_->packing.operand == k)
        factors.push_back(
            builder_.load(packed_->buffer, {packed_->panel_index, operand_at[0], packed_->column_index}));
      else
        factors.push_back(eval(c_.graph.operands(node)[k], operand_at));
    }
    // a · b · c: the first factors are multiplied, the last joins in the FMA.
    while (factors.size() > 2 || (ranges.empty() && factors.size() > 1)) {
      factors[1] = builder_.mul(factors[0], factors[1]);
      factors.erase(factors.begin());
    }
    if (ranges.empty()) return factors.front();
    return close_reduce(factors.size() == 2 ? ir::Reducer::fma : ir::Reducer::sum, factors,
                        part ? std::optional(part->before) : std::nullopt);
  }

  // ---- Expressions ----

  static std::string key_of(ValueId v, const Index& index) {
    std::string key = std::to_string(v.index);
    for (const AffineIndex& i : index) {
      key += "|" + i.constant.text();
      for (const AffineIndex::Term& t : i.terms)
        key += fmt::format("+{}*{}", t.coefficient.text(), t.var.index);
      if (i.scalar) key += fmt::format("+%{}", i.scalar->index);
    }
    return key;
  }

  void remember(ValueId v, const Index& index, Scalar value) {
    memo_[builder_.depth_of(value)].insert_or_assign(key_of(v, index), value);
  }

  /// The scalar of v at an index: from registers, from its buffer, or computed here.
  Scalar eval(ValueId v, const Index& index) {
    if (guard_ && shape(v).empty()) return without_guard([&] { return eval(v, index); });
    std::string key = key_of(v, index);
    if (guard_ && is_own(v))  // it may live in registers only
      if (const std::optional<Scalar> value = remembered(key)) return *value;
    if (guard_) key += fmt::format(" if %{}", guard_->id.index);
    if (const std::optional<Scalar> value = remembered(key)) return *value;
    const Scalar value =
        is_buffer(v) ? load(v, is_flat_ && !shape(v).empty() ? space_ : shape(v), index) : compute(v, index);
    memo_[builder_.depth_of(value)].emplace(key, value);
    return value;
  }

  std::optional<Scalar> remembered(const std::string& key) const {
    for (const auto& scope : memo_)
      if (const auto found = scope.find(key); found != scope.end()) return found->second;
    return std::nullopt;
  }

  // ---- Guards: what lies below reads nothing where they are false ----

  /// Whether all bounds hold; nullopt: they always do.
  std::optional<Scalar> bounded(const std::vector<Bound>& bounds) {
    std::optional<Scalar> all;
    const auto require = [&](Scalar condition) {
      all = all ? builder_.binary(ir::ScalarOp::and_, *all, condition) : condition;
    };
    for (const Bound& bound : bounds) {
      const Scalar at = builder_.index_value(bound.index);
      if (bound.may_be_negative) require(builder_.compare(ir::ScalarOp::ge_, at, builder_.index_value({})));
      if (bound.extent)
        require(builder_.compare(ir::ScalarOp::lt_, at, builder_.index_value({*bound.extent, {}, {}})));
    }
    return all;
  }

  /// What has rank 0 is there in any case.
  template <typename F>
  Scalar without_guard(F evaluate) {
    const std::optional<Scalar> outer = std::exchange(guard_, std::nullopt);
    const Scalar value = evaluate();
    guard_ = outer;
    return value;
  }

  /// The scalar of v at an index that means something only where the condition holds.
  Scalar eval_under(Scalar condition, ValueId v, const Index& index) {
    const std::optional<Scalar> outer = guard_;
    guard_ = outer ? builder_.binary(ir::ScalarOp::and_, *outer, condition) : condition;
    const Scalar value = eval(v, index);
    guard_ = outer;
    return value;
  }

  /// The same, and 0 where the condition does not hold.
  Scalar eval_if(Scalar condition, ValueId v, const Index& index) {
    const Scalar value = eval_under(condition, v, index);
    if (is_buffer(v) && !is_own(v) && !shape(v).empty()) return value;  // loads give 0 there
    return builder_.select(condition, value, builder_.constant(value.type, 0));
  }

  /// A row's number, in a table of so many.
  Scalar clamped(Scalar id, const Dim& rows) {
    const Scalar row = builder_.convert(id, ElementType::i64), zero = builder_.index_value({});
    const Scalar last = builder_.index_value({rows - 1, {}, {}});
    const Scalar below = builder_.select(builder_.compare(ir::ScalarOp::gt_, row, last), last, row);
    return builder_.select(builder_.compare(ir::ScalarOp::lt_, below, zero), zero, below);
  }

  Scalar gather(const Node& node, const Index& index) {
    const ValueId table = c_.graph.operands(node)[0], ids = c_.graph.operands(node)[1];
    const auto split = index.begin() + static_cast<std::ptrdiff_t>(shape(ids).size());
    const Dim& rows = shape(table)[0];
    Index at = {{0, {}, clamped(eval(ids, {index.begin(), split}), rows).id}};
    at.insert(at.end(), split, index.end());
    if (rows.constant().value_or(0) > 0) return eval(table, at);
    return eval_if(*bounded({{{}, false, rows}}), table, at);
  }

  Scalar concat(const Node& node, const Index& index) {
    const auto parts = c_.graph.operands(node);
    std::optional<Scalar> value;
    for (std::size_t k = parts.size(); k-- > 0;) {
      const OperandAccess access = *operand_access(c_.graph, node, index, k);
      const std::optional<Scalar> inside = bounded(access.bounds);
      const Scalar part = inside ? eval_under(*inside, parts[k], access.index) : eval(parts[k], access.index);
      value = value ? builder_.select(*inside, part, *value) : part;
    }
    return *value;
  }

  Scalar compute(ValueId v, const Index& index) {
    const Node& node = c_.graph.producer(v);
    if (is_layout(node.op)) return compute_layout(node, index);
    const ir::NodeFacts facts(c_.graph, node);
    const ir::OpLowering& lowering = ir::def(node.op).lowering;
    std::vector<Scalar> operands;
    if (const auto* source = std::get_if<ir::SourceLowering>(&lowering)) {
      for (ValueId o : c_.graph.operands(node)) operands.push_back(eval(o, {}));
      std::vector<Scalar> at;
      for (const AffineIndex& i : index) at.push_back(builder_.index_value(i));
      return source->emit(builder_, facts.view(), operands, at);
    }
    const auto* elementwise = std::get_if<ir::ElementwiseLowering>(&lowering);
    if (!elementwise) fail("`{}` cannot be compiled yet", ir::def(node.op).name);
    for (ValueId o : c_.graph.operands(node)) operands.push_back(eval(o, index));
    return elementwise->emit(builder_, facts.view(), operands);
  }

  Scalar compute_layout(const Node& node, const Index& index) {
    const ValueId operand = c_.graph.operands(node)[0];
    if (is_flat_) return eval(operand, shape(operand).empty() ? Index{} : index);
    if (node.op == Op::gather_) return gather(node, index);
    if (node.op == Op::concat_) return concat(node, index);
    if (const std::optional<OperandAccess> access = operand_access(c_.graph, node, index)) {
      const std::optional<Scalar> inside = bounded(access->bounds);
      return inside ? eval_if(*inside, operand, access->index) : eval(operand, access->index);
    }
    return load(operand, shape(Graph::result(node)), index);  // the same elements under another shape
  }

  // ---- Buffers ----

  BufferId add_buffer(ir::Type type, const BufferRef& ref, bool is_written) {
    refs_.push_back(ref);
    return builder_.add_buffer(fmt::format("b{}", refs_.size() - 1), std::move(type), is_written);
  }

  BufferId written_buffer(ValueId v, std::size_t place) {
    const auto [it, is_new] = written_.try_emplace({v, place});
    if (is_new)
      it->second = add_buffer({c_.graph.type(v).element, is_flat_ ? space_ : shape(v)},
                              c_.storage.places[v.index][place], true);
    return it->second;
  }

  Scalar load(ValueId v, const Shape& as_shape, const Index& index) {
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

  /// Stores stand at the end of their block, after all its loads: an element that is updated in place is read
  /// first.
  void flush_stores() { flush_stores_from(builder_.open_blocks()); }
  void flush_stores_from(std::size_t depth) {
    std::erase_if(stores_, [&](PendingStore& s) {
      if (s.depth < depth) return false;
      builder_.store(s.buffer, std::move(s.index), s.value);
      return true;
    });
  }
  void add_store(BufferId buffer, Index index, Scalar value) {
    stores_.push_back({buffer, std::move(index), value, builder_.open_blocks()});
  }

  /// … unless the value is read back, from another loop.
  void flush_stores_of(ValueId v) {
    const auto is_of_v = [&](const PendingStore& s) {
      const auto found = written_.find({v, 0});
      return found != written_.end() && found->second == s.buffer;
    };
    if (std::ranges::any_of(stores_, is_of_v)) flush_stores_from(0);
  }

  struct ReadBuffer {
    ValueId value;
    Shape shape;
    BufferId buffer;
  };

  const EntryContext& c_;
  const std::int32_t g_;
  KernelBuilder builder_;
  bool is_flat_ = false;
  Shape space_;
  Index base_;  // by axis of the space
  std::size_t space_depth_ = 1;
  int reduce_unroll_ = 1;
  bool has_few_rows_ = false;
  std::optional<Packed> packed_;
  std::optional<Scalar> guard_;  // of what is evaluated
  Shape inner_shape_;
  bool inner_in_lanes_ = false;
  Index inner_;
  std::vector<std::unordered_map<std::string, Scalar>> memo_{1};  // by open block
  std::vector<PendingStore> stores_;
  std::vector<BufferRef> refs_;
  std::vector<ReadBuffer> reads_;
  std::map<std::pair<ValueId, std::size_t>, BufferId> written_;
};

/// The number of rows of a contraction y = x W where it is free: then few of them have a kernel of their own.
/// Not where W is turned, or rows run in lanes: those kernels do for any number of rows.
std::optional<Dim> free_rows(const EntryContext& c, std::size_t g) {
  const Group& group = c.grouping.groups[g];
  if (!group.is_contraction || c.level < 2 || group.space.size() != 2 || group.space[0].is_constant())
    return std::nullopt;
  const Node& node = c.graph.producer(group.members.front());
  const ir::ops::EinsumSpec spec = ir::ops::parse_einsum(std::get<std::string>(node.attributes[0]));
  const char row = spec.result[0], column = spec.result[1];
  for (std::size_t k = 0; k < spec.operands.size(); ++k) {
    const bool has_rows = spec.operands[k].find(row) != std::string::npos;
    const bool is_streamed = spec.operands[k].find(column) != std::string::npos;
    if (has_rows == is_streamed || (has_rows && spec.operands[k].front() != row)) return std::nullopt;
    if (is_streamed && c.graph.producer(c.graph.operands(node)[k]).op == Op::transpose_) return std::nullopt;
  }
  return group.space[0];
}

}  // namespace

std::vector<EmittedKernel> emit_group(const EntryContext& context, std::size_t group) {
  std::vector<EmittedKernel> out;
  out.push_back(GroupEmitter(context, group, "").group(false));
  if (const std::optional<Dim> rows = free_rows(context, group)) {
    out.push_back(GroupEmitter(context, group, "").group(true));
    for (const bool few : {false, true}) out[few].guard = ir::CallGuard{*rows, kFewRows, few};
  }
  return out;
}

EmittedKernel emit_packing(const EntryContext& context, std::size_t group) {
  EmittedKernel out = GroupEmitter(context, group, "").packing();
  if (const std::optional<Dim> rows = free_rows(context, group))
    out.guard = ir::CallGuard{*rows, kFewRows, false};
  return out;
}

EmittedKernel emit_copy(const EntryContext& context, const Storage::Copy& copy) {
  return GroupEmitter(context, static_cast<std::size_t>(Grouping::kNone), "").copy(copy);
}

}  // namespace mlpc::lowering
