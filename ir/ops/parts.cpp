#include <algorithm>
#include <numeric>

#include "ir/ops/common.h"

// Parts of tensors, and tensors made of parts.

namespace mlpc::ir::ops {
namespace {

constexpr AttributeSpec kSliceAttributes[] = {
    {"start", Kind::shape}, {"extent", Kind::shape}, {"step", Kind::integers}};
constexpr AttributeSpec kPadAttributes[] = {{"before", Kind::shape}, {"after", Kind::shape}};
constexpr AttributeSpec kConcatAttributes[] = {{"axis", Kind::integer}};
constexpr AttributeSpec kFlipAttributes[] = {{"axes", Kind::integers}};

void require_entries(std::size_t entries, std::string_view attribute, const Type& x) {
  if (entries != x.rank()) fail("`{}` has {} entries for {}", attribute, entries, x.text());
}

Shape zeros(std::size_t rank) { return Shape(rank); }

template <char const* text>
std::string fixed_text(const NodeView&, std::size_t, std::span<const std::string>, std::string_view) {
  return text;
}
constexpr char kSelection[] = "S", kPlacement[] = "Sᵀ", kReversal[] = "Π";

std::vector<std::int64_t> numbers(const ReferenceContext& c, const Shape& shape) {
  std::vector<std::int64_t> out;
  for (const Dim& dim : shape) out.push_back(c.value_of_dim(dim));
  return out;
}

// ---- slice ----

struct SliceParts {
  const Shape& start;
  const Shape& extent;
  const Integers& step;
  explicit SliceParts(const Attributes& a)
      : start(std::get<Shape>(a[0])), extent(std::get<Shape>(a[1])), step(std::get<Integers>(a[2])) {}
};

/// x[start + step·i] for i below `extent`, on one axis.
void check_slice(const Type& x, std::size_t axis, const SliceParts& s) {
  const Dim &n = x.shape[axis], &start = s.start[axis], &extent = s.extent[axis];
  const std::int64_t step = s.step[axis];
  if (step < 1) fail("axis {} of {} is sliced in steps of {}", axis, x.text(), step);
  if (surely_negative(start) || surely_negative(extent) || surely_negative(n - start))
    fail("axis {} of {} has no slice of {} from {}", axis, x.text(), extent.text(), start.text());
  const Dim left = step == 1 ? n - start - extent : n - start - Dim(step) * (extent - 1) - 1;
  if ((step == 1 || surely_negative(0 - extent)) && surely_negative(left))
    fail("a slice of axis {} of {} ends behind it: {} from {} in steps of {}", axis, x.text(), extent.text(),
         start.text(), step);
}

std::vector<Type> slice_type(Types x, const Attributes& a) {
  const SliceParts s(a);
  require_entries(s.start.size(), "start", x[0]);
  require_entries(s.extent.size(), "extent", x[0]);
  require_entries(s.step.size(), "step", x[0]);
  for (std::size_t axis = 0; axis < x[0].rank(); ++axis) check_slice(x[0], axis, s);
  return {{x[0].element, s.extent}};
}

/// Zeros between the elements first, where there are steps; then around.
MaybeValue slice_transpose(Builder& b, const NodeView& n, std::size_t, std::span<const MaybeValue> y) {
  const SliceParts s(n.attributes);
  const Shape& shape = n.operand_types[0].shape;
  ValueId placed = *y[0];
  Shape after;
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    after.push_back(shape[axis] - s.start[axis] - s.extent[axis]);
    if (s.step[axis] == 1) continue;
    Shape taps = b.type(placed).shape;
    taps.insert(taps.begin() + static_cast<std::ptrdiff_t>(axis) + 1, 1);
    placed = b.fold(b.reshape(placed, taps), axis, shape[axis] - s.start[axis], s.step[axis], 1);
    after.back() = 0;
  }
  return b.pad(placed, s.start, after);
}

std::vector<HostTensor> slice_reference(const ReferenceContext& c, Operands x) {
  const SliceParts s(c.attributes);
  const std::vector<std::int64_t> start = numbers(c, s.start);
  HostTensor out{c.result_shapes[0], {}};
  for_each_index(out.shape, [&](std::vector<std::int64_t> index) {
    for (std::size_t axis = 0; axis < index.size(); ++axis) {
      index[axis] = start[axis] + s.step[axis] * index[axis];
      if (index[axis] >= x[0]->shape[axis])
        fail("a slice reads element {} of {}", index[axis], x[0]->shape[axis]);
    }
    out.values.push_back(x[0]->values[position(x[0]->shape, index)]);
  });
  return {std::move(out)};
}

// ---- pad ----

std::vector<Type> pad_type(Types x, const Attributes& a) {
  const Shape &before = std::get<Shape>(a[0]), &after = std::get<Shape>(a[1]);
  require_entries(before.size(), "before", x[0]);
  require_entries(after.size(), "after", x[0]);
  Type result = x[0];
  for (std::size_t axis = 0; axis < before.size(); ++axis) {
    if (surely_negative(before[axis]) || surely_negative(after[axis]))
      fail("axis {} of {} is padded by {} and {}", axis, x[0].text(), before[axis].text(),
           after[axis].text());
    result.shape[axis] = before[axis] + x[0].shape[axis] + after[axis];
  }
  return {result};
}

std::vector<HostTensor> pad_reference(const ReferenceContext& c, Operands x) {
  const std::vector<std::int64_t> before = numbers(c, std::get<Shape>(c.attributes[0]));
  HostTensor out{c.result_shapes[0], std::vector<double>(element_count(c.result_shapes[0]), 0)};
  std::size_t next = 0;
  for_each_index(x[0]->shape, [&](std::vector<std::int64_t> index) {
    for (std::size_t axis = 0; axis < index.size(); ++axis) index[axis] += before[axis];
    out.values[position(out.shape, index)] = x[0]->values[next++];
  });
  return {std::move(out)};
}

// ---- concat ----

std::vector<Type> concat_type(Types x, const Attributes& a) {
  const std::size_t axis = checked_axis(a[0], x[0].rank());
  Type result = x[0];
  for (const Type& type : x.subspan(1)) {
    Type with_same_extent = type;
    if (type.rank() == x[0].rank()) with_same_extent.shape[axis] = x[0].shape[axis];
    if (with_same_extent != x[0])
      fail("{} and {} differ in more than axis {}", x[0].text(), type.text(), axis);
    result.shape[axis] = result.shape[axis] + type.shape[axis];
  }
  return {result};
}

MaybeValue concat_transpose(Builder& b, const NodeView& n, std::size_t k, std::span<const MaybeValue> y) {
  const Shape& shape = n.operand_types[k].shape;
  const auto axis = static_cast<std::size_t>(std::get<std::int64_t>(n.attributes[0]));
  Shape start = zeros(shape.size());
  for (std::size_t before = 0; before < k; ++before)
    start[axis] = start[axis] + n.operand_types[before].shape[axis];
  return b.slice(*y[0], start, shape, Integers(shape.size(), 1));
}

std::vector<HostTensor> concat_reference(const ReferenceContext& c, Operands x) {
  const auto axis = static_cast<std::size_t>(std::get<std::int64_t>(c.attributes[0]));
  HostTensor out{c.result_shapes[0], {}};
  for_each_index(out.shape, [&](std::vector<std::int64_t> index) {
    std::size_t part = 0;
    for (; index[axis] >= x[part]->shape[axis]; ++part) index[axis] -= x[part]->shape[axis];
    out.values.push_back(x[part]->values[position(x[part]->shape, index)]);
  });
  return {std::move(out)};
}

// ---- flip ----

std::vector<Type> flip_type(Types x, const Attributes& a) {
  const Integers& axes = std::get<Integers>(a[0]);
  for (std::size_t i = 0; i < axes.size(); ++i)
    if (axes[i] < (i ? axes[i - 1] + 1 : 0) || axes[i] >= static_cast<std::int64_t>(x[0].rank()))
      fail("the axes of a flip are not ascending axes of {}", x[0].text());
  return {x[0]};
}

}  // namespace

