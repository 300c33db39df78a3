#include "compiler/lowering/access.h"

#include <algorithm>

#include "ir/axis_groups.h"
#include "ir/error.h"

namespace mlpc::lowering {
namespace {

using ir::AffineIndex;
using ir::Dim;
using ir::Integers;
using ir::Op;
using ir::Shape;
using Index = std::vector<AffineIndex>;

AffineIndex flat_index(const Shape& shape, std::span<const AffineIndex> index, std::size_t begin,
                       std::size_t end) {
  AffineIndex flat;
  for (std::size_t axis = begin; axis < end; ++axis) flat = shape[axis] * flat + index[axis];
  return flat;
}

std::optional<std::vector<AffineIndex>> reshape_index(const Shape& operand, const Shape& result,
                                                      std::span<const AffineIndex> index) {
  std::vector<AffineIndex> out(operand.size());
  for (const ir::AxisGroup& g : ir::matching_groups(operand, result)) {
    std::size_t wide = 0;  // operand axes of extent other than 1
    for (std::size_t axis = g.operand_begin; axis < g.operand_end; ++axis) wide += operand[axis] != Dim(1);
    if (wide > 1) return std::nullopt;
    // An axis of extent 1 that stays is read at its own index, not at 0: members of a group meet there.
    const bool stays = g.operand_end - g.operand_begin == 1 && g.result_end - g.result_begin == 1;
    for (std::size_t axis = g.operand_begin; axis < g.operand_end; ++axis)
      if (stays || operand[axis] != Dim(1))
        out[axis] = flat_index(result, index, g.result_begin, g.result_end);
  }
  return out;
}

Index broadcast_index(const ir::Node& node, std::span<const AffineIndex> index) {
  Index out;
  for (std::int64_t axis : std::get<Integers>(node.attributes[1]))
    out.push_back(index[static_cast<std::size_t>(axis)]);
  return out;
}

Index transpose_index(const ir::Node& node, std::span<const AffineIndex> index) {
  const Integers& permutation = std::get<Integers>(node.attributes[0]);
  Index out(permutation.size());
  for (std::size_t axis = 0; axis < permutation.size(); ++axis)
    out[static_cast<std::size_t>(permutation[axis])] = index[axis];
  return out;
}

Index slice_index(const ir::Node& node, std::span<const AffineIndex> index) {
  const Shape& start = std::get<Shape>(node.attributes[0]);
  const Integers& step = std::get<Integers>(node.attributes[2]);
  Index out;
  for (std::size_t axis = 0; axis < start.size(); ++axis)
    out.push_back(AffineIndex{start[axis], {}, {}} + Dim(step[axis]) * index[axis]);
  return out;
}

/// n - 1 - i
Index flip_index(const ir::Node& node, const Shape& shape, std::span<const AffineIndex> index) {
  Index out(index.begin(), index.end());
  for (std::int64_t flipped : std::get<Integers>(node.attributes[0])) {
    const auto axis = static_cast<std::size_t>(flipped);
    out[axis] = AffineIndex{shape[axis] - 1, {}, {}} + Dim(-1) * index[axis];
  }
  return out;
}

/// stride · a + dilation · u
Index window_index(const ir::Node& node, std::span<const AffineIndex> index) {
  const auto axis = static_cast<std::size_t>(std::get<std::int64_t>(node.attributes[0]));
  Index out(index.begin(), index.end());
  out[axis] = Dim(std::get<std::int64_t>(node.attributes[2])) * index[axis] +
              Dim(std::get<std::int64_t>(node.attributes[3])) * index[axis + 1];
  out.erase(out.begin() + static_cast<std::ptrdiff_t>(axis) + 1);
  return out;
}

OperandAccess pad_access(const ir::Node& node, const Shape& operand, std::span<const AffineIndex> index) {
  const Shape &before = std::get<Shape>(node.attributes[0]), &after = std::get<Shape>(node.attributes[1]);
  OperandAccess out;
  for (std::size_t axis = 0; axis < operand.size(); ++axis) {
    out.index.push_back(AffineIndex{Dim(0) - before[axis], {}, {}} + index[axis]);
    Bound bound{out.index.back(), before[axis] != Dim(0), std::nullopt};
    if (after[axis] != Dim(0)) bound.extent = operand[axis];
    if (bound.may_be_negative || bound.extent) out.bounds.push_back(std::move(bound));
  }
  return out;
}

OperandAccess concat_access(const ir::Graph& graph, const ir::Node& node, std::span<const AffineIndex> index,
                            std::size_t k) {
  const auto axis = static_cast<std::size_t>(std::get<std::int64_t>(node.attributes[0]));
  const auto operands = graph.operands(node);
  Dim before;
  for (std::size_t i = 0; i < k; ++i) before = before + graph.type(operands[i]).shape[axis];
  OperandAccess out{Index(index.begin(), index.end()), {}};
  out.index[axis] = AffineIndex{Dim(0) - before, {}, {}} + index[axis];
  Bound bound{out.index[axis], k > 0, std::nullopt};
  if (k + 1 < operands.size()) bound.extent = graph.type(operands[k]).shape[axis];
  if (bound.may_be_negative || bound.extent) out.bounds.push_back(std::move(bound));
  return out;
}

}  // namespace

bool is_layout(Op op) { return std::holds_alternative<ir::LayoutLowering>(ir::def(op).lowering); }

std::optional<OperandAccess> operand_access(const ir::Graph& graph, const ir::Node& node,
                                            std::span<const AffineIndex> index, std::size_t k) {
  const Shape& operand = graph.type(graph.operands(node)[k]).shape;
  const Shape& result = graph.type(ir::Graph::result(node)).shape;
  switch (node.op) {
    case Op::reshape_: {
      std::optional<Index> out = reshape_index(operand, result, index);
      if (!out) return std::nullopt;
      return OperandAccess{std::move(*out), {}};
    }
    case Op::recompute_:
      return OperandAccess{Index(index.begin(), index.end()), {}};
    case Op::broadcast_:
      return OperandAccess{broadcast_index(node, index), {}};
    case Op::transpose_:
      return OperandAccess{transpose_index(node, index), {}};
    case Op::slice_:
      return OperandAccess{slice_index(node, index), {}};
    case Op::flip_:
      return OperandAccess{flip_index(node, result, index), {}};
    case Op::window_:
      return OperandAccess{window_index(node, index), {}};
    case Op::pad_:
      return pad_access(node, operand, index);
    case Op::concat_:
      return concat_access(graph, node, index, k);
    case Op::gather_:
      return std::nullopt;
    default:
      break;
  }
  MLPC_CHECK(false, "lowering: no index rule for {}", ir::def(node.op).name);
  return std::nullopt;
}

bool has_affine_index(const ir::Graph& graph, const ir::Node& node) {
  if (node.op == Op::gather_) return false;
  if (node.op != Op::reshape_) return true;
  const Shape& result = graph.type(ir::Graph::result(node)).shape;
  const std::vector<AffineIndex> any(result.size());
  return reshape_index(graph.type(graph.operands(node)[0]).shape, result, any).has_value();
}

std::size_t kept_prefix(const ir::Graph& graph, const ir::Node& node, std::size_t k) {
  const Shape& operand = graph.type(graph.operands(node)[k]).shape;
  const Shape& result = graph.type(ir::Graph::result(node)).shape;
  const std::size_t limit = std::min(operand.size(), result.size());
  const auto is_kept = [&](std::size_t axis) {
    const auto number = static_cast<std::int64_t>(axis);
    if (operand[axis] != result[axis]) return false;
    switch (node.op) {
      case Op::broadcast_:
        return std::get<Integers>(node.attributes[1])[axis] == number;
      case Op::transpose_:
        return std::get<Integers>(node.attributes[0])[axis] == number;
      case Op::slice_:
        return std::get<Shape>(node.attributes[0])[axis] == Dim(0) &&
               std::get<Integers>(node.attributes[2])[axis] == 1;
      case Op::pad_:
        return std::get<Shape>(node.attributes[0])[axis] == Dim(0);
      case Op::flip_:
        return std::ranges::find(std::get<Integers>(node.attributes[0]), number) ==
               std::get<Integers>(node.attributes[0]).end();
      case Op::window_:
      case Op::concat_:
        return number < std::get<std::int64_t>(node.attributes[0]);
      case Op::gather_:
        return k == 1;
      default:
        return true;  // reshape: leading extents agree; recompute: all do
    }
  };
  std::size_t prefix = 0;
  while (prefix < limit && is_kept(prefix)) ++prefix;
  return prefix;
}

}  // namespace mlpc::lowering
