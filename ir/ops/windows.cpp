#include "ir/ops/common.h"

// Windows that slide over an axis, and what is summed where they lie: convolution and pooling are an einsum
// or a reduction over windows. `window` and `fold` are each other's transpose.

namespace mlpc::ir::ops {
namespace {

constexpr AttributeSpec kWindowAttributes[] = {{"axis", Kind::integer},
                                               {"extents", Kind::shape},
                                               {"stride", Kind::integer},
                                               {"dilation", Kind::integer}};
constexpr AttributeSpec kFoldAttributes[] = {
    {"axis", Kind::integer}, {"extent", Kind::shape}, {"stride", Kind::integer}, {"dilation", Kind::integer}};

std::size_t axis_of(const Attributes& a) { return static_cast<std::size_t>(std::get<std::int64_t>(a[0])); }
std::int64_t stride_of(const Attributes& a) { return std::get<std::int64_t>(a[2]); }
std::int64_t dilation_of(const Attributes& a) { return std::get<std::int64_t>(a[3]); }

/// `windows` windows of `taps` taps lie on an axis of extent n.
void require_fit(const Dim& n, const Dim& windows, const Dim& taps, const Attributes& a) {
  const std::int64_t stride = stride_of(a), dilation = dilation_of(a);
  if (stride < 1 || dilation < 1) fail("windows have a stride of {} and a dilation of {}", stride, dilation);
  if (surely_negative(n) || surely_negative(windows) || surely_negative(taps))
    fail("{} windows of {} on an axis of {}", windows.text(), taps.text(), n.text());
  const bool has_taps = surely_negative(0 - windows) && surely_negative(0 - taps);
  const Dim last = Dim(stride) * (windows - 1) + Dim(dilation) * (taps - 1);
  if (has_taps && surely_negative(n - last - 1))
    fail("{} windows of {} at a stride of {} and a dilation of {} do not fit on an axis of {}",
         windows.text(), taps.text(), stride, dilation, n.text());
}

std::vector<Type> window_type(Types x, const Attributes& a) {
  const std::size_t axis = checked_axis(a[0], x[0].rank());
  const Shape& extents = std::get<Shape>(a[1]);
  if (extents.size() != 2) fail("`extents` has {} entries, not two", extents.size());
  require_fit(x[0].shape[axis], extents[0], extents[1], a);
  Type result = x[0];
  result.shape[axis] = extents[0];
  result.shape.insert(result.shape.begin() + static_cast<std::ptrdiff_t>(axis) + 1, extents[1]);
  return {result};
}

std::vector<Type> fold_type(Types y, const Attributes& a) {
  require_number(y[0]);
  const std::size_t axis = checked_axis(a[0], y[0].rank());
  if (axis + 1 == y[0].rank()) fail("{} has no axis of taps behind axis {}", y[0].text(), axis);
  const Shape& extent = std::get<Shape>(a[1]);
  if (extent.size() != 1) fail("`extent` has {} entries, not one", extent.size());
  require_fit(extent[0], y[0].shape[axis], y[0].shape[axis + 1], a);
  Type result = y[0];
  result.shape[axis] = extent[0];
  result.shape.erase(result.shape.begin() + static_cast<std::ptrdiff_t>(axis) + 1);
  return {result};
}

/// The place on the axis of the tap that the window's index names; axes `axis` and `axis` + 1 become one.
std::vector<std::int64_t> without_taps(std::vector<std::int64_t> index, std::int64_t extent,
                                       const Attributes& a) {
  const auto at = index.begin() + static_cast<std::ptrdiff_t>(axis_of(a));
  *at = stride_of(a) * *at + dilation_of(a) * *(at + 1);
  if (*at >= extent) fail("a window reads element {} of {}", *at, extent);
  index.erase(at + 1);
  return index;
}

template <char const* text>
std::string fixed_text(const NodeView&, std::size_t, std::span<const std::string>, std::string_view) {
  return text;
}
constexpr char kWindows[] = "W", kOverlaps[] = "Wᵀ";

}  // namespace

const OpDef window_ = {
    .name = "window",
    .summary = "axis n becomes windows × taps: element stride·a + dilation·u of it",
    .arity = 1,
    .attributes = kWindowAttributes,
    .type_rule = window_type,
    .derivative =
        Linear{1,
               [](Builder& b, const NodeView& n, std::size_t, std::span<const MaybeValue> y) -> MaybeValue {
                 const Attributes& a = n.attributes;
                 return b.fold(*y[0], axis_of(a), n.operand_types[0].shape[axis_of(a)], stride_of(a),
                               dilation_of(a));
               }},
    .jacobian = fixed_text<kWindows>,
    .lowering = LayoutLowering{},
    .reference = [](const ReferenceContext& c, Operands x) -> std::vector<HostTensor> {
      HostTensor out{c.result_shapes[0], {}};
      const std::int64_t extent = x[0]->shape[axis_of(c.attributes)];
      for_each_index(out.shape, [&](const std::vector<std::int64_t>& index) {
        out.values.push_back(x[0]->values[position(x[0]->shape, without_taps(index, extent, c.attributes))]);
      });
      return {std::move(out)};
    }};

const OpDef fold_ = {
    .name = "fold",
    .summary = "windows × taps become one axis, on which overlapping windows are summed",
    .arity = 1,
    .attributes = kFoldAttributes,
    .type_rule = fold_type,
    .derivative =
        Linear{1,
               [](Builder& b, const NodeView& n, std::size_t, std::span<const MaybeValue> y) -> MaybeValue {
                 const Attributes& a = n.attributes;
                 const Shape& shape = n.operand_types[0].shape;
                 return b.window(*y[0], axis_of(a), {shape[axis_of(a)], shape[axis_of(a) + 1]}, stride_of(a),
                                 dilation_of(a));
               }},
    .jacobian = fixed_text<kOverlaps>,
    .lowering = FoldLowering{},
    .reference = [](const ReferenceContext& c, Operands y) -> std::vector<HostTensor> {
      HostTensor out{c.result_shapes[0], std::vector<double>(element_count(c.result_shapes[0]), 0)};
      const std::int64_t extent = out.shape[axis_of(c.attributes)];
      std::size_t next = 0;
      for_each_index(y[0]->shape, [&](const std::vector<std::int64_t>& index) {
        double& sum = out.values[position(out.shape, without_taps(index, extent, c.attributes))];
        sum = wrapped(c.result_types[0].element, sum + y[0]->values[next++]);
      });
      return {std::move(out)};
    }};

}  // namespace mlpc::ir::ops
