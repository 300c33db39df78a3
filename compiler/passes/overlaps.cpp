#include <algorithm>

#include "compiler/passes/passes.h"
#include "compiler/passes/rebuild.h"
#include "ir/bodies.h"
#include "ir/ops/einsum.h"

// The gradient of a convolution by its input is a fold of a contraction: every tap's product, then their
// sums. The sums of the contraction can be these sums, too: it is the convolution of the zero-padded
// cotangent with the flipped kernel, and no tap's product is stored.

namespace mlpc::passes {
namespace {

using ir::Builder;
using ir::Dim;
using ir::Graph;
using ir::Integers;
using ir::Node;
using ir::Op;
using ir::Shape;
using ir::ValueId;
using ir::ops::EinsumSpec;

bool surely_not_negative(const Dim& extent) { return extent.constant().value_or(-1) >= 0; }

std::size_t axis_of(const Node& node) {
  return static_cast<std::size_t>(std::get<std::int64_t>(node.attributes[0]));
}

/// The axis of a window's operand that is the result's `axis`; nullopt: the axis is one of the window's own.
std::optional<std::size_t> axis_below(const Node& window, std::size_t axis) {
  const std::size_t own = axis_of(window);
  if (axis == own || axis == own + 1) return std::nullopt;
  return axis < own ? axis : axis - 1;
}

ValueId windowed(Builder& b, const Node& window, ValueId x) {
  return b.value(Op::window_, {x}, window.attributes);
}

/// Zeros around x along an axis, below the windows of other axes and in one pad with others.
ValueId padded(Builder& b, ValueId x, std::size_t axis, const Dim& before, const Dim& after) {
  const Node node = b.graph().producer(x);
  if (node.op == Op::window_)
    if (const std::optional<std::size_t> below = axis_below(node, axis))
      return windowed(b, node, padded(b, b.graph().operands(node)[0], *below, before, after));
  Shape first(b.type(x).rank()), last(first);
  if (node.op == Op::pad_) {
    x = b.graph().operands(node)[0];
    first = std::get<Shape>(node.attributes[0]);
    last = std::get<Shape>(node.attributes[1]);
  }
  first[axis] = first[axis] + before;
  last[axis] = last[axis] + after;
  return b.pad(x, std::move(first), std::move(last));
}

/// `extent` elements from `start` on of an axis of windows over padded values, by fewer zeros; nullopt where
/// that is not the value's form.
std::optional<ValueId> sliced(Builder& b, ValueId x, std::size_t axis, const Dim& start, const Dim& extent) {
  const Node node = b.graph().producer(x);
  const Shape shape = b.type(x).shape;
  if (node.op == Op::pad_) {
    Shape first = std::get<Shape>(node.attributes[0]), last = std::get<Shape>(node.attributes[1]);
    first[axis] = first[axis] - start;
    last[axis] = last[axis] - (shape[axis] - start - extent);
    if (!surely_not_negative(first[axis]) || !surely_not_negative(last[axis])) return std::nullopt;
    return b.pad(b.graph().operands(node)[0], std::move(first), std::move(last));
  }
  if (node.op != Op::window_) return std::nullopt;
  const ValueId source = b.graph().operands(node)[0];
  const std::size_t own = axis_of(node);
  if (const std::optional<std::size_t> below = axis_below(node, axis)) {
    const std::optional<ValueId> part = sliced(b, source, *below, start, extent);
    return part ? std::optional(windowed(b, node, *part)) : std::nullopt;
  }
  const std::int64_t stride = std::get<std::int64_t>(node.attributes[2]),
                     dilation = std::get<std::int64_t>(node.attributes[3]);
  if (axis != own || stride != 1) return std::nullopt;
  const Dim reach = Dim(dilation) * (shape[own + 1] - 1);
  const std::optional<ValueId> part = sliced(b, source, own, start, extent + reach);
  return part ? std::optional(b.window(*part, own, {extent, shape[own + 1]}, stride, dilation))
              : std::nullopt;
}

bool is_padded_along(const Node& pad, std::size_t axis) {
  return std::get<Shape>(pad.attributes[0])[axis] != Dim(0) ||
         std::get<Shape>(pad.attributes[1])[axis] != Dim(0);
}

/// `stride` - 1 zeros between the elements of an axis, below the windows and pads of other axes.
ValueId spread(Builder& b, ValueId x, std::size_t axis, std::int64_t stride) {
  const Node node = b.graph().producer(x);
  if (node.op == Op::window_)
    if (const std::optional<std::size_t> below = axis_below(node, axis))
      return windowed(b, node, spread(b, b.graph().operands(node)[0], *below, stride));
  if (node.op == Op::pad_ && !is_padded_along(node, axis)) {
    const ValueId inside = spread(b, b.graph().operands(node)[0], axis, stride);
    return b.pad(inside, std::get<Shape>(node.attributes[0]), std::get<Shape>(node.attributes[1]));
  }
  const Shape shape = b.type(x).shape;
  Shape apart = shape, together = shape;
  apart.insert(apart.begin() + static_cast<std::ptrdiff_t>(axis) + 1, 1);
  together[axis] = shape[axis] * Dim(stride);
  Shape none(apart.size()), after = none;
  after[axis + 1] = stride - 1;
  const ValueId zeros = b.reshape(b.pad(b.reshape(x, apart), none, after), together);
  Shape extent = together;
  extent[axis] = together[axis] - Dim(stride - 1);
  return b.slice(zeros, Shape(shape.size()), extent, Integers(shape.size(), 1));
}

/// The operand that has a letter, if only one has it.
std::optional<std::size_t> only_operand(const EinsumSpec& spec, char letter) {
  std::optional<std::size_t> found;
  for (std::size_t k = 0; k < spec.operands.size(); ++k) {
    if (spec.operands[k].find(letter) == std::string::npos) continue;
    if (found) return std::nullopt;
    found = k;
  }
  return found;
}

// fold(einsum(p, q)) = einsum(window(pad(p)), flip(q)), where windows are an axis of p and taps one of q
std::optional<ValueId> fold_of_contraction(Builder& b, const Node& fold, ValueId x) {
  const Node product = b.graph().producer(x);
  if (fold.op != Op::fold_ || product.op != Op::einsum_) return std::nullopt;
  EinsumSpec spec = ir::ops::parse_einsum(std::get<std::string>(product.attributes[0]));
  const std::size_t axis = axis_of(fold);
  const Dim windows = b.type(x).shape[axis], taps = b.type(x).shape[axis + 1],
            extent = std::get<Shape>(fold.attributes[1])[0];
  const std::int64_t stride = std::get<std::int64_t>(fold.attributes[2]),
                     dilation = std::get<std::int64_t>(fold.attributes[3]);
  const char window_letter = spec.result[axis], tap_letter = spec.result[axis + 1];
  const std::optional<std::size_t> p = only_operand(spec, window_letter), q = only_operand(spec, tap_letter);
  if (!p || !q || p == q) return std::nullopt;
  const Dim reach = Dim(dilation) * (taps - 1), span = Dim(stride) * (windows - 1) + 1;
  const bool has_span = stride == 1 || surely_not_negative(windows - 1);
  if (!has_span || !surely_not_negative(reach) || !surely_not_negative(extent - span)) return std::nullopt;
  const auto operands_before = b.graph().operands(product);
  std::vector<ValueId> operands(operands_before.begin(), operands_before.end());
  const std::size_t p_axis = spec.operands[*p].find(window_letter);
  const auto q_axis = static_cast<std::int64_t>(spec.operands[*q].find(tap_letter));
  const ValueId source = stride == 1 ? operands[*p] : spread(b, operands[*p], p_axis, stride);
  operands[*p] =
      b.window(padded(b, source, p_axis, reach, extent - span), p_axis, {extent, taps}, 1, dilation);
  operands[*q] = b.flip(operands[*q], {q_axis});
  spec.operands[*p].insert(p_axis + 1, 1, tap_letter);
  spec.result.erase(axis + 1, 1);
  return b.einsum(spec.text(), operands);
}

// slice(einsum(window(pad(x)))): fewer zeros
std::optional<ValueId> slice_of_contraction(Builder& b, const Node& slice, ValueId x) {
  const Node product = b.graph().producer(x);
  if (slice.op != Op::slice_ || product.op != Op::einsum_) return std::nullopt;
  const EinsumSpec spec = ir::ops::parse_einsum(std::get<std::string>(product.attributes[0]));
  const auto operands_before = b.graph().operands(product);
  std::vector<ValueId> operands(operands_before.begin(), operands_before.end());
  const Shape shape = b.type(x).shape;
  const auto& start = std::get<Shape>(slice.attributes[0]);
  const auto& extent = std::get<Shape>(slice.attributes[1]);
  for (std::size_t axis = 0; axis < shape.size(); ++axis) {
    if (std::get<Integers>(slice.attributes[2])[axis] != 1) return std::nullopt;
    if (start[axis] == Dim(0) && extent[axis] == shape[axis]) continue;
    for (std::size_t k = 0; k < operands.size(); ++k) {
      const std::size_t at = spec.operands[k].find(spec.result[axis]);
      if (at == std::string::npos) continue;
      const std::optional<ValueId> part = sliced(b, operands[k], at, start[axis], extent[axis]);
      if (!part) return std::nullopt;
      operands[k] = *part;
    }
  }
  return b.einsum(spec.text(), operands);
}

// fold(x) = pad(reshape(x)) where windows lie side by side
std::optional<ValueId> fold_without_overlaps(Builder& b, const Node& fold, ValueId x) {
  if (fold.op != Op::fold_) return std::nullopt;
  const std::size_t axis = axis_of(fold);
  Shape shape = b.type(x).shape;
  if (shape[axis + 1] != Dim(std::get<std::int64_t>(fold.attributes[2])) ||
      std::get<std::int64_t>(fold.attributes[3]) != 1)
    return std::nullopt;
  shape[axis] = shape[axis] * shape[axis + 1];
  shape.erase(shape.begin() + static_cast<std::ptrdiff_t>(axis) + 1);
  const Dim left = std::get<Shape>(fold.attributes[1])[0] - shape[axis];
  if (!surely_not_negative(left)) return std::nullopt;
  const ValueId whole = b.reshape(x, shape);
  Shape after(shape.size());
  after[axis] = left;
  return left == Dim(0) ? whole : b.pad(whole, Shape(shape.size()), after);
}

Graph without_overlaps(const Graph& graph) {
  std::vector<int> uses(graph.value_count(), 0);
  for (std::uint32_t i = 0; i < graph.node_count(); ++i)
    for (ValueId operand : graph.operands(graph.node({i}))) ++uses[operand.index];
  for (const Graph::Result& result : graph.results) ++uses[result.value.index];
  return rebuild(graph, [&](Builder& b, ir::Copier& copier, const Node& node) {
    if (node.op != Op::fold_ && node.op != Op::slice_) return false;
    const ValueId operand = graph.operands(node)[0];
    const bool is_only_use = uses[operand.index] == 1;
    std::optional<ValueId> instead;
    if (is_only_use) instead = fold_of_contraction(b, node, copier.at(operand));
    if (!instead && is_only_use) instead = slice_of_contraction(b, node, copier.at(operand));
    if (!instead) instead = fold_without_overlaps(b, node, copier.at(operand));
    if (instead) copier.stand_in(Graph::result(node), *instead);
    return instead.has_value();
  });
}

}  // namespace

ir::Program contract_overlaps(const ir::Program& program) {
  ir::Program out = program;
  ir::BodyMapper map(without_overlaps);
  for (Graph& graph : out.graphs) graph = map(graph);
  return out;
}

}  // namespace mlpc::passes