const OpDef slice_ = {.name = "slice",
                      .summary = "elements start + step·i of each axis, `extent` of them",
                      .arity = 1,
                      .attributes = kSliceAttributes,
                      .type_rule = slice_type,
                      .derivative = Linear{1, slice_transpose},
                      .jacobian = fixed_text<kSelection>,
                      .lowering = LayoutLowering{},
                      .reference = slice_reference};

const OpDef pad_ = {
    .name = "pad",
    .summary = "zeros (false) before and after the operand, on each axis",
    .arity = 1,
    .attributes = kPadAttributes,
    .type_rule = pad_type,
    .derivative =
        Linear{1,
               [](Builder& b, const NodeView& n, std::size_t, std::span<const MaybeValue> y) -> MaybeValue {
                 const Shape& shape = n.operand_types[0].shape;
                 return b.slice(*y[0], std::get<Shape>(n.attributes[0]), shape, Integers(shape.size(), 1));
               }},
    .jacobian = fixed_text<kPlacement>,
    .lowering = LayoutLowering{},
    .reference = pad_reference};

const OpDef concat_ = {.name = "concat",
                       .summary = "the operands one behind the other along an axis",
                       .arity = kAnyArity,
                       .attributes = kConcatAttributes,
                       .type_rule = concat_type,
                       .derivative = Linear{UINT32_MAX, concat_transpose},
                       .jacobian = fixed_text<kPlacement>,
                       .lowering = LayoutLowering{},
                       .reference = concat_reference};

const OpDef flip_ = {.name = "flip",
                     .summary = "axes in the reverse order of their elements",
                     .arity = 1,
                     .attributes = kFlipAttributes,
                     .type_rule = flip_type,
                     .derivative = Linear{1,
                                          [](Builder& b, const NodeView& n, std::size_t,
                                             std::span<const MaybeValue> y) -> MaybeValue {
                                            return b.flip(*y[0], std::get<Integers>(n.attributes[0]));
                                          }},
                     .jacobian = fixed_text<kReversal>,
                     .lowering = LayoutLowering{},
                     .reference = [](const ReferenceContext& c, Operands x) -> std::vector<HostTensor> {
                       HostTensor out{c.result_shapes[0], {}};
                       for_each_index(out.shape, [&](std::vector<std::int64_t> index) {
                         for (std::int64_t flipped : std::get<Integers>(c.attributes[0])) {
                           const auto axis = static_cast<std::size_t>(flipped);
                           index[axis] = out.shape[axis] - 1 - index[axis];
                         }
                         out.values.push_back(x[0]->values[position(out.shape, index)]);
                       });
                       return {std::move(out)};
                     }};

}  // namespace mlpc::ir::ops
