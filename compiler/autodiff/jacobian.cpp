#include "compiler/autodiff/jacobian.h"

#include "compiler/autodiff/transpose.h"
#include "ir/copy.h"
#include "ir/error.h"

namespace mlpc::autodiff {
namespace {

using ir::Builder;
using ir::Dim;
using ir::ElementType;
using ir::MaybeValue;
using ir::Op;
using ir::Shape;
using ir::Type;
using ir::ValueId;

constexpr std::int64_t kMostWritten = 16;  // rows or columns that are written out one by one

/// Where an index along an axis is i: bool of that shape.
ValueId is_at(Builder& b, const Shape& shape, std::size_t axis, std::int64_t i) {
  const ValueId index = b.value(Op::iota_, {}, {shape, static_cast<std::int64_t>(axis), ElementType::i64});
  const ValueId turn = b.constant(ir::Constant::of_integer(ElementType::i64, i));
  return b.compare(Op::eq_, index, b.broadcast(turn, shape, {}));
}

/// 1 at element i, in row-major order, 0 elsewhere.
ValueId unit(Builder& b, const Type& type, std::int64_t i) {
  if (type.rank() == 0) return b.full(type, 1);
  const ValueId flat = b.convert(is_at(b, {type.element_count()}, 0, i), type.element);
  return b.reshape(flat, type.shape);
}

/// parts[i], of shape S, at [.., i, ..] of a new axis of that place.
ValueId stacked(Builder& b, const std::vector<ValueId>& parts, std::size_t axis) {
  Shape shape = b.type(parts[0]).shape;
  ir::Integers kept;
  for (std::size_t k = 0; k < shape.size(); ++k)
    kept.push_back(static_cast<std::int64_t>(k < axis ? k : k + 1));
  shape.insert(shape.begin() + static_cast<std::ptrdiff_t>(axis),
               Dim(static_cast<std::int64_t>(parts.size())));
  MaybeValue out;
  for (std::size_t i = 0; i < parts.size(); ++i) {
    const ValueId part = b.broadcast(parts[i], shape, kept);
    out = out ? b.where(is_at(b, shape, axis, static_cast<std::int64_t>(i)), part, *out) : part;
  }
  return *out;
}

std::optional<std::int64_t> few(const Type& type) {
  const std::optional<std::int64_t> count = type.element_count().constant();
  return count && *count <= kMostWritten ? count : std::nullopt;
}

/// Rows of J: [rows, x.shape…]
ValueId rows(Builder& b, const Path& path, const Type& y, std::int64_t count) {
  std::vector<ValueId> out;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::vector<MaybeValue> seeds = {unit(b, y, i)};
    const auto row = pull_back(b, path.linear, seeds, {path.residuals, b.graph().value_count()})[0];
    out.push_back(row ? *row : b.full(path.linear.type(path.linear.parameters()[0].value), 0));
  }
  return stacked(b, out, 0);
}

/// Columns of J: [y.shape…, columns]
ValueId columns(Builder& b, const Path& path, const Type& x, std::int64_t count) {
  std::vector<ValueId> out;
  for (std::int64_t i = 0; i < count; ++i) {
    const std::vector<ValueId> tangents = {unit(b, x, i)};
    out.push_back(push_along(b, path, tangents));
  }
  return stacked(b, out, b.type(out[0]).rank());
}

}  // namespace

ValueId push_along(Builder& b, const Path& path, std::span<const ValueId> tangents) {
  ir::Copier copier(path.linear, b);
  std::size_t next = 0;
  for (const ir::Graph::Parameter& p : path.linear.parameters()) {
    copier.bind(p.value, next < tangents.size() ? tangents[next] : path.residuals[next - tangents.size()]);
    ++next;
  }
  copier.copy_all();
  return copier.at(path.linear.results[0].value);
}

ValueId jacobian(Builder& b, ValueId y, ValueId x) {
  const Type from = b.type(x), to = b.type(y);
  Type type = to;
  type.shape.insert(type.shape.end(), from.shape.begin(), from.shape.end());
  const std::vector<ValueId> targets = {x};
  const std::optional<Path> path = path_between(b, targets, y);
  if (!path || type.element_count() == Dim(0)) return b.full(type, 0);
  if (const auto count = few(to)) return b.reshape(rows(b, *path, to, *count), type.shape);
  if (const auto count = few(from)) return b.reshape(columns(b, *path, from, *count), type.shape);
  fail("the jacobian {} has more than {} rows and columns", type.text(), kMostWritten);
}

}  // namespace mlpc::autodiff
