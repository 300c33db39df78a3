#include <algorithm>
#include <map>
#include <numeric>
#include <optional>
#include <variant>

#include "compiler/passes/passes.h"
#include "compiler/passes/windows.h"
#include "ir/axis_groups.h"
#include "ir/bodies.h"
#include "ir/ops/einsum.h"
#include "ir/rebuild.h"

// Kernels of convolutions have output channels in lanes, so tensors between them are stored with the channels
// last. A value of the new graph stands for one of the old graph up to the order of its axes; what works
// element by element follows the order of its operands, and a transpose stands only where an order ends: at
// the weights, at inputs, at results, and before ops that know no order.

namespace mlpc::passes {
namespace {

using ir::Builder;
using ir::Graph;
using ir::Integers;
using ir::Node;
using ir::NodeId;
using ir::Op;
using ir::Shape;
using ir::ValueId;
using ir::ops::EinsumSpec;

constexpr std::int64_t kLeastChannels = 16;  // to be lanes
constexpr std::int64_t kFewChannels =
    8;  // of an operand that is spread over lanes: its order is good as it is

/// Axis i of what is stored is axis order[i] of what it stands for.
using Order = Integers;

std::size_t at(const Order& order, std::size_t i) { return static_cast<std::size_t>(order[i]); }

Order natural(std::size_t rank) {
  Order order(rank);
  std::iota(order.begin(), order.end(), 0);
  return order;
}

bool is_natural(const Order& order) { return std::ranges::is_sorted(order); }

Order inverse(const Order& order) {
  Order out(order.size());
  for (std::size_t i = 0; i < order.size(); ++i) out[at(order, i)] = static_cast<std::int64_t>(i);
  return out;
}

/// Attributes, extents or letters, one an axis.
template <typename T>
T permuted(const T& by_axis, const Order& order) {
  T out = by_axis;
  for (std::size_t i = 0; i < order.size(); ++i) out[i] = by_axis[at(order, i)];
  return out;
}

/// The order of windows over what has the given one: axis `axis` becomes two that follow each other.
Order windowed(const Order& order, std::int64_t axis) {
  Order out;
  for (std::int64_t a : order) {
    out.push_back(a > axis ? a + 1 : a);
    if (a == axis) out.push_back(a + 1);
  }
  return out;
}

/// Its inverse; nullopt where they do not.
std::optional<Order> without_window(const Order& order, std::int64_t axis) {
  Order out;
  for (std::int64_t a : order)
    if (a != axis + 1) out.push_back(a > axis ? a - 1 : a);
  return windowed(out, axis) == order ? std::optional(out) : std::nullopt;
}

/// A contraction of windows with something else, by letters.
struct Convolution {
  EinsumSpec spec;
  std::size_t windows;      // the operand that has them
  char channel;             // of that operand; the axis that is no window and no batch
  char lanes;               // of the result, from the other operand
  bool is_weight_gradient;  // windows are summed, not kept
  std::string& x() { return spec.operands[windows]; }
  std::string& other() { return spec.operands[1 - windows]; }
};

std::optional<Convolution> convolution(const Graph& graph, const Node& node) {
  Convolution c{ir::ops::parse_einsum(std::get<std::string>(node.attributes[0])), 0, ' ', ' ', false};
  const auto operands = graph.operands(node);
  if (operands.size() != 2 || c.spec.result.empty()) return std::nullopt;
  std::string windows[2];
  for (std::size_t k = 0; k < 2; ++k) windows[k] = window_letters(graph, operands[k], c.spec.operands[k]);
  if (windows[0].empty() == windows[1].empty()) return std::nullopt;
  c.windows = windows[0].empty() ? 1 : 0;
  const auto has = [](const std::string& letters, char letter) {
    return letters.find(letter) != std::string::npos;
  };
  std::string plain;  // axes of x that are neither windows nor taps
  for (char letter : c.x())
    if (!has(windows[c.windows], letter)) plain += letter;
  if (plain.size() != 2 || has(c.spec.result, plain[0]) == has(c.spec.result, plain[1])) return std::nullopt;
  const char kept = has(c.spec.result, plain[0]) ? plain[0] : plain[1];
  const char summed = kept == plain[0] ? plain[1] : plain[0];
  if (has(c.other(), kept) || !has(c.other(), summed)) return std::nullopt;
  const auto axis =
      static_cast<std::size_t>(std::get<std::int64_t>(graph.producer(operands[c.windows]).attributes[0]));
  c.is_weight_gradient = !has(c.spec.result, c.x()[axis]);
  c.channel = c.is_weight_gradient ? kept : summed;
  std::int64_t most = kLeastChannels - 1;
  for (std::size_t i = 0; i < c.other().size(); ++i) {
    const char letter = c.other()[i];
    const std::int64_t extent = graph.type(operands[1 - c.windows]).shape[i].constant().value_or(0);
    if (has(c.x(), letter) || !has(c.spec.result, letter) || extent <= most) continue;
    c.lanes = letter;
    most = extent;
  }
  return c.lanes == ' ' ? std::nullopt : std::optional(c);
}

class ChannelsLast {
 public:
  explicit ChannelsLast(const Graph& from)
      : from_(from), b_(out_), copier_(from, b_), orders_(from.value_count()) {}

