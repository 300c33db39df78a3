#include <algorithm>
#include <array>
#include <map>

#include "compiler/passes/passes.h"
#include "ir/bodies.h"
#include "ir/error.h"
#include "ir/ops/einsum.h"
#include "ir/rebuild.h"

namespace mlpc::passes {
namespace {

using ir::Builder;
using ir::Constant;
using ir::Graph;
using ir::Integers;
using ir::Node;
using ir::Op;
using ir::ValueId;

/// The number that every element of v is, if v is a constant or a broadcast of one.
std::optional<Constant> splat(const Graph& graph, ValueId v) {
  while (graph.producer(v).op == Op::broadcast_) v = graph.operands(graph.producer(v))[0];
  if (graph.producer(v).op != Op::constant_) return std::nullopt;
  return std::get<Constant>(graph.producer(v).attributes[0]);
}

bool is_splat_of(const Graph& graph, ValueId v, double x) {
  const std::optional<Constant> c = splat(graph, v);
  return c && ir::is_float(c->type) && *c == Constant::of(c->type, x);
}

/// One rule: the value that stands for the node, or nullopt where the rule does not fit. Operands are of the
/// new graph.
using Rule = std::optional<ValueId> (*)(Builder&, const Node&, std::span<const ValueId> x);

// x · 1 = x, in every bit
std::optional<ValueId> multiply_by_one(Builder& b, const Node& n, std::span<const ValueId> x) {
  if (n.op != Op::mul_) return std::nullopt;
  if (is_splat_of(b.graph(), x[1], 1)) return x[0];
  if (is_splat_of(b.graph(), x[0], 1)) return x[1];
  return std::nullopt;
}

// x / 1 = x
std::optional<ValueId> divide_by_one(Builder& b, const Node& n, std::span<const ValueId> x) {
  return n.op == Op::div_ && is_splat_of(b.graph(), x[1], 1) ? std::optional(x[0]) : std::nullopt;
}

// -(-x) = x
std::optional<ValueId> negate_twice(Builder& b, const Node& n, std::span<const ValueId> x) {
  if (n.op != Op::neg_ || b.graph().producer(x[0]).op != Op::neg_) return std::nullopt;
  return b.graph().operands(b.graph().producer(x[0]))[0];
}

// convert(c) is a constant where no bit is lost or the rounding is that of the conversion
std::optional<ValueId> convert_constant(Builder& b, const Node& n, std::span<const ValueId> x) {
  if (n.op != Op::convert_) return std::nullopt;
  const auto to = std::get<ir::ElementType>(n.attributes[0]);
  if (to == b.type(x[0]).element) return x[0];
  const Node& source = b.graph().producer(x[0]);
  if (source.op != Op::constant_ || !ir::is_float(to)) return std::nullopt;
  const Constant c = std::get<Constant>(source.attributes[0]);
  return ir::is_float(c.type) ? std::optional(b.scalar(to, c.as_double())) : std::nullopt;
}

// sums and products of integers that are constants, as those of unrolled turns are
std::optional<ValueId> integer_arithmetic(Builder& b, const Node& n, std::span<const ValueId> x) {
  if ((n.op != Op::add_ && n.op != Op::mul_) || b.type(x[0]) != ir::Type{ir::ElementType::i64, {}})
    return std::nullopt;
  const std::optional<Constant> left = splat(b.graph(), x[0]), right = splat(b.graph(), x[1]);
  if (!left || !right) return std::nullopt;
  const auto l = static_cast<std::uint64_t>(left->as_integer()),
             r = static_cast<std::uint64_t>(right->as_integer());
  const auto result = static_cast<std::int64_t>(n.op == Op::add_ ? l + r : l * r);
  return b.constant(Constant::of_integer(ir::ElementType::i64, result));
}

// layout that changes nothing
std::optional<ValueId> no_layout(Builder& b, const Node& n, std::span<const ValueId> x) {
  const auto is_ascending = [](const Integers& axes) { return std::ranges::is_sorted(axes); };
  const bool same_shape = !x.empty() && n.attributes.size() > 0 &&
                          std::holds_alternative<ir::Shape>(n.attributes[0]) &&
                          std::get<ir::Shape>(n.attributes[0]) == b.type(x[0]).shape;
  if ((n.op == Op::reshape_ || n.op == Op::broadcast_) && same_shape) return x[0];
  const auto is_zero = [](const ir::Dim& extent) { return extent == ir::Dim(0); };
  if (n.op == Op::pad_ && std::ranges::all_of(std::get<ir::Shape>(n.attributes[0]), is_zero) &&
      std::ranges::all_of(std::get<ir::Shape>(n.attributes[1]), is_zero))
    return x[0];
  if (n.op == Op::flip_ && std::get<Integers>(n.attributes[0]).empty()) return x[0];
  if (n.op == Op::transpose_ && is_ascending(std::get<Integers>(n.attributes[0]))) return x[0];
  if (n.op == Op::reduce_sum_ && std::get<Integers>(n.attributes[0]).empty()) return x[0];
  return std::nullopt;
}

// y + x = x + y and y · x = x · y: a broadcast stands right, and a constant behind it, so that layers have
// one form wherever those were made first; else the operand that came first stands left, and equal ones are
// one node
std::optional<ValueId> order_operands(Builder& b, const Node& n, std::span<const ValueId> x) {
  if (n.op != Op::add_ && n.op != Op::mul_) return std::nullopt;
  const auto rank = [&](ValueId v) {
    const int group = splat(b.graph(), v) ? 2 : b.graph().producer(v).op == Op::broadcast_ ? 1 : 0;
    return std::pair(group, v);
  };
  if (rank(x[0]) <= rank(x[1])) return std::nullopt;
  return b.value(n.op, {x[1], x[0]});
}

// reshape(reshape(x)) = reshape(x)
std::optional<ValueId> reshape_twice(Builder& b, const Node& n, std::span<const ValueId> x) {
  if (n.op != Op::reshape_ || b.graph().producer(x[0]).op != Op::reshape_) return std::nullopt;
  const ValueId source = b.graph().operands(b.graph().producer(x[0]))[0];
  const auto& shape = std::get<ir::Shape>(n.attributes[0]);
  return shape == b.type(source).shape ? source : b.reshape(source, shape);
}

// (xᵀ)ᵀ: one permutation
std::optional<ValueId> transpose_twice(Builder& b, const Node& n, std::span<const ValueId> x) {
  if (n.op != Op::transpose_ || b.graph().producer(x[0]).op != Op::transpose_) return std::nullopt;
  const Node& inner = b.graph().producer(x[0]);
  const auto& first = std::get<Integers>(inner.attributes[0]);
  Integers both;
  for (std::int64_t axis : std::get<Integers>(n.attributes[0]))
    both.push_back(first[static_cast<std::size_t>(axis)]);
  const ValueId source = b.graph().operands(inner)[0];
  return std::ranges::is_sorted(both) ? source : b.transpose(source, both);
}

// concat(x, y, …)ᵀ = concat(xᵀ, yᵀ, …): each part is written where it ends up
std::optional<ValueId> transpose_parts(Builder& b, const Node& n, std::span<const ValueId> x) {
  if (n.op != Op::transpose_ || b.graph().producer(x[0]).op != Op::concat_) return std::nullopt;
  const Node concat = b.graph().producer(x[0]);
  const Integers permutation = std::get<Integers>(n.attributes[0]);
  const auto parts = b.graph().operands(concat);
  std::vector<ValueId> sources(parts.begin(), parts.end());
  for (ValueId& source : sources) source = b.transpose(source, permutation);
  const std::int64_t axis =
      std::ranges::find(permutation, std::get<std::int64_t>(concat.attributes[0])) - permutation.begin();
  return Graph::result(b.graph().node(b.make(Op::concat_, sources, {axis})));
}

// einsum(…, xᵀ, …): the letters are permuted instead
std::optional<ValueId> fold_transposes(Builder& b, const Node& n, std::span<const ValueId> x) {
  if (n.op != Op::einsum_) return std::nullopt;
  ir::ops::EinsumSpec spec = ir::ops::parse_einsum(std::get<std::string>(n.attributes[0]));
  std::vector<ValueId> operands(x.begin(), x.end());
  bool any = false;
  for (std::size_t k = 0; k < operands.size(); ++k) {
    const Node& producer = b.graph().producer(operands[k]);
    if (producer.op != Op::transpose_) continue;
    const Integers& permutation = std::get<Integers>(producer.attributes[0]);
    std::string letters(spec.operands[k].size(), ' ');
    for (std::size_t i = 0; i < letters.size(); ++i)
      letters[static_cast<std::size_t>(permutation[i])] = spec.operands[k][i];
    spec.operands[k] = letters;
    operands[k] = b.graph().operands(producer)[0];
    any = true;
  }
  return any ? std::optional(b.einsum(spec.text(), operands)) : std::nullopt;
}

/// The one axis that a node pads; nullopt for every other node.
std::optional<std::size_t> padded_axis(const Node& n) {
  if (n.op != Op::pad_) return std::nullopt;
  const auto &before = std::get<ir::Shape>(n.attributes[0]), &after = std::get<ir::Shape>(n.attributes[1]);
  std::optional<std::size_t> found;
  for (std::size_t axis = 0; axis < before.size(); ++axis) {
    if (before[axis] == ir::Dim(0) && after[axis] == ir::Dim(0)) continue;
    if (found) return std::nullopt;
    found = axis;
  }
  return found;
}

// pad(x) + pad(y) + … = concat(x, y, …) where they lie side by side and leave no gap, but for the sign of a
// zero: the cotangent of what was cut into slices
std::optional<ValueId> join_parts(Builder& b, const Node& n, std::span<const ValueId> x) {
  constexpr std::size_t kMostParts = 64;
  if (n.op != Op::add_) return std::nullopt;
  std::vector<ValueId> open(x.begin(), x.end()), parts;
  std::optional<std::size_t> axis;
  while (!open.empty()) {
    const ValueId v = open.back();
    open.pop_back();
    const Node& part = b.graph().producer(v);
    if (part.op == Op::add_) {
      const auto below = b.graph().operands(part);
      open.insert(open.end(), below.begin(), below.end());
    } else if (const auto a = padded_axis(part); a && (!axis || axis == a)) {
      axis = a;
      parts.push_back(v);
    } else {
      return std::nullopt;
    }
    if (open.size() + parts.size() > kMostParts) return std::nullopt;
  }
  std::vector<ValueId> sources;
  ir::Dim at = 0;
  while (sources.size() < parts.size()) {
    const auto next = std::ranges::find_if(parts, [&](ValueId v) {
      return std::get<ir::Shape>(b.graph().producer(v).attributes[0])[*axis] == at;
    });
    if (next == parts.end()) return std::nullopt;
    sources.push_back(b.graph().operands(b.graph().producer(*next))[0]);
    const ir::Dim extent = b.type(sources.back()).shape[*axis];
    if (extent == ir::Dim(0)) return std::nullopt;
    at = at + extent;
  }
  if (at != b.type(x[0]).shape[*axis]) return std::nullopt;
  return Graph::result(b.graph().node(b.make(Op::concat_, sources, {static_cast<std::int64_t>(*axis)})));
}

/// gt(x, c) = gt(clamp_min(x; c), c), NaN included: where the clamped value exists, the mask is read from it,
/// and x need not be kept for the backward pass.
class MaskRule {
 public:
  void note(const Graph& graph, ValueId made) {
    const Node& n = graph.producer(made);
    if (n.op == Op::clamp_min_) clamped_.emplace(graph.operands(n)[0], made);
  }
  std::optional<ValueId> apply(Builder& b, const Node& n, std::span<const ValueId> x) const {
    if (n.op != Op::gt_) return std::nullopt;
    const auto found = clamped_.find(x[0]);
    if (found == clamped_.end()) return std::nullopt;
    const Constant bound = std::get<Constant>(b.graph().producer(found->second).attributes[0]);
    if (splat(b.graph(), x[1]) != bound) return std::nullopt;
    return b.compare(Op::gt_, found->second, x[1]);
  }

 private:
  std::map<ValueId, ValueId> clamped_;
};

constexpr std::array kRules = {multiply_by_one,    divide_by_one,   negate_twice,   convert_constant,
                               integer_arithmetic, no_layout,       reshape_twice,  transpose_twice,
                               transpose_parts,    fold_transposes, order_operands, join_parts};

Graph canonical(const Graph& graph) {
  MaskRule masks;
  return ir::rebuild(graph, [&](Builder& b, ir::Copier& copier, const Node& node) {
    const std::vector<ValueId> operands = copier.operands(node);
    std::optional<ValueId> replacement = masks.apply(b, node, operands);
    for (Rule rule : kRules)
      if (!replacement) replacement = rule(b, node, operands);
    if (!replacement) {
      const ValueId made = Graph::result(b.graph().node(b.make(node.op, operands, node.attributes)));
      masks.note(b.graph(), made);
      return false;  // copied, which finds the interned node and names it
    }
    copier.bind(Graph::result(node), *replacement);
    b.graph().name_value(*replacement, graph.value_name(Graph::result(node)));
    return true;
  });
}

}  // namespace

ir::Program canonicalize(const ir::Program& program) { return ir::with_rewritten_graphs(program, canonical); }

}  // namespace mlpc::passes
