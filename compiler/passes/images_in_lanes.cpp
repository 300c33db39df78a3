#include <algorithm>
#include <numeric>
#include <optional>
#include <set>
#include <variant>

#include "compiler/passes/passes.h"
#include "compiler/passes/windows.h"
#include "ir/axis_groups.h"
#include "ir/bodies.h"
#include "ir/ops/einsum.h"
#include "ir/rebuild.h"
#include "ir/target.h"

// Convolutions of few channels have too few of them for lanes, and too few pixels in a row. What they all
// have is images: [B, c, h, w] is stored as [blocks, c, h, w, lanes], where image i is lane i mod lanes of
// block i / lanes. Every op of the region works on all lanes at once, so that the gradients of few channels
// and of pooling fill their vectors. The lanes behind the last image hold what comes of zeros, which may be
// anything: it is masked where images are summed. Only in graphs that learn: those have many images.

namespace mlpc::passes {
namespace {

using ir::Builder;
using ir::Dim;
using ir::Graph;
using ir::Integers;
using ir::Node;
using ir::NodeId;
using ir::Op;
using ir::Shape;
using ir::ValueId;
using ir::ops::EinsumSpec;

constexpr std::int64_t kFewChannels = 16;  // fill no vector
constexpr std::int64_t kLeastLanes = 8;    // fewer are filled by a few channels, too

bool has(const std::string& letters, char letter) { return letters.find(letter) != std::string::npos; }

/// A contraction of windows over images with something else.
struct Convolution {
  EinsumSpec spec;
  std::size_t windows;  // the operand that has them
  bool is_weight_gradient;
  std::int64_t work;   // products of an image
  std::int64_t lanes;  // channels that only the other operand has
};

std::optional<Convolution> convolution(const Graph& graph, const Node& node) {
  if (node.op != Op::einsum_ || node.operand_count != 2) return std::nullopt;
  const auto operands = graph.operands(node);
  Convolution c{ir::ops::parse_einsum(std::get<std::string>(node.attributes[0])), 0, false, 1, 0};
  const auto has_windows = [&](std::size_t k) {
    return !window_letters(graph, operands[k], c.spec.operands[k]).empty();
  };
  if (has_windows(0) == has_windows(1)) return std::nullopt;
  c.windows = has_windows(0) ? 0 : 1;
  const char image = c.spec.operands[c.windows].front();
  const std::string& other = c.spec.operands[1 - c.windows];
  if (has(window_letters(graph, operands[c.windows], c.spec.operands[c.windows]), image)) return std::nullopt;
  c.is_weight_gradient = !has(c.spec.result, image);
  if (c.is_weight_gradient ? other.front() != image : c.spec.result.front() != image || has(other, image))
    return std::nullopt;
  std::set<char> seen = {image};
  for (std::size_t k = 0; k < 2; ++k)
    for (std::size_t axis = 0; axis < c.spec.operands[k].size(); ++axis) {
      const char letter = c.spec.operands[k][axis];
      if (!seen.insert(letter).second) continue;
      const std::optional<std::int64_t> extent = graph.type(operands[k]).shape[axis].constant();
      if (!extent || *extent < 1 || c.work > INT32_MAX / *extent) return std::nullopt;
      c.work *= *extent;
      if (k != c.windows && !has(c.spec.operands[c.windows], letter) && has(c.spec.result, letter))
        c.lanes = std::max(c.lanes, *extent);
    }
  return c;
}

/// The number of images, where most of a graph's convolutions are better off with those in lanes.
std::optional<Dim> images_of(const Graph& graph, std::int64_t lanes) {
  constexpr std::int64_t kPart = 4;  // of the work is in convolutions of few channels
  std::optional<Dim> images;
  bool learns = false;
  std::int64_t work = 0, few = 0;
  for (std::uint32_t i = 0; i < graph.node_count(); ++i) {
    const Node& node = graph.node({i});
    const std::optional<Convolution> c = convolution(graph, node);
    if (!c) continue;
    const Dim& count = graph.type(graph.operands(node)[c->windows]).shape[0];
    if (images && *images != count) return std::nullopt;
    images = count;
    learns |= c->is_weight_gradient;
    work += c->work;
    few += c->lanes > 0 && c->lanes < kFewChannels ? c->work : 0;
  }
  if (!learns || few < work / kPart || images->constant().value_or(lanes) < lanes) return std::nullopt;
  return images;
}

class ImagesInLanes {
 public:
  ImagesInLanes(const Graph& from, Dim images, std::int64_t lanes)
      : from_(from),
        images_(std::move(images)),
        lanes_(lanes),
        blocks_(Dim::ceildiv(images_, lanes)),
        b_(out_),
        copier_(from, b_),
        forms_(from.value_count()),
        is_summed_(from.value_count()) {}

