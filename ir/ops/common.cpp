#include "ir/ops/common.h"

#include <algorithm>
#include <cmath>

namespace mlpc::ir::ops {

void require_same_type(const Type& a, const Type& b) {
  if (a != b) fail("operands are {} and {}", a.text(), b.text());
}

void require_float(const Type& type) {
  if (!is_float(type.element)) fail("the operand is {}, not f32 or f64", type.text());
}

void require_number(const Type& type) {
  if (type.element == ElementType::boolean) fail("{} is no number", type.text());
}

std::vector<Type> same_type(Types operands, const Attributes&) {
  for (const Type& type : operands) require_same_type(operands[0], type);
  return {operands[0]};
}

std::vector<Type> same_number_type(Types operands, const Attributes& attributes) {
  require_number(operands[0]);
  return same_type(operands, attributes);
}

std::vector<Type> same_float_type(Types operands, const Attributes& attributes) {
  require_float(operands[0]);
  return same_type(operands, attributes);
}

std::size_t checked_axis(const Attribute& attribute, std::size_t rank) {
  const std::int64_t axis = std::get<std::int64_t>(attribute);
  if (axis < 0 || axis >= static_cast<std::int64_t>(rank)) fail("axis {} of a tensor of rank {}", axis, rank);
  return static_cast<std::size_t>(axis);
}

bool surely_negative(const Dim& extent) {
  const auto falls = [](const DimTerm& term) {
    return term.coefficient < 0 &&
           std::ranges::all_of(
               term.factors, [](const DimFactor& factor) { return factor.atom.kind == DimAtom::Kind::name; });
  };
  return extent.added() < 0 && std::ranges::all_of(extent.terms(), falls);
}

Integers first_axes(std::size_t count) {
  Integers axes;
  for (std::size_t axis = 0; axis < count; ++axis) axes.push_back(static_cast<std::int64_t>(axis));
  return axes;
}

ValueId extent_value(Builder& b, const Dim& extent, ElementType type) {
  if (const std::optional<std::int64_t> n = extent.constant())
    return is_float(type) ? b.scalar(type, static_cast<double>(*n))
                          : b.constant(Constant::of_integer(type, *n));
  return b.value(Op::dim_, {}, {Shape{extent}, type});
}

ValueId finite_or_zero(Builder& b, ValueId x) {
  const ValueId is_finite = b.compare(Op::lt_, b.value(Op::abs_, {x}), b.full_like(x, HUGE_VAL));
  return b.where(is_finite, x, b.full_like(x, 0));
}

double wrapped(ElementType type, double value) {
  if (type != ElementType::i32 && type != ElementType::u8) return value;
  const auto bits = static_cast<std::uint64_t>(static_cast<std::int64_t>(value));
  return type == ElementType::u8 ? static_cast<double>(static_cast<std::uint8_t>(bits))
                                 : static_cast<double>(static_cast<std::int32_t>(bits));
}

std::size_t element_count(const std::vector<std::int64_t>& shape) {
  std::size_t count = 1;
  for (std::int64_t extent : shape) count *= static_cast<std::size_t>(extent);
  return count;
}

std::size_t position(const std::vector<std::int64_t>& shape, const std::vector<std::int64_t>& index) {
  std::size_t at = 0;
  for (std::size_t axis = 0; axis < shape.size(); ++axis)
    at = at * static_cast<std::size_t>(shape[axis]) + static_cast<std::size_t>(index[axis]);
  return at;
}

}  // namespace mlpc::ir::ops
