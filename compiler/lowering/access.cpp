#include "compiler/lowering/access.h"

#include <algorithm>

#include "ir/error.h"

namespace mlpc::lowering {
namespace {

using ir::AffineIndex;
using ir::Dim;
using ir::Integers;
using ir::Op;
using ir::Shape;

/// Axes [operand_begin, operand_end) hold the elements of result axes [result_begin, result_end).
struct AxisGroup {
  std::size_t operand_begin, operand_end, result_begin, result_end;
};

/// Cuts both shapes where their leading products agree. The last group takes what is left.
std::vector<AxisGroup> matching_groups(const Shape& operand, const Shape& result) {
  std::vector<AxisGroup> groups;
  std::size_t o = 0, r = 0;
  while (o < operand.size() || r < result.size()) {
    const std::size_t o0 = o, r0 = r;
    Dim operand_product = 1, result_product = 1;
    if (o < operand.size()) operand_product = operand[o++];
    if (r < result.size()) result_product = result[r++];
    while (operand_product != result_product && (o < operand.size() || r < result.size())) {
      const bool grow_result =
          r < result.size() &&
          (o == operand.size() || result_product.divided_by(operand_product) == std::nullopt);
      if (grow_result) {
        result_product = result_product * result[r++];
      } else {
        operand_product = operand_product * operand[o++];
      }
    }
    groups.push_back({o0, o, r0, r});
  }
  return groups;
}

AffineIndex flat_index(const Shape& shape, std::span<const AffineIndex> index, std::size_t begin,
                       std::size_t end) {
  AffineIndex flat;
  for (std::size_t axis = begin; axis < end; ++axis) flat = shape[axis] * flat + index[axis];
  return flat;
}

std::optional<std::vector<AffineIndex>> reshape_index(const Shape& operand, const Shape& result,
                                                      std::span<const AffineIndex> index) {
  std::vector<AffineIndex> out(operand.size());
  for (const AxisGroup& g : matching_groups(operand, result)) {
    std::size_t wide = 0;  // operand axes of extent other than 1
    for (std::size_t axis = g.operand_begin; axis < g.operand_end; ++axis) wide += operand[axis] != Dim(1);
    if (wide > 1) return std::nullopt;
    for (std::size_t axis = g.operand_begin; axis < g.operand_end; ++axis)
      if (operand[axis] != Dim(1)) out[axis] = flat_index(result, index, g.result_begin, g.result_end);
  }
  return out;
}

}  // namespace

bool is_layout(Op op) {
  return op == Op::broadcast_ || op == Op::reshape_ || op == Op::transpose_ || op == Op::recompute_;
}

std::optional<std::vector<AffineIndex>> operand_index(const ir::Graph& graph, const ir::Node& node,
                                                      std::span<const AffineIndex> index) {
  const Shape& operand = graph.type(graph.operands(node)[0]).shape;
  const Shape& result = graph.type(ir::Graph::result(node)).shape;
  if (node.op == Op::reshape_) return reshape_index(operand, result, index);
  if (node.op == Op::recompute_) return std::vector<AffineIndex>(index.begin(), index.end());
  std::vector<AffineIndex> out(operand.size());
  if (node.op == Op::broadcast_) {
    const Integers& axes = std::get<Integers>(node.attributes[1]);
    for (std::size_t axis = 0; axis < axes.size(); ++axis)
      out[axis] = index[static_cast<std::size_t>(axes[axis])];
    return out;
  }
  MLPC_CHECK(node.op == Op::transpose_, "lowering: no index rule for {}", ir::def(node.op).name);
  const Integers& permutation = std::get<Integers>(node.attributes[0]);
  for (std::size_t axis = 0; axis < permutation.size(); ++axis)
    out[static_cast<std::size_t>(permutation[axis])] = index[axis];
  return out;
}

bool has_affine_index(const ir::Graph& graph, const ir::Node& node) {
  if (node.op != Op::reshape_) return true;
  const Shape& result = graph.type(ir::Graph::result(node)).shape;
  const std::vector<AffineIndex> any(result.size());
  return reshape_index(graph.type(graph.operands(node)[0]).shape, result, any).has_value();
}

std::size_t kept_prefix(const ir::Graph& graph, const ir::Node& node) {
  const Shape& operand = graph.type(graph.operands(node)[0]).shape;
  const Shape& result = graph.type(ir::Graph::result(node)).shape;
  const std::size_t limit = std::min(operand.size(), result.size());
  const auto is_kept = [&](std::size_t axis) {
    if (operand[axis] != result[axis]) return false;
    if (node.op == Op::broadcast_)
      return std::get<Integers>(node.attributes[1])[axis] == static_cast<std::int64_t>(axis);
    if (node.op == Op::transpose_)
      return std::get<Integers>(node.attributes[0])[axis] == static_cast<std::int64_t>(axis);
    return true;  // reshape: leading extents agree; recompute: all do
  };
  std::size_t prefix = 0;
  while (prefix < limit && is_kept(prefix)) ++prefix;
  return prefix;
}

}  // namespace mlpc::lowering
