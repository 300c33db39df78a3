#include "compiler/lowering/packing.h"

#include <algorithm>

#include "compiler/lowering/convolution.h"

namespace mlpc::lowering {
namespace {

constexpr std::int64_t kPanelMultiple = 64;    // columns: the widest panel of any target
constexpr std::int64_t kAliasingPitch = 1024;  // bytes: rows this far apart meet in few sets of a cache
constexpr std::int64_t kLeastDepth = 64;
constexpr std::int64_t kLeastRows = 16;  // a panel has to be read that often

/// A product of matrices, the streamed one [depth, columns].
struct Product {
  std::size_t streamed;
  ir::Dim rows, depth, columns;
  ir::ElementType type;
  bool is_turned;  // the streamed operand
};

std::optional<Product> product_of(const ir::Graph& graph, ir::ValueId contraction) {
  const ir::Node& node = graph.producer(contraction);
  const ir::ops::EinsumSpec spec = ir::ops::parse_einsum(std::get<std::string>(node.attributes[0]));
  if (spec.operands.size() != 2 || spec.result.size() != 2 || spec.contracted.size() != 1)
    return std::nullopt;
  const char row = spec.result[0], column = spec.result[1], depth = spec.contracted[0];
  const std::size_t streamed = spec.operands[0].find(column) != std::string::npos ? 0 : 1;
  if (spec.operands[streamed] != std::string{depth, column}) return std::nullopt;
  if (spec.operands[1 - streamed] != std::string{row, depth}) return std::nullopt;
  const ir::ValueId value = graph.operands(node)[streamed];
  const ir::Type& type = graph.type(value);
  return Product{streamed,      graph.type(contraction).shape[0],
                 type.shape[0], type.shape[1],
                 type.element,  graph.producer(value).op == ir::Op::transpose_};
}

bool has_rows_to_pay(const Product& p) { return p.rows.constant().value_or(kLeastRows) >= kLeastRows; }

}  // namespace

std::optional<Packing> packing_of(const ir::Graph& graph, ir::ValueId contraction) {
  const std::optional<Product> p = product_of(graph, contraction);
  if (!p || !has_rows_to_pay(*p)) return std::nullopt;
  const std::optional<std::int64_t> k = p->depth.constant(), n = p->columns.constant();
  if (!k || !n || *k < kLeastDepth || *n == 0 || *n % kPanelMultiple != 0) return std::nullopt;
  if (!p->is_turned && *n * ir::size_of(p->type) % kAliasingPitch != 0) return std::nullopt;
  return Packing{p->streamed, p->depth, p->columns, p->is_turned};
}

bool has_rows_in_lanes(const ir::Graph& graph, const ir::ops::EinsumSpec& spec,
                       std::span<const ir::ValueId> operands) {
  if (spec.operands.size() != 2 || spec.result.size() != 2 || spec.contracted.size() != 1) return false;
  const char row = spec.result[0], column = spec.result[1], depth = spec.contracted[0];
  const std::size_t w = spec.operands[0].find(column) != std::string::npos ? 0 : 1;
  const std::string& other = spec.operands[1 - w];
  if (spec.operands[w] != std::string{column, depth}) return false;
  if (other != std::string{row, depth} && other != std::string{depth, row}) return false;
  const bool is_of_every_turn = std::ranges::any_of(graph.parameters(), [&](const ir::Graph::Parameter& p) {
    return p.value == operands[w] && p.role == ir::Role::constant;
  });
  const ir::Shape& shape = graph.type(operands[w]).shape;
  const std::int64_t columns = shape[0].constant().value_or(0);
  const ir::Dim& rows = graph.type(operands[1 - w]).shape[other.find(row)];
  const std::int64_t count = rows.constant().value_or(kLeastRows);
  return !is_of_every_turn && shape[1].constant().value_or(0) >= kLeastDepth && columns >= kPanelMultiple &&
         count >= kLeastRows && count <= columns;
}

std::optional<DepthBlocks> depth_blocks_of(const ir::Graph& graph, ir::ValueId contraction) {
  if (const std::optional<DepthBlocks> images = image_blocks_of(graph, contraction)) return images;
  constexpr std::int64_t kSpan = 1 << 20;  // bytes that a block's rows lie in: half of L2, and its pages
  constexpr std::int64_t kLeastTurns = 128, kMostTurns = 512;
  const std::optional<Product> p = product_of(graph, contraction);
  if (!p || !has_rows_to_pay(*p) || p->is_turned) return std::nullopt;
  const std::optional<std::int64_t> k = p->depth.constant(), n = p->columns.constant();
  if (!k || !n || *n == 0) return std::nullopt;
  const std::int64_t pitch = *n * ir::size_of(p->type);
  if (pitch < kAliasingPitch || *k <= kSpan / pitch) return std::nullopt;
  for (std::int64_t size = std::min(kSpan / pitch, kMostTurns); size >= kLeastTurns; --size)
    if (*k % size == 0) return DepthBlocks{0, *k / size, size};
  return std::nullopt;
}

}  // namespace mlpc::lowering