  Graph run() {
    out_.name = from_.name;
    note_sums();
    copier_.add_parameters();
    for (std::uint32_t i = 0; i < from_.node_count(); ++i) {
      const Node& node = from_.node({i});
      if (node.op == Op::parameter_) continue;
      if (!rewrite({i}, node)) copy({i}, node);
    }
    for (Graph::Result r : from_.results) {
      r.value = plain(r.value);
      out_.results.push_back(std::move(r));
    }
    return std::move(out_);
  }

 private:
  /// copier_ has one form of each value, with lanes or without.
  struct Forms {
    bool is_laned = false;         // the copier's
    std::optional<ValueId> other;  // where somebody asked for it
    bool is_masked = false;        // with lanes: 0 behind the last image
  };

  std::size_t rank(ValueId v) const { return from_.type(v).rank(); }
  const Shape& shape(ValueId v) const { return from_.type(v).shape; }
  ValueId operand(const Node& node) const { return from_.operands(node)[0]; }
  bool has_images(ValueId v) const { return rank(v) > 0 && shape(v)[0] == images_; }
  bool is_laned(ValueId v) const { return forms_[v.index].is_laned; }

  Shape laned_shape(const Shape& of) const {
    Shape out = of;
    out[0] = blocks_;
    out.emplace_back(lanes_);
    return out;
  }

  // ---- From one form to the other ----

  /// Behind the last image there are zeros.
  ValueId with_lanes(ValueId v) {
    const std::size_t r = b_.type(v).rank();
    Shape after(r), apart = b_.type(v).shape;
    after[0] = Dim(lanes_) * blocks_ - images_;
    apart[0] = blocks_;
    apart.insert(apart.begin() + 1, lanes_);
    Integers order(r + 1);
    std::iota(order.begin(), order.end(), 0);
    std::rotate(order.begin() + 1, order.begin() + 2, order.end());
    const ValueId padded = after[0] == Dim(0) ? v : b_.pad(v, Shape(r), after);
    return b_.transpose(b_.reshape(padded, apart), order);
  }

  ValueId without_lanes(ValueId v) {
    const std::size_t r = b_.type(v).rank();
    Integers order(r);
    std::iota(order.begin(), order.end(), 0);
    std::rotate(order.begin() + 1, order.end() - 1, order.end());
    Shape together = b_.type(v).shape;
    together.pop_back();
    Shape extent = together;
    together[0] = Dim(lanes_) * blocks_;
    extent[0] = images_;
    return b_.slice(b_.reshape(b_.transpose(v, order), together), Shape(r - 1), extent, Integers(r - 1, 1));
  }

  ValueId plain(ValueId v) {
    if (!is_laned(v)) return copier_.at(v);
    std::optional<ValueId>& other = forms_[v.index].other;
    if (!other) other = without_lanes(copier_.at(v));
    return *other;
  }

  ValueId laned(ValueId v) {
    if (is_laned(v)) return copier_.at(v);
    if (!forms_[v.index].other) forms_[v.index].other = masked(v, make(v));
    return *forms_[v.index].other;
  }

  /// Of what is there without lanes: a layout of something is made of that with lanes.
  ValueId make(ValueId v) {
    const Node& node = from_.producer(v);
    if (node.op == Op::broadcast_) return broadcast(node);
    // A pad is written anyway, in the very copy that turns.
    if (node.op != Op::pad_ && is_layout(node) && has_images(operand(node)))
      if (const std::optional<ValueId> made = layout(node, laned(operand(node)))) {
        forms_[v.index].is_masked = forms_[operand(node).index].is_masked;
        return *made;
      }
    forms_[v.index].is_masked = true;
    return with_lanes(copier_.at(v));
  }

  // ---- What is summed over images ----

  /// What windows, pads and the like are of is masked before them.
  void note_sums() {
    for (std::uint32_t i = 0; i < from_.node_count(); ++i) {
      const Node& node = from_.node({i});
      const std::optional<Convolution> c = convolution(from_, node);
      if (!(c && c->is_weight_gradient) && !sums_images(node)) continue;
      for (ValueId v : from_.operands(node)) {
        is_summed_[v.index] = true;
        while (is_layout(from_.producer(v)) && has_images(operand(from_.producer(v)))) {
          v = operand(from_.producer(v));
          is_summed_[v.index] = true;
        }
      }
    }
  }

  bool sums_images(const Node& node) const {
    return node.op == Op::reduce_sum_ && has_images(operand(node)) &&
           std::ranges::count(std::get<Integers>(node.attributes[0]), 0) > 0;
  }