  Graph run() {
    out_.name = from_.name;
    copier_.add_parameters();
    for (std::uint32_t i = 0; i < from_.node_count(); ++i) {
      const Node& node = from_.node({i});
      if (node.op == Op::parameter_) continue;
      if (!rewrite({i}, node)) copy({i}, node);
      const ValueId v = Graph::result(node), to = copier_.at(v);
      if (out_.comment(to).empty() && !from_.comment(v).empty()) out_.set_comment(to, from_.comment(v));
    }
    for (Graph::Result r : from_.results) {
      r.value = in_order(r.value, natural(rank(r.value)));
      out_.results.push_back(std::move(r));
    }
    return std::move(out_);
  }

 private:
  std::size_t rank(ValueId v) const { return from_.type(v).rank(); }
  const Order& order_of(ValueId v) const { return orders_[v.index]; }
  bool is_natural_value(ValueId v) const { return order_of(v).empty() || is_natural(order_of(v)); }
  bool has_order(ValueId v, const Order& order) const {
    return is_natural_value(v) ? is_natural(order) : order_of(v) == order;
  }

  void bind(const Node& node, ValueId to, Order order) {
    copier_.stand_in(Graph::result(node), to);
    orders_[Graph::result(node).index] = std::move(order);
  }

  void copy(NodeId id, const Node& node) {
    std::vector<ValueId> operands;
    for (ValueId v : from_.operands(node)) operands.push_back(in_order(v, natural(rank(v))));
    copier_.copy_with(id, operands);
  }

  /// v with its axes in some order: remade where that costs nothing, else turned.
  ValueId in_order(ValueId v, const Order& order) {
    if (has_order(v, order)) return copier_.at(v);
    const auto found = made_.find({v.index, order});
    if (found != made_.end()) return found->second;
    const ValueId made = make(v, order);
    made_.emplace(std::pair(v.index, order), made);
    return made;
  }

  ValueId make(ValueId v, const Order& order) {
    const Node& node = from_.producer(v);
    if (node.op == Op::broadcast_) return broadcast(node, order);
    if (node.op == Op::window_) {
      const std::int64_t axis = std::get<std::int64_t>(node.attributes[0]);
      if (const std::optional<Order> below = without_window(order, axis)) return window(node, *below);
    }
    if (node.op == Op::pad_ || node.op == Op::slice_) return part(node, order);
    return turned(v, order);
  }

  /// A transpose of what there is.
  ValueId turned(ValueId v, const Order& order) {
    const Order place = inverse(is_natural_value(v) ? natural(rank(v)) : order_of(v));
    return b_.transpose(copier_.at(v), permuted(place, order));
  }

  ValueId operand(const Node& node) const { return from_.operands(node)[0]; }

  ValueId broadcast(const Node& node, const Order& order) {
    const auto& axes = std::get<Integers>(node.attributes[1]);
    const Order place = inverse(order);
    Order below = natural(axes.size());  // the operand's axes as they follow each other in the result
    const auto place_of = [&](std::int64_t i) { return place[at(axes, static_cast<std::size_t>(i))]; };
    std::ranges::sort(below, {}, place_of);
    Integers now;
    for (std::int64_t i : below) now.push_back(place_of(i));
    return b_.broadcast(in_order(operand(node), below), permuted(std::get<Shape>(node.attributes[0]), order),
                        now);
  }

