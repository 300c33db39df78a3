#include <algorithm>

#include "compiler/lowering/convolution.h"
#include "compiler/lowering/group_emitter.h"
#include "compiler/lowering/roots.h"
#include "ir/error.h"

namespace mlpc::lowering {

void GroupEmitter::emit_member(ValueId v) {
  if (const auto axis = joined_axis(c_.graph.producer(v))) return emit_parts(v, *axis);
  const bool is_reduction = kind(v) == Kind::reduction;
  const Index index =
      open_inner(shape(v), !is_reduction || lanes_of_reduction(v) == 0, c_.grouping.is_turned[v.index]);
  Scalar value;
  if (is_reduction)
    value = reduce(v, index, rows_behind_parts(v, index));
  else if (kind(v) == Kind::contraction)
    value = contract(v, index, rows_behind_parts(v, index));
  else
    value = compute(v, index);
  finish_member(v, index, value);
}

void GroupEmitter::finish_member(ValueId v, const Index& index, Scalar value) {
  remember(v, index, value);
  const auto& places = c_.storage.places[v.index];
  for (std::size_t i = 0; i < places.size(); ++i) add_store(written_buffer(v, i), index, value);
}

void GroupEmitter::emit_cumulative(ValueId v) {
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

void GroupEmitter::emit_parts(ValueId v, std::size_t joined_axis) {
  Dim first = 0;
  for (ValueId part : c_.graph.operands(c_.graph.producer(v))) {
    const Index at = open_inner(shape(part), true, c_.grouping.is_turned[v.index]);
    Index joined = at;
    joined[joined_axis] = AffineIndex{first, {}, {}} + at[joined_axis];
    const Scalar value = eval(part, at);
    for (std::size_t i = 0; i < c_.storage.places[v.index].size(); ++i)
      add_store(written_buffer(v, i), joined, value);
    first = first + shape(part)[joined_axis];
  }
}

void GroupEmitter::emit_scatter(ValueId v) {
  const Node& node = c_.graph.producer(v);
  const ValueId ids = c_.graph.operands(node)[0], updates = c_.graph.operands(node)[1];
  const ElementType type = c_.graph.type(v).element;
  const Dim rows = shape(v)[0], width = product({shape(v).begin() + 1, shape(v).end()}),
            count = product(shape(ids));
  std::vector<BufferId> sums;
  for (const BufferRef& place : c_.storage.places[v.index])
    sums.push_back(add_buffer({type, {rows, width}}, place, true));
  const ir::VarId column = builder_.new_var(), row = builder_.new_var(), once = builder_.new_var();
  const int vectors = c_.level < 2 ? 1 : 4;
  const std::int64_t block = std::int64_t{vectors} * c_.target.lanes;
  if (width.constant().value_or(block + 1) > block) builder_.add_task_split(column, block);
  open(column, width, {vectors, true});
  open(row, rows, {});
  for (BufferId sum : sums)
    builder_.store(sum, {AffineIndex::of(row), AffineIndex::of(column)}, builder_.constant(type, 0));
  close();
  open(once, rows + 1 - Dim::max(rows, 1), {});  // not where there are no rows
  in_turn(count, [&](const AffineIndex& turn) {
    const Scalar id = load(ids, {count}, {turn});
    const Index at = {{0, {}, clamped(id, rows).id}, AffineIndex::of(column)};
    const Scalar update = load(updates, {count, width}, {turn, AffineIndex::of(column)});
    for (BufferId sum : sums) builder_.store(sum, at, builder_.add(builder_.load(sum, at), update));
  });
}

Index GroupEmitter::open_inner(const Shape& of, bool in_lanes, bool is_turned) {
  const Shape inner =
      is_flat_ ? Shape{} : Shape(of.begin() + static_cast<std::ptrdiff_t>(space_.size()), of.end());
  const bool is_apart = in_lanes != inner_in_lanes_ || is_turned;
  if (inner != inner_shape_ || (is_apart && !inner.empty())) {
    while (builder_.open_blocks() > space_depth_) close();
    inner_shape_ = inner;
    inner_in_lanes_ = in_lanes;
    inner_.clear();
    const std::vector<int> jams =
        c_.level < 2 || !in_lanes ? std::vector(inner.size(), 1) : jams_around_lanes(inner, c_.target.lanes);
    for (std::size_t i = 0; i < inner.size(); ++i) {
      const ir::VarId var = builder_.new_var();
      inner_.push_back(AffineIndex::of(var));
      const bool is_lanes = in_lanes && i + 1 == inner.size();
      open(var, inner[i], {jams[i], is_lanes});
    }
  }
  Index index = base_;
  index.insert(index.end(), inner_.begin(), inner_.end());
  return index;
}

int GroupEmitter::lanes_of_reduction(ValueId v) const {
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

Scalar GroupEmitter::fold(const Node& node, const Index& index) {
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

Scalar GroupEmitter::reduce(ValueId v, const Index& index, const std::optional<PartOfSum>& part) {
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
  if (part) {
    ranges.front().extent = part->turns;
    operand_at.front() = part->first + operand_at.front();
  }
  Scalar result = reduce_ranges(v, reducer, operand, operand_at, ranges, part ? part->before : std::nullopt);
  return builder_.convert(result, c_.graph.type(v).element);
}

Scalar GroupEmitter::reduce_ranges(ValueId v, ir::Reducer reducer, ValueId operand, const Index& operand_at,
                                   std::vector<ir::Reduce::Range> ranges,
                                   const std::optional<Scalar>& start) {
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
  Scalar result = close_reduce(reducer, {eval(operand, operand_at)}, start);
  return has_outer ? close_reduce(reducer, {result}) : result;
}

void GroupEmitter::open_reduce(const std::vector<ir::Reduce::Range>& ranges, int lanes, int unroll,
                               std::vector<ir::Reduce::Clip> clips) {
  builder_.open_reduce(ranges, lanes, unroll, std::move(clips));
  memo_.emplace_back();
}

Scalar GroupEmitter::close_reduce(ir::Reducer reducer, std::vector<Scalar> values,
                                  std::optional<Scalar> start) {
  const KernelBuilder::Reduction reduction{reducer, std::move(values), start};
  memo_.pop_back();
  return builder_.close_reduce({&reduction, 1}).front();
}

}  // namespace mlpc::lowering
