#include "compiler/lowering/row_parts.h"

#include <algorithm>

#include "compiler/lowering/packing.h"
#include "compiler/lowering/roots.h"
#include "ir/ops/einsum.h"

namespace mlpc::lowering {
namespace {

/// The rows of X'δ: both operands have them first, and share no other axis.
std::optional<ir::Dim> rows_of_contraction(const ir::Graph& graph, ir::ValueId v) {
  const ir::Node& node = graph.producer(v);
  const ir::ops::EinsumSpec spec = ir::ops::parse_einsum(std::get<std::string>(node.attributes[0]));
  if (spec.operands.size() != 2 || spec.contracted.size() != 1 || depth_blocks_of(graph, v))
    return std::nullopt;
  const auto has_rows_first = [&](const std::string& letters) {
    return letters.starts_with(spec.contracted);
  };
  if (!std::ranges::all_of(spec.operands, has_rows_first)) return std::nullopt;
  return graph.type(graph.operands(node)[0]).shape[0];
}

std::optional<ir::Dim> rows_of_sum(const ir::Graph& graph, ir::ValueId v) {
  const ir::Node& node = graph.producer(v);
  const auto* lowering = std::get_if<ir::ReductionLowering>(&ir::def(node.op).lowering);
  if (!lowering || lowering->reducer != ir::Reducer::sum || node.op == ir::Op::fold_) return std::nullopt;
  const ir::Type& type = graph.type(graph.operands(node)[0]);
  if (type.rank() < 2 || type.element != graph.type(v).element) return std::nullopt;
  if (reduced_axes(node) != ir::Integers{0}) return std::nullopt;
  return type.shape[0];
}

}  // namespace

std::optional<RowParts> row_parts_of(const ir::Graph& graph, ir::ValueId v) {
  constexpr std::int64_t kMostElements = 2048;
  const ir::Type& type = graph.type(v);
  const std::int64_t elements = type.element_count().constant().value_or(0);
  if (elements == 0 || elements > kMostElements || !ir::is_float(type.element)) return std::nullopt;
  const std::optional<ir::Dim> rows =
      graph.producer(v).op == ir::Op::einsum_ ? rows_of_contraction(graph, v) : rows_of_sum(graph, v);
  if (!rows || rows->constant().value_or(kRowsOfPart) < kRowsOfPart) return std::nullopt;
  const ir::Dim count = ir::Dim::floordiv(*rows, kRowsOfPart);
  return RowParts{*rows, count, *rows - ir::Dim(kRowsOfPart) * count};
}

}  // namespace mlpc::lowering