  ValueId window(const Node& node, const Order& below) {
    ir::Attributes attributes = node.attributes;
    attributes[0] =
        std::int64_t{std::ranges::find(below, std::get<std::int64_t>(node.attributes[0])) - below.begin()};
    return b_.value(Op::window_, {in_order(operand(node), below)}, attributes);
  }

  /// pad, slice: attributes are by axis.
  ValueId part(const Node& node, const Order& order) {
    ir::Attributes attributes = node.attributes;
    for (std::size_t i = 0; i < attributes.size(); ++i)
      if (auto* extents = std::get_if<Shape>(&attributes[i]))
        *extents = permuted(*extents, order);
      else
        attributes[i] = permuted(std::get<Integers>(attributes[i]), order);
    return b_.value(node.op, {in_order(operand(node), order)}, attributes);
  }

  bool rewrite(NodeId id, const Node& node) {
    if (node.op == Op::einsum_) return contraction(node);
    const ir::OpLowering& lowering = ir::def(node.op).lowering;
    if (std::holds_alternative<ir::ElementwiseLowering>(lowering) || node.op == Op::recompute_)
      return elementwise(id, node);
    if (node.operand_count != 1 || is_natural_value(operand(node))) return false;
    const Order& order = order_of(operand(node));
    switch (node.op) {
      case Op::window_:
        bind(node, window(node, order), windowed(order, std::get<std::int64_t>(node.attributes[0])));
        return true;
      case Op::pad_:
      case Op::slice_:
        bind(node, part(node, order), order);
        return true;
      case Op::transpose_:
        bind(node, copier_.at(operand(node)),
             permuted(inverse(std::get<Integers>(node.attributes[0])), order));
        return true;
      case Op::reshape_:
        return reshape(node, order);
      default:
        break;
    }
    const bool is_reduction = std::holds_alternative<ir::ReductionLowering>(lowering);
    return is_reduction && std::holds_alternative<Integers>(node.attributes[0]) && reduction(node, order);
  }

  bool elementwise(NodeId id, const Node& node) {
    const auto operands = from_.operands(node);
    const auto turned = std::ranges::find_if(operands, [&](ValueId v) { return !is_natural_value(v); });
    if (turned == operands.end()) return false;
    const Order order = order_of(*turned);
    std::vector<ValueId> now;
    for (ValueId v : operands) now.push_back(in_order(v, order));
    copier_.copy_with(id, now);
    orders_[Graph::result(node).index] = order;
    return true;
  }

  /// Axes in the order in which they are stored. Sums of rows that lie one behind the other are done image by
  /// image first, which makes tasks of them, and chains short.
  bool reduction(const Node& node, const Order& order) {
    const auto& axes = std::get<Integers>(node.attributes[0]);
    const auto is_reduced = [&](std::int64_t axis) { return std::ranges::find(axes, axis) != axes.end(); };
    Integers stored;
    Order kept;
    for (std::size_t i = 0; i < order.size(); ++i)
      if (is_reduced(order[i]))
        stored.push_back(static_cast<std::int64_t>(i));
      else
        kept.push_back(order[i] - std::ranges::count_if(axes, [&](std::int64_t a) { return a < order[i]; }));
    ValueId x = copier_.at(operand(node));
    if (stored.size() > 1 && stored[0] == 0 && !is_reduced(order.back())) {
      x = b_.value(node.op, {x}, {Integers(stored.begin() + 1, stored.end())});
      stored = {0};
    }
    bind(node, b_.value(node.op, {x}, {stored}), kept);
    return true;
  }

  /// Where each group of axes that is taken together or apart lies together.
  bool reshape(const Node& node, const Order& order) {
    const Shape &from = from_.type(operand(node)).shape, &to = from_.type(Graph::result(node)).shape;
    const std::vector<ir::AxisGroup> groups = ir::matching_groups(from, to);
    Order now;
    for (std::size_t i = 0; i < order.size();) {
      const auto group = std::ranges::find_if(groups, [&](const ir::AxisGroup& g) {
        return g.operand_begin == at(order, i) && g.operand_end > at(order, i);
      });
      if (group == groups.end()) return false;
      for (std::size_t axis = group->operand_begin; axis < group->operand_end; ++axis, ++i)
        if (i == order.size() || at(order, i) != axis) return false;
      for (std::size_t axis = group->result_begin; axis < group->result_end; ++axis)
        now.push_back(static_cast<std::int64_t>(axis));
    }
    if (now.size() != to.size()) return false;  // new axes of extent 1 belong to no group
    bind(node, b_.reshape(copier_.at(operand(node)), permuted(to, now)), now);
    return true;
  }