  /// What stands for v with lanes, which are 0 behind the last image if they have to be.
  ValueId masked(ValueId v, ValueId to) {
    if (!is_summed_[v.index] || forms_[v.index].is_masked) return to;
    forms_[v.index].is_masked = true;
    const ValueId exists = with_lanes(b_.full({ir::ElementType::boolean, {images_}}, 1));
    return apart({to}, [&](std::span<const ValueId> x) {
      const ir::Type type = b_.type(x[0]);
      const Integers axes = {0, static_cast<std::int64_t>(type.rank()) - 1};
      return b_.where(b_.broadcast(exists, type.shape, axes), x[0], b_.full(type, 0));
    });
  }

  void bind(const Node& node, ValueId to) {
    const ValueId v = Graph::result(node);
    forms_[v.index].is_laned = true;
    copier_.stand_in(v, masked(v, to));
  }

  // ---- Ops ----

  /// What a reshape that takes axes together is of; nullopt for every other value.
  std::optional<ValueId> parts_of(ValueId v) const {
    const Node& node = out_.producer(v);
    if (node.op != Op::reshape_) return std::nullopt;
    const ValueId parts = out_.operands(node)[0];
    return out_.type(parts).rank() > out_.type(v).rank() ? std::optional(parts) : std::nullopt;
  }

  /// An elementwise function of operands that some reshape takes axes together for: of their parts, before
  /// that. It can be computed where the parts are, which a reshape of them could only read from memory.
  template <typename F>
  ValueId apart(std::vector<ValueId> operands, F f) {
    const auto found = std::ranges::find_if(operands, [&](ValueId v) { return parts_of(v).has_value(); });
    if (found == operands.end()) return f(operands);
    const Shape together = b_.type(*found).shape, parts = b_.type(*parts_of(*found)).shape;
    for (ValueId& v : operands) {
      const std::optional<ValueId> own = parts_of(v);
      v = own && b_.type(*own).shape == parts ? *own : b_.reshape(v, parts);
    }
    return b_.reshape(f(operands), together);
  }

  void copy(NodeId id, const Node& node) {
    std::vector<ValueId> operands;
    for (ValueId v : from_.operands(node)) operands.push_back(plain(v));
    copier_.copy_with(id, operands);
  }

  bool rewrite(NodeId id, const Node& node) {
    if (const std::optional<Convolution> c = convolution(from_, node)) {
      convolve(node, *c);
      return true;
    }
    const auto operands = from_.operands(node);
    if (std::ranges::none_of(operands, [&](ValueId v) { return is_laned(v); })) return false;
    const ir::OpLowering& lowering = ir::def(node.op).lowering;
    if (std::holds_alternative<ir::ElementwiseLowering>(lowering)) {
      elementwise(id, node);
      return true;
    }
    if (is_layout(node)) {
      const std::optional<ValueId> to = layout(node, laned(operands[0]));
      if (!to) return false;
      forms_[Graph::result(node).index].is_masked = forms_[operands[0].index].is_masked;
      bind(node, *to);
      return true;
    }
    return reduction(node, lowering);
  }

  void elementwise(NodeId id, const Node& node) {
    std::vector<ValueId> operands;
    for (ValueId v : from_.operands(node)) operands.push_back(laned(v));
    bind(node, apart(operands, [&](std::span<const ValueId> x) {
           copier_.copy_with(id, x);
           return copier_.at(Graph::result(node));
         }));
  }

  ValueId broadcast(const Node& node) {
    const Shape now = laned_shape(std::get<Shape>(node.attributes[0]));
    Integers axes = std::get<Integers>(node.attributes[1]);
    if (axes.empty() || axes[0] != 0) return b_.broadcast(plain(operand(node)), now, axes);
    axes.push_back(static_cast<std::int64_t>(now.size()) - 1);
    return b_.broadcast(laned(operand(node)), now, axes);
  }

  static bool is_layout(const Node& node) {
    return node.operand_count == 1 && std::holds_alternative<ir::LayoutLowering>(ir::def(node.op).lowering);
  }

