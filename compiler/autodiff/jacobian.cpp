#include "compiler/autodiff/jacobian.h"

#include <fmt/format.h>

#include "compiler/autodiff/transpose.h"
#include "ir/copy.h"
#include "ir/ops/scan.h"

namespace mlpc::autodiff {
namespace {

using ir::Builder;
using ir::Dim;
using ir::ElementType;
using ir::MaybeValue;
using ir::Op;
using ir::Role;
using ir::Shape;
using ir::Type;
using ir::ValueId;

constexpr std::int64_t kMostWritten = 16;  // rows or columns that are written out one by one; more are a loop

/// Where an index along an axis is the turn, i64[]: bool of that shape.
ValueId is_at(Builder& b, const Shape& shape, std::size_t axis, ValueId turn) {
  const ValueId index = b.value(Op::iota_, {}, {shape, static_cast<std::int64_t>(axis), ElementType::i64});
  return b.compare(Op::eq_, index, b.broadcast(turn, shape, {}));
}

ValueId number(Builder& b, std::int64_t i) {
  return b.constant(ir::Constant::of_integer(ElementType::i64, i));
}

/// 1 at the element of this place in row-major order, 0 elsewhere.
ValueId unit(Builder& b, const Type& type, ValueId place) {
  if (type.rank() == 0) return b.full(type, 1);
  const ValueId flat = b.convert(is_at(b, {type.element_count()}, 0, place), type.element);
  return b.reshape(flat, type.shape);
}

/// One row of J, ∂y[place] / ∂x, or one column, ∂y / ∂x[place].
///   residuals: what stands for the path's in the builder's graph
using LineRule = ValueId (*)(Builder&, const Path&, std::span<const ValueId> residuals, ValueId place);

ValueId row(Builder& b, const Path& path, std::span<const ValueId> residuals, ValueId place) {
  const Type x = path.linear.type(path.linear.parameters()[0].value);
  const Type y = path.linear.type(path.linear.results[0].value);
  const std::vector<MaybeValue> seeds = {unit(b, y, place)};
  const MaybeValue out = pull_back(b, path.linear, seeds, {residuals, b.graph().value_count()})[0];
  return out ? *out : b.full(x, 0);
}

ValueId column(Builder& b, const Path& path, std::span<const ValueId> residuals, ValueId place) {
  const Type x = path.linear.type(path.linear.parameters()[0].value);
  const std::vector<ValueId> tangents = {unit(b, x, place)};
  return push_along(b, path.linear, tangents, residuals);
}

/// lines[i], of shape S, at [i, ..].
ValueId written_out(Builder& b, const Path& path, LineRule line, std::int64_t count) {
  MaybeValue out;
  for (std::int64_t i = 0; i < count; ++i) {
    const ValueId part = line(b, path, path.residuals, number(b, i));
    Shape shape = b.type(part).shape;
    ir::Integers kept;
    for (std::size_t k = 0; k < shape.size(); ++k) kept.push_back(static_cast<std::int64_t>(k + 1));
    shape.insert(shape.begin(), Dim(count));
    const ValueId spread = b.broadcast(part, shape, kept);
    out = out ? b.where(is_at(b, shape, 0, number(b, i)), spread, *out) : spread;
  }
  return *out;
}

/// The same by a scan, whose turn is the line.
ValueId in_a_loop(Builder& b, const Path& path, LineRule line, const Dim& count) {
  ir::Graph body;
  body.name = "line";
  Builder inside(body);
  const ValueId turn = body.add_parameter("turn", {ElementType::i64, {}}, Role::turn);
  std::vector<ValueId> residuals;
  for (std::uint32_t i = 0; i < path.residuals.size(); ++i)
    residuals.push_back(
        body.add_parameter(fmt::format("residual.{}", i), b.type(path.residuals[i]), Role::constant, i));
  body.results.push_back({"line", Role::stacked, 0, line(inside, path, residuals, turn)});
  return ir::ops::scan(b, {ir::Body(std::move(body)), count, false}, path.residuals)[0];
}

ValueId lines(Builder& b, const Path& path, LineRule line, const Dim& count) {
  const std::optional<std::int64_t> known = count.constant();
  return known && *known <= kMostWritten ? written_out(b, path, line, *known)
                                         : in_a_loop(b, path, line, count);
}

/// The first axis behind all others.
ValueId first_axis_last(Builder& b, ValueId v) {
  ir::Integers permutation;
  for (std::size_t axis = 1; axis < b.type(v).rank(); ++axis)
    permutation.push_back(static_cast<std::int64_t>(axis));
  permutation.push_back(0);
  return b.transpose(v, permutation);
}

/// Columns are fewer, as far as that is known.
bool is_by_column(const Dim& rows, const Dim& columns) {
  const std::optional<std::int64_t> r = rows.constant(), c = columns.constant();
  return c && (!r || *c < *r);
}

}  // namespace

ValueId push_along(Builder& b, const ir::Graph& linear, std::span<const ValueId> tangents,
                   std::span<const ValueId> residuals) {
  ir::Copier copier(linear, b);
  std::size_t next = 0;
  for (const ir::Graph::Parameter& p : linear.parameters()) {
    copier.bind(p.value, next < tangents.size() ? tangents[next] : residuals[next - tangents.size()]);
    ++next;
  }
  copier.copy_all();
  return copier.at(linear.results[0].value);
}

ValueId jacobian(Builder& b, ValueId y, ValueId x) {
  const Type from = b.type(x), to = b.type(y);
  Type type = to;
  type.shape.insert(type.shape.end(), from.shape.begin(), from.shape.end());
  const std::vector<ValueId> targets = {x};
  const std::optional<Path> path = path_between(b, targets, y);
  const Dim rows = to.element_count(), columns = from.element_count();
  if (!path || rows == Dim(0) || columns == Dim(0)) return b.full(type, 0);
  if (is_by_column(rows, columns))
    return b.reshape(first_axis_last(b, lines(b, *path, column, columns)), type.shape);
  return b.reshape(lines(b, *path, row, rows), type.shape);
}

}  // namespace mlpc::autodiff
