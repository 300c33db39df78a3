#include <algorithm>

#include "compiler/passes/passes.h"
#include "ir/bodies.h"
#include "ir/ops/einsum.h"
#include "ir/rebuild.h"

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

std::optional<char> fresh_letter(const EinsumSpec& spec) {
  const std::string used = spec.text();
  for (char letter = 'a'; letter <= 'z'; ++letter)
    if (used.find(letter) == std::string::npos) return letter;
  return std::nullopt;
}

/// A fold of a contraction: windows are an axis of operand p, taps are one of operand q.
struct FoldedProduct {
  EinsumSpec spec;
  std::vector<ValueId> operands;
  std::size_t axis, p, q, p_axis, q_axis;  // of the result; operands; their axes
  Dim windows, taps, extent;
  std::int64_t stride, dilation;
};

std::optional<FoldedProduct> folded_product(Builder& b, const Node& fold, std::size_t axis, ValueId x) {
  const Node product = b.graph().producer(x);
  FoldedProduct f{.spec = ir::ops::parse_einsum(std::get<std::string>(product.attributes[0])),
                  .operands = {},
                  .axis = axis,
                  .windows = b.type(x).shape[axis],
                  .taps = b.type(x).shape[axis + 1],
                  .extent = std::get<Shape>(fold.attributes[1])[0],
                  .stride = std::get<std::int64_t>(fold.attributes[2]),
                  .dilation = std::get<std::int64_t>(fold.attributes[3])};
  const char window_letter = f.spec.result[axis], tap_letter = f.spec.result[axis + 1];
  const std::optional<std::size_t> p = only_operand(f.spec, window_letter),
                                   q = only_operand(f.spec, tap_letter);
  if (!p || !q || p == q) return std::nullopt;
  f.p = *p;
  f.q = *q;
  f.p_axis = f.spec.operands[*p].find(window_letter);
  f.q_axis = f.spec.operands[*q].find(tap_letter);
  const auto operands = b.graph().operands(product);
  f.operands.assign(operands.begin(), operands.end());
  return f;
}

/// Windows of p, that begin `reach` before it, against the flipped taps of q.
ValueId correlation(Builder& b, FoldedProduct f, const Dim& extent, const Dim& taps, std::int64_t dilation) {
  const Dim reach = Dim(dilation) * (taps - 1);
  const ValueId around = padded(b, f.operands[f.p], f.p_axis, reach, extent - f.windows);
  f.operands[f.p] = b.window(around, f.p_axis, {extent, taps}, 1, dilation);
  f.operands[f.q] = b.flip(f.operands[f.q], {static_cast<std::int64_t>(f.q_axis)});
  f.spec.operands[f.p].insert(f.p_axis + 1, 1, f.spec.operands[f.q][f.q_axis]);
  return b.einsum(f.spec.text(), f.operands);
}

// fold(einsum(p, q)) = einsum(window(pad(p)), flip(q))
std::optional<ValueId> fold_at_stride_one(Builder& b, FoldedProduct f) {
  if (!surely_not_negative(Dim(f.dilation) * (f.taps - 1)) || !surely_not_negative(f.extent - f.windows))
    return std::nullopt;
  f.spec.result.erase(f.axis + 1, 1);
  return correlation(b, f, f.extent, f.taps, f.dilation);
}

// At a stride of s, element s·i + r is made by the taps s·t + r: for each r a fold at stride 1, over i.
std::optional<ValueId> fold_at_strides(Builder& b, FoldedProduct f) {
  const std::optional<char> phase = fresh_letter(f.spec);
  const Dim stride = f.stride, taps = Dim::ceildiv(f.taps, f.stride),
            extent = Dim::ceildiv(f.extent, f.stride);
  if (!phase || f.dilation != 1 || !surely_not_negative(taps - 1) || !surely_not_negative(extent - f.windows))
    return std::nullopt;
  Shape by_phase = b.type(f.operands[f.q]).shape;
  f.operands[f.q] = padded(b, f.operands[f.q], f.q_axis, 0, taps * stride - f.taps);
  by_phase[f.q_axis] = taps;
  by_phase.insert(by_phase.begin() + static_cast<std::ptrdiff_t>(f.q_axis) + 1, stride);
  f.operands[f.q] = b.reshape(f.operands[f.q], by_phase);
  f.spec.operands[f.q].insert(f.q_axis + 1, 1, *phase);
  f.spec.result[f.axis + 1] = *phase;
  const ValueId apart = correlation(b, f, extent, taps, 1);
  Shape shape = b.type(apart).shape;
  shape[f.axis] = extent * stride;
  shape.erase(shape.begin() + static_cast<std::ptrdiff_t>(f.axis) + 1);
  const ValueId whole = b.reshape(apart, shape);
  if (shape[f.axis] == f.extent) return whole;
  shape[f.axis] = f.extent;
  return b.slice(whole, Shape(shape.size()), shape, Integers(shape.size(), 1));
}

