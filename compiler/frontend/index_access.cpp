#include "compiler/frontend/index_access.h"

#include <algorithm>

namespace mlpc::frontend {

using ir::Dim;
using ir::Integers;
using ir::Op;
using ir::Shape;
using ir::ValueId;

namespace {

ValueId part_of_axis(ir::Builder& b, ValueId x, std::size_t axis, const Dim& start, const Dim& extent,
                     std::int64_t step) {
  const Shape whole = b.type(x).shape;
  if (start == Dim(0) && extent == whole[axis] && step == 1) return x;
  Shape from(whole.size()), extents = whole;
  Integers steps(whole.size(), 1);
  from[axis] = start;
  extents[axis] = extent;
  steps[axis] = step;
  return b.slice(x, from, extents, steps);
}

/// The axis as one axis for each index of its subscript, in the order of the terms. Where an index counts
/// down, it is made to count up, and turned around in the end.
ValueId spread_axis(Elaborator& el, ValueId x, std::size_t axis, const Affine& at) {
  ir::Builder& b = el.b();
  const Dim n = el.type(x).shape[axis];
  Dim start = at.constant, reach = 1;  // positions that are read: start, …, start + reach - 1
  for (const auto& [variable, coefficient] : at.terms) {
    const Dim distance = Dim(std::abs(coefficient)) * (variable->extent - 1);
    if (coefficient < 0) start = start - distance;
    reach = reach + distance;
  }
  const std::size_t count = at.terms.size();
  if (count == 0) return part_of_axis(b, x, axis, start, 1, 1);
  const auto step_of = [&](std::size_t i) { return std::abs(at.terms[i].second); };
  const auto extent_of = [&](std::size_t i) { return at.terms[i].first->extent; };
  if (count == 1)
    x = part_of_axis(b, x, axis, start, extent_of(0), step_of(0));
  else
    x = part_of_axis(b, x, axis, start, n - start, 1);
  for (std::size_t i = 0; i + 1 < count; ++i) {
    const bool is_last = i + 2 == count;
    reach = reach - Dim(step_of(i)) * (extent_of(i) - 1);  // of the indices after this one
    x = b.window(x, axis + i, {extent_of(i), is_last ? extent_of(i + 1) : reach}, step_of(i),
                 is_last ? step_of(i + 1) : 1);
  }
  Integers turned;
  for (std::size_t i = 0; i < count; ++i)
    if (at.terms[i].second < 0) turned.push_back(static_cast<std::int64_t>(axis + i));
  return turned.empty() ? x : b.flip(x, turned);
}

/// The elements whose indices on both axes are equal; the second axis vanishes.
ValueId diagonal(ir::Builder& b, ValueId x, std::size_t first, std::size_t second) {
  const ir::Type type = b.type(x);
  const auto index = [&](std::size_t axis) {
    return b.value(Op::iota_, {}, {type.shape, static_cast<std::int64_t>(axis), ir::ElementType::i64});
  };
  const ValueId is_there = b.compare(Op::eq_, index(first), index(second));
  return b.reduce_sum(b.where(is_there, x, b.full(type, 0)), {static_cast<std::int64_t>(second)});
}

}  // namespace

Indexed read(Elaborator& el, const Access& access) {
  ValueId x = access.tensor;
  IndexVariables axes;
  std::size_t axis = 0;
  for (const Affine& at : access.subscripts) {
    x = spread_axis(el, x, axis, at);
    if (at.terms.empty()) {  // one position: its axis vanishes
      Shape shape = el.type(x).shape;
      shape.erase(shape.begin() + static_cast<std::ptrdiff_t>(axis));
      x = el.b().reshape(x, shape);
    }
    for (const auto& [variable, coefficient] : at.terms) axes.push_back(variable);
    axis += at.terms.size();
  }
  for (std::size_t i = 0; i < axes.size(); ++i)  // x[i, i]
    for (std::size_t j = axes.size() - 1; j > i; --j) {
      if (axes[j] != axes[i]) continue;
      x = diagonal(el.b(), x, i, j);
      axes.erase(axes.begin() + static_cast<std::ptrdiff_t>(j));
    }
  return {x, axes};
}

}  // namespace mlpc::frontend
