#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "compiler/lowering/access.h"
#include "compiler/lowering/emit_group.h"
#include "compiler/lowering/packing.h"
#include "compiler/lowering/row_parts.h"
#include "compiler/lowering/schedule.h"
#include "ir/kernel_builder.h"

namespace mlpc::lowering {

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

inline Dim product(const Shape& shape) { return ir::Type{ElementType::f32, shape}.element_count(); }

/// Writes one kernel of a group: emit_group.cpp its loops and buffers, emit_members.cpp what each member is,
/// emit_products.cpp contractions whose operands or sums are laid out anew, emit_expressions.cpp what is
/// computed where it is read.
class GroupEmitter {
 public:
  GroupEmitter(const EntryContext& context, std::size_t g, std::string name)
      : c_(context), g_(static_cast<std::int32_t>(g)), builder_(std::move(name)) {}

  /// `few_rows`: for a contraction of a few rows, of a free number.
  EmittedKernel group(bool few_rows);
  EmittedKernel packing();
  EmittedKernel row_parts();

  /// [rows, depth] -> [chunk, depth, row of the chunk].
  EmittedKernel turning();
  EmittedKernel copy(const Storage::Copy& copy);

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
  bool is_flat(const Group& group) const;

  /// Whether the inlined expression below v (v's own op included) depends on the index itself.
  bool reads_index(ValueId v, bool in_order = true) const;
  bool runs_in_lanes_inside(ValueId member) const;
  void open_space(const Group& group);
  LoopPlan plan_of(const Group& group) const;

  /// Of what the members compute for an element, with all that is inlined below them.
  std::int64_t cost_of(const Group& group) const;

  /// The axis of the space along which a transposing copy reads with stride 1.
  std::optional<std::size_t> turned_axis(const Group& group) const;

  /// Elements or multiply-adds at one point of the space.
  Dim work_of(ValueId member) const;
  void open_levels(const LoopPlan& plan);

  // ---- The packed operand: [panel, depth, column of the panel] ----

  struct Packed {
    Packed(Packing p, std::int64_t width) : packing(std::move(p)), panel(width) {}
    Packing packing;
    std::int64_t panel;  // columns
    AffineIndex panel_index, column_index;
    BufferId buffer;
  };

  Dim panel_count() const { return Dim::floordiv(packed_->packing.columns, packed_->panel); }

  BufferId add_packed_buffer(bool is_written);

  /// Turned operands are read in blocks of lanes × lanes, which registers turn.
  void pack_panel();
  void open(ir::VarId var, const Dim& extent, ir::LoopSchedule schedule,
            std::optional<ir::Loop::Limit> limit = std::nullopt);

  /// `turns` of a part that begins at `first`, or what there is of them below `end`.
  void open_part(ir::VarId var, std::int64_t turns, const AffineIndex& first, const Dim& end,
                 ir::LoopSchedule schedule);
  void close();
  EmittedKernel finish();

  /// Turns that run one after the other, and hand nothing on but what they store.
  template <typename F>
  void in_turn(const Dim& turns, F body) {
    const ir::VarId turn = builder_.new_var();
    const Scalar nothing =
        builder_.open_recurrence(turn, turns, ir::Constant::of_integer(ElementType::i64, 0));
    memo_.emplace_back();
    body(AffineIndex::of(turn));
    memo_.pop_back();
    builder_.close_recurrence(nothing);
  }

  // ---- A contraction whose sum runs in blocks ----

  void emit_blocked(const Group& group, const BufferRef& place);

  /// X'δ: chunks of rows are tasks; of each, block after block of the sum, then what is left of it, with the
  /// epilogue.
  void emit_gradient(const Group& group, const BufferRef& place);

  /// What the sum of this element is before the turn `first`: 0 before the first one.
  Scalar sum_before(const AffineIndex& first, BufferId sums);
  /// The product has its sum; then the other members.
  void finish_product(const Group& group, Scalar sum);

  /// The same where its tasks pack their rows, and panels of δ are packed.
  void emit_packed_gradient(const Group& group);
  struct Chunk {
    std::size_t operand;  // that is packed by the chunk: [chunk, turn, row of the chunk]
    BufferId buffer;
    AffineIndex chunk, row;
  };

  // ---- A contraction whose rows run in lanes: the group's space is [rows, columns] ----

  void emit_rows_in_lanes(const Group& group);

  /// Columns of a task: rows of W that stay in L2 while chunks of δ pass.
  static std::int64_t column_chunk(std::int64_t columns);

  /// The turned operand, and the row of it that runs.
  struct Turned {
    BufferId buffer;
    AffineIndex chunk, row;
  };
  BufferId add_turned_buffer(bool is_written);
  void open_level(const LoopPlan::Level& level);

  // ---- Members ----

  void emit_member(ValueId v);
  void finish_member(ValueId v, const Index& index, Scalar value);