/// The axis whose elements a reshape takes together with those of the next one, if that is all it does.
std::optional<std::size_t> merged_axis(const Shape& from, const Shape& to) {
  const auto at = static_cast<std::size_t>(std::ranges::mismatch(from, to).in1 - from.begin());
  if (from.size() != to.size() + 1 || at >= to.size() || to[at] != from[at] * from[at + 1])
    return std::nullopt;
  return std::equal(from.begin() + static_cast<std::ptrdiff_t>(at) + 2, from.end(),
                    to.begin() + static_cast<std::ptrdiff_t>(at) + 1)
             ? std::optional(at)
             : std::nullopt;
}

/// The fold of axes `axis` and `axis` + 1 of a contraction, or of what another fold of one has become.
std::optional<ValueId> fold_of_contraction(Builder& b, const Node& fold, std::size_t axis, ValueId x) {
  const Node node = b.graph().producer(x);
  const Dim extent = std::get<Shape>(fold.attributes[1])[0];
  if (node.op == Op::einsum_) {
    std::optional<FoldedProduct> f = folded_product(b, fold, axis, x);
    if (!f) return std::nullopt;
    return f->stride == 1 ? fold_at_stride_one(b, *std::move(f)) : fold_at_strides(b, *std::move(f));
  }
  if (node.op != Op::slice_ && node.op != Op::reshape_) return std::nullopt;
  const ValueId source = b.graph().operands(node)[0];
  Shape shape = b.type(x).shape;
  shape[axis] = extent;
  shape.erase(shape.begin() + static_cast<std::ptrdiff_t>(axis) + 1);
  if (node.op == Op::slice_) {
    const Shape from = b.type(source).shape;
    if (from[axis] != b.type(x).shape[axis] || from[axis + 1] != b.type(x).shape[axis + 1])
      return std::nullopt;
    const std::optional<ValueId> folded = fold_of_contraction(b, fold, axis, source);
    if (!folded) return std::nullopt;
    return b.slice(*folded, Shape(shape.size()), shape, Integers(shape.size(), 1));
  }
  const std::optional<std::size_t> merged = merged_axis(b.type(source).shape, b.type(x).shape);
  if (!merged || merged == axis || merged == axis + 1) return std::nullopt;
  const std::optional<ValueId> folded =
      fold_of_contraction(b, fold, axis < *merged ? axis : axis + 1, source);
  return folded ? std::optional(b.reshape(*folded, shape)) : std::nullopt;
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
  return ir::rebuild(graph, [&](Builder& b, ir::Copier& copier, const Node& node) {
    if (node.op != Op::fold_ && node.op != Op::slice_) return false;
    const ValueId operand = graph.operands(node)[0];
    const bool is_only_use = uses[operand.index] == 1;
    std::optional<ValueId> instead;
    const Op below = graph.producer(operand).op;
    if (is_only_use && node.op == Op::fold_ && (below == Op::einsum_ || below == Op::fold_))
      instead = fold_of_contraction(b, node, axis_of(node), copier.at(operand));
    if (!instead && is_only_use) instead = slice_of_contraction(b, node, copier.at(operand));
    if (!instead) instead = fold_without_overlaps(b, node, copier.at(operand));
    if (instead) copier.stand_in(Graph::result(node), *instead);
    return instead.has_value();
  });
}

}  // namespace

ir::Program contract_overlaps(const ir::Program& program) {
  return ir::with_rewritten_graphs(program, without_overlaps);
}

}  // namespace mlpc::passes
