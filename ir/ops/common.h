#pragma once

#include <string>
#include <vector>

#include "ir/builder.h"
#include "ir/error.h"
#include "ir/kernel_builder.h"
#include "ir/ops/records.h"

// What several files of records share: type rules, and the loops of the reference.

namespace mlpc::ir::ops {

using Kind = AttributeSpec::Kind;
using Types = std::span<const Type>;
using Operands = std::span<const HostTensor* const>;

/// All operands of one type, which is the result's. Broadcasting is an op of its own.
std::vector<Type> same_type(Types operands, const Attributes&);
/// The same, of anything but bools.
std::vector<Type> same_number_type(Types operands, const Attributes&);
/// The same, of floats only: there is no implicit promotion.
std::vector<Type> same_float_type(Types operands, const Attributes&);
/// Throws unless a and b are equal.
void require_same_type(const Type& a, const Type& b);
void require_float(const Type& type);
void require_number(const Type& type);
/// The attribute as an axis of a tensor of that rank.
std::size_t checked_axis(const Attribute& attribute, std::size_t rank);
/// Whether an extent is below 0 whatever the free dims are. What is not provable is checked by the plan.
bool surely_negative(const Dim& extent);

/// 0 … count - 1
Integers first_axes(std::size_t count);
/// An extent as a scalar.
ValueId extent_value(Builder& b, const Dim& extent, ElementType type);
/// x where it is finite, else 0: inf - inf would be NaN.
ValueId finite_or_zero(Builder& b, ValueId x);

std::size_t element_count(const std::vector<std::int64_t>& shape);
/// Integers wrap as two's complement; others stay.
double wrapped(ElementType type, double value);
/// The result of a scalar function at every element.
template <typename F>
std::vector<HostTensor> map_elements(Operands operands, F f) {
  HostTensor out{operands[0]->shape, {}};
  for (std::size_t i = 0; i < operands[0]->values.size(); ++i) out.values.push_back(f(i));
  return {std::move(out)};
}
/// The reference of a unary op.
template <double (*F)(double)>
std::vector<HostTensor> map_unary(const ReferenceContext& c, Operands x) {
  return map_elements(x,
                      [&](std::size_t i) { return wrapped(c.result_types[0].element, F(x[0]->values[i])); });
}
template <double (*F)(double, double)>
std::vector<HostTensor> map_binary(const ReferenceContext& c, Operands x) {
  return map_elements(x, [&](std::size_t i) {
    return wrapped(c.result_types[0].element, F(x[0]->values[i], x[1]->values[i]));
  });
}

/// Calls f with every index of a shape, in row-major order.
template <typename F>
void for_each_index(const std::vector<std::int64_t>& shape, F f) {
  std::vector<std::int64_t> index(shape.size(), 0);
  for (std::size_t n = element_count(shape); n > 0; --n) {
    f(index);
    for (std::size_t axis = shape.size(); axis-- > 0;) {
      if (++index[axis] < shape[axis]) break;
      index[axis] = 0;
    }
  }
}
/// The element's place in row-major order.
std::size_t position(const std::vector<std::int64_t>& shape, const std::vector<std::int64_t>& index);

}  // namespace mlpc::ir::ops