  bool contraction(const Node& node) {
    if (std::optional<Convolution> c = convolution(from_, node)) {
      convolve(node, *std::move(c));
      return true;
    }
    const auto operands = from_.operands(node);
    if (std::ranges::all_of(operands, [&](ValueId v) { return is_natural_value(v); })) return false;
    const auto has_windows = [&](ValueId v) { return from_.producer(v).op == Op::window_; };
    if (std::ranges::any_of(operands, has_windows)) return false;  // they are lanes
    EinsumSpec spec = ir::ops::parse_einsum(std::get<std::string>(node.attributes[0]));
    std::vector<ValueId> now;
    for (std::size_t k = 0; k < operands.size(); ++k) {
      if (!is_natural_value(operands[k]))
        spec.operands[k] = permuted(spec.operands[k], order_of(operands[k]));
      now.push_back(copier_.at(operands[k]));
    }
    bind(node, b_.einsum(spec.text(), now), {});
    return true;
  }

  /// Where each of `wanted` stands in `letters`.
  static Order order_as(const std::string& letters, const std::string& wanted) {
    Order order;
    for (char letter : wanted) order.push_back(static_cast<std::int64_t>(letters.find(letter)));
    return order;
  }

  void convolve(const Node& node, Convolution c) {
    const auto operands = from_.operands(node);
    const ValueId x = operands[c.windows], other = operands[1 - c.windows];
    Order x_order = is_natural_value(x) ? natural(rank(x)) : order_of(x);
    const std::size_t channel = c.x().find(c.channel);
    if (from_.type(x).shape[channel].constant().value_or(0) >= kFewChannels) {
      x_order = natural(rank(x));
      std::rotate(x_order.begin() + static_cast<std::ptrdiff_t>(channel),
                  x_order.begin() + static_cast<std::ptrdiff_t>(channel) + 1, x_order.end());
    }
    const std::string x_letters = permuted(c.x(), x_order);
    // What is summed runs through both operands in one order, with the lanes innermost.
    std::string other_letters;
    for (char letter : c.other())
      if (x_letters.find(letter) == std::string::npos && letter != c.lanes) other_letters += letter;
    for (char letter : x_letters)
      if (c.other().find(letter) != std::string::npos) other_letters += letter;
    other_letters += c.lanes;
    std::string result = c.spec.result;
    if (!c.is_weight_gradient) {
      std::erase(result, c.lanes);
      result += c.lanes;
    }
    const Order result_order = order_as(c.spec.result, result),
                other_order = order_as(c.other(), other_letters);
    const ValueId streamed = c.is_weight_gradient || has_order(other, other_order)
                                 ? in_order(other, other_order)
                                 : turned(other, other_order);
    EinsumSpec spec{{x_letters, other_letters}, result, {}};
    const ValueId now[] = {in_order(x, x_order), streamed};
    bind(node, b_.einsum(spec.text(), now), result_order);
  }

  const Graph& from_;
  Graph out_;
  Builder b_;
  ir::Copier copier_;
  std::vector<Order> orders_;  // by value of `from_`; empty: as it was
  std::map<std::pair<std::uint32_t, Order>, ValueId> made_;
};

Graph with_channels_last(const Graph& graph) {
  const auto is_convolution = [&](std::uint32_t i) {
    const Node& node = graph.node({i});
    return node.op == Op::einsum_ && convolution(graph, node);
  };
  for (std::uint32_t i = 0; i < graph.node_count(); ++i)
    if (is_convolution(i)) return ChannelsLast(graph).run();
  return graph;
}

}  // namespace

ir::Program channels_last(const ir::Program& program) {
  return ir::with_rewritten_graphs(program, with_channels_last);
}

}  // namespace mlpc::passes
