#include "tests/support/random_parts.h"

namespace mlpc::testing {
namespace {

using namespace ir;

std::int64_t below(std::int64_t bound, Random& random) {
  return static_cast<std::int64_t>(random.below(static_cast<std::size_t>(bound)));
}

/// Every step-th element, all of them where the extent is free.
Attributes random_slice(const Shape& shape, Random& random) {
  Shape start, extent;
  Integers step;
  for (const Dim& n : shape) {
    step.push_back(random.chance(0.5) ? 1 : 1 + below(3, random));
    const std::int64_t first = n.is_constant() ? below(*n.constant() + 1, random) : 0;
    start.push_back(random.chance(0.5) ? 0 : first);
    extent.push_back(Dim::ceildiv(n - start.back(), step.back()));
    if (n.is_constant() && random.chance(0.5)) extent.back() = below(*extent.back().constant() + 1, random);
  }
  return {start, extent, step};
}

Attributes random_pad(const Shape& shape, Random& random) {
  const auto amounts = [&] {
    Shape out;
    for (const Dim& n : shape)
      out.push_back(random.chance(0.1) ? n : random.chance(0.5) ? Dim(0) : Dim(below(3, random)));
    return out;
  };
  Shape before = amounts();
  return {std::move(before), amounts()};
}

Attributes random_window(const Shape& shape, Random& random) {
  const std::int64_t axis = below(static_cast<std::int64_t>(shape.size()), random);
  const Dim& n = shape[static_cast<std::size_t>(axis)];
  const std::int64_t stride = 1 + below(3, random), dilation = 1 + below(2, random),
                     taps = below(10, random) == 0 ? 0 : 1 + below(3, random);
  Dim windows = Dim::floordiv(n - Dim(dilation * (taps - 1) + 1), stride) + 1;
  if (windows.constant().value_or(0) < 0) windows = 0;
  if (windows.is_constant() && random.chance(0.25)) windows = below(*windows.constant() + 1, random);
  return {axis, Shape{windows, taps}, stride, dilation};
}

/// Some elements lie behind the last window.
Attributes random_fold(const Shape& shape, Random& random) {
  const std::int64_t axis = below(static_cast<std::int64_t>(shape.size()) - 1, random);
  const Dim &windows = shape[static_cast<std::size_t>(axis)],
            &taps = shape[static_cast<std::size_t>(axis) + 1];
  const std::int64_t stride = 1 + below(3, random), dilation = 1 + below(2, random);
  Dim extent = Dim(stride) * windows + Dim(dilation) * taps;
  if (extent.is_constant() && windows != Dim(0) && taps != Dim(0) && random.chance(0.5))
    extent = extent - Dim(stride + dilation - 1);
  return {axis, Shape{extent}, stride, dilation};
}

}  // namespace

std::optional<Attributes> random_parts(Op op, const std::vector<Type>& operands, ElementType floats,
                                       Random& random) {
  if (operands.empty()) return std::nullopt;
  const Shape& shape = operands[0].shape;
  switch (op) {
    case Op::slice_:
      return random_slice(shape, random);
    case Op::pad_:
      return random_pad(shape, random);
    case Op::concat_:
      if (shape.empty()) return std::nullopt;
      return Attributes{below(static_cast<std::int64_t>(shape.size()), random)};
    case Op::window_:
      if (shape.empty()) return std::nullopt;
      return random_window(shape, random);
    case Op::fold_:
      if (shape.size() < 2) return std::nullopt;
      return random_fold(shape, random);
    case Op::scatter_add_:
      if (operands.back().rank() > 0 && random.chance(0.25))
        return Attributes{Shape{operands.back().shape.front()}};
      return Attributes{Shape{below(8, random)}};
    case Op::one_hot_:
      return Attributes{Shape{below(8, random)}, random.chance(0.75) ? floats : ElementType::i32};
    default:
      return std::nullopt;
  }
}

}  // namespace mlpc::testing