  /// A layout op that keeps images first, of its operand with lanes; nullopt for all others.
  std::optional<ValueId> layout(const Node& node, ValueId x) {
    const ValueId v = Graph::result(node);
    if (!has_images(v)) return std::nullopt;
    ir::Attributes attributes = node.attributes;
    const auto last = static_cast<std::int64_t>(rank(v));
    switch (node.op) {
      case Op::broadcast_:
        return std::get<Integers>(attributes[1])[0] == 0 ? std::optional(broadcast(node)) : std::nullopt;
      case Op::reshape_:
        return b_.reshape(x, laned_shape(shape(v)));
      case Op::transpose_:
        if (std::get<Integers>(attributes[0])[0] != 0) return std::nullopt;
        std::get<Integers>(attributes[0]).push_back(last);
        break;
      case Op::flip_:
        if (std::get<Integers>(attributes[0]).front() == 0) return std::nullopt;
        break;
      case Op::window_:
        if (std::get<std::int64_t>(attributes[0]) == 0) return std::nullopt;
        break;
      case Op::pad_:
        if (std::get<Shape>(attributes[0])[0] != Dim(0) || std::get<Shape>(attributes[1])[0] != Dim(0))
          return std::nullopt;
        for (std::size_t i : {0, 1}) std::get<Shape>(attributes[i]).emplace_back(0);
        break;
      case Op::slice_:
        if (std::get<Shape>(attributes[1])[0] != images_) return std::nullopt;
        std::get<Shape>(attributes[0]).emplace_back(0);
        std::get<Shape>(attributes[1])[0] = blocks_;
        std::get<Shape>(attributes[1]).emplace_back(lanes_);
        std::get<Integers>(attributes[2]).push_back(1);
        break;
      case Op::recompute_:
        break;
      default:
        return std::nullopt;
    }
    return b_.value(node.op, {x}, attributes);
  }

  /// Not over images; or their sum: pixel by pixel of a block first, then block by block, then over the
  /// lanes.
  bool reduction(const Node& node, const ir::OpLowering& lowering) {
    if (!std::holds_alternative<ir::ReductionLowering>(lowering)) return false;
    const auto* axes = std::get_if<Integers>(&node.attributes[0]);
    if (!axes || node.operand_count != 1) return false;
    const bool takes_images = std::ranges::count(*axes, 0) > 0;
    if (takes_images && !sums_images(node)) return false;
    Integers others = *axes;
    std::erase(others, 0);
    ValueId x = laned(operand(node));
    if (!others.empty()) x = reduced(node.op, x, others);
    if (!takes_images)
      bind(node, x);
    else
      copier_.stand_in(Graph::result(node), over_lanes(b_.reduce_sum(x, {0})));
    return true;
  }

  /// Over axes, or over the parts that a reshape takes together for each of them, whose order is the same.
  ValueId reduced(Op op, ValueId x, const Integers& axes) {
    const std::optional<ValueId> parts = parts_of(x);
    if (!parts) return b_.value(op, {x}, {axes});
    Integers of_parts;
    for (const ir::AxisGroup& g : ir::matching_groups(b_.type(*parts).shape, b_.type(x).shape)) {
      const auto axis = static_cast<std::int64_t>(g.result_begin);
      const bool is_reduced = std::ranges::count(axes, axis) > 0;
      if (is_reduced && g.result_end - g.result_begin != 1) return b_.value(op, {x}, {axes});
      for (std::size_t i = g.operand_begin; is_reduced && i < g.operand_end; ++i)
        of_parts.push_back(static_cast<std::int64_t>(i));
    }
    return b_.value(op, {*parts}, {of_parts});
  }

  ValueId over_lanes(ValueId x) {
    return b_.reduce_sum(x, {static_cast<std::int64_t>(b_.type(x).rank()) - 1});
  }

  void convolve(const Node& node, const Convolution& c) {
    const auto operands = from_.operands(node);
    char lane = 'a';
    while (has(c.spec.operands[0] + c.spec.operands[1], lane)) ++lane;
    EinsumSpec spec = c.spec;
    std::vector<ValueId> now;
    for (std::size_t k = 0; k < 2; ++k) {
      const bool is_laned = k == c.windows || c.is_weight_gradient;
      now.push_back(is_laned ? laned(operands[k]) : plain(operands[k]));
      if (is_laned) spec.operands[k] += lane;
    }
    spec.result += lane;
    const ValueId y = b_.einsum(spec.text(), now);
    if (c.is_weight_gradient)
      copier_.stand_in(Graph::result(node), over_lanes(y));
    else
      bind(node, y);
  }

  const Graph& from_;
  const Dim images_;
  const std::int64_t lanes_;
  const Dim blocks_;
  Graph out_;
  Builder b_;
  ir::Copier copier_;
  std::vector<Forms> forms_;     // by value of `from_`
  std::vector<bool> is_summed_;  // by value of `from_`: has to be 0 behind the last image
};

}  // namespace

ir::Program images_in_lanes(const ir::Program& program) {
  const ir::Target* target = ir::target_named(program.target);
  const std::int64_t lanes = target ? target->lanes : 1;
  if (lanes < kLeastLanes) return program;
  return ir::with_rewritten_graphs(program, [lanes](const Graph& graph) {
    const std::optional<Dim> images = images_of(graph, lanes);
    return images ? ImagesInLanes(graph, *images, lanes).run() : graph;
  });
}

}  // namespace mlpc::passes