  /// A recurrence along the axis behind the space, inside loops over the axes behind that.
  void emit_cumulative(ValueId v);

  /// A concat, part after part; parts of one shape share their loops.
  void emit_parts(ValueId v, std::size_t joined_axis);

  /// Columns in lanes and tasks; of some columns, zeros first, then row after row in the order of the ids.
  /// The turns of the recurrence meet in memory and hand nothing else on.
  void emit_scatter(ValueId v);

  /// Loops over the axes of a member beyond the space; those that are open are used again if they are the
  /// same, and the member reads nothing there that a later turn of them makes.
  Index open_inner(const Shape& of, bool in_lanes, bool is_turned);

  /// The order of a reduction follows from its operand's shape and the target: over the last axis in lanes,
  /// unless that has just a few taps of windows.
  int lanes_of_reduction(ValueId v) const;

  /// One chain over the taps: of tap u the window (i - dilation · u) / stride lies on element i, if there is
  /// one.
  Scalar fold(const Node& node, const Index& index);
  /// Some turns of a sum over its first letter or axis, and the sum over those before.
  struct PartOfSum {
    AffineIndex first;
    Dim turns;
    std::optional<Scalar> before;
  };

  Scalar reduce(ValueId v, const Index& index, const std::optional<PartOfSum>& part = std::nullopt);

  /// In lanes over the last range, and one chain over what is left of the others.
  Scalar reduce_ranges(ValueId v, ir::Reducer reducer, ValueId operand, const Index& operand_at,
                       std::vector<ir::Reduce::Range> ranges, const std::optional<Scalar>& start);
  void open_reduce(const std::vector<ir::Reduce::Range>& ranges, int lanes, int unroll,
                   std::vector<ir::Reduce::Clip> clips = {});
  Scalar close_reduce(ir::Reducer reducer, std::vector<Scalar> values,
                      std::optional<Scalar> start = std::nullopt);
  std::vector<ir::Reduce::Range> contracted_ranges(ValueId v) const;

  Scalar eval_inside(ValueId v, Index index, std::span<const ValueId> pads);
  Scalar contract(ValueId v, const Index& index, const std::optional<PartOfSum>& part = std::nullopt);

  /// The rows behind the parts of a sum, whose own sums come first; nullopt where it has none.
  std::optional<PartOfSum> rows_behind_parts(ValueId v, const Index& index);
  BufferId add_part_buffer(ValueId sum, bool is_written);

  // ---- Expressions ----

  static std::string key_of(ValueId v, const Index& index);
  void remember(ValueId v, const Index& index, Scalar value);

  /// The scalar of v at an index: from registers, from its buffer, or computed here.
  Scalar eval(ValueId v, const Index& index);
  std::optional<Scalar> remembered(const std::string& key) const;

  // ---- Guards: what lies below reads nothing where they are false ----

  /// Whether all bounds hold; nullopt: they always do.
  std::optional<Scalar> bounded(const std::vector<Bound>& bounds);

  /// What has rank 0 is there in any case.
  template <typename F>
  Scalar without_guard(F evaluate);

  /// The scalar of v at an index that means something only where the condition holds.
  Scalar eval_under(Scalar condition, ValueId v, const Index& index);

  /// The same, and 0 where the condition does not hold.
  Scalar eval_if(Scalar condition, ValueId v, const Index& index);

  /// A row's number, in a table of so many.
  Scalar clamped(Scalar id, const Dim& rows);
  Scalar gather(const Node& node, const Index& index);
  Scalar concat(const Node& node, const Index& index);
  Scalar number(std::int64_t value);
  Scalar compute(ValueId v, const Index& index);
  Scalar compute_layout(const Node& node, const Index& index);

  // ---- Buffers ----

  BufferId add_buffer(ir::Type type, const BufferRef& ref, bool is_written);
  BufferId written_buffer(ValueId v, std::size_t place);
  Scalar load(ValueId v, const Shape& as_shape, const Index& index);

  /// Stores stand at the end of their block, after all its loads: an element that is updated in place is read
  /// first.
  void flush_stores() { flush_stores_from(builder_.open_blocks()); }
  void flush_stores_from(std::size_t depth);
  void add_store(BufferId buffer, Index index, Scalar value);

  /// … unless the value is read back, from another loop.
  void flush_stores_of(ValueId v);

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
  std::optional<Turned> turned_;
  std::optional<Chunk> chunk_;
  std::optional<Scalar> guard_;  // of what is evaluated
  Shape inner_shape_;
  bool inner_in_lanes_ = false;
  Index inner_;
  std::vector<std::unordered_map<std::string, Scalar>> memo_{1};  // by open block
  std::map<std::int64_t, Scalar> numbers_;                        // of the call
  std::vector<PendingStore> stores_;
  std::vector<BufferRef> refs_;
  std::vector<ReadBuffer> reads_;
  std::map<std::pair<ValueId, std::size_t>, BufferId> written_;
};

}  // namespace mlpc::lowering
