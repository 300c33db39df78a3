#include "compiler/lowering/packing.h"

#include <algorithm>

#include "compiler/lowering/convolution.h"

namespace mlpc::lowering {
namespace {

constexpr std::int64_t kPanelMultiple = 64;    // columns: the widest panel of any target
constexpr std::int64_t kAliasingPitch = 1024;  // bytes: rows this far apart meet in few sets of a cache
constexpr std::int64_t kLeastRowBytes = 1024;  // of an operand that a small cache gains from packing
constexpr std::int64_t kLeastDepth = 64;
constexpr std::int64_t kGradientTurns = 256;  // of a block of X'δ
constexpr std::int64_t kLeastRows = 16;       // a panel has to be read that often

/// A product of matrices, the streamed one [depth, columns].
struct Product {
  std::size_t streamed;
  ir::Dim rows, depth, columns;
  ir::ElementType type;
  bool is_turned;      // the streamed operand
  bool has_rows_last;  // the other operand is [depth, rows], as in X'δ
};

std::optional<Product> product_of(const ir::Graph& graph, ir::ValueId contraction) {
  const ir::Node& node = graph.producer(contraction);
  const ir::ops::EinsumSpec spec = ir::ops::parse_einsum(std::get<std::string>(node.attributes[0]));
  if (spec.operands.size() != 2 || spec.result.size() != 2 || spec.contracted.size() != 1)
    return std::nullopt;
  const char row = spec.result[0], column = spec.result[1], depth = spec.contracted[0];
  const std::size_t streamed = spec.operands[0].find(column) != std::string::npos ? 0 : 1;
  if (spec.operands[streamed] != std::string{depth, column}) return std::nullopt;
  const std::string& other = spec.operands[1 - streamed];
  if (other != std::string{row, depth} && other != std::string{depth, row}) return std::nullopt;
  const ir::ValueId value = graph.operands(node)[streamed];
  const ir::Type& type = graph.type(value);
  return Product{streamed,           graph.type(contraction).shape[0],
                 type.shape[0],      type.shape[1],
                 type.element,       graph.producer(value).op == ir::Op::transpose_,
                 other.back() == row};
}

/// x W: a panel of W, and its blocks.
std::optional<DepthBlocks> blocks_of_layer(const Product& p) {
  constexpr std::int64_t kSpan = 1 << 20;  // bytes that a block's rows lie in: half of L2, and its pages
  constexpr std::int64_t kLeastTurns = 128, kMostTurns = 512;
  const std::int64_t depth = p.depth.constant().value_or(0);
  const std::int64_t pitch = p.columns.constant().value_or(0) * ir::size_of(p.type);
  if (pitch < kAliasingPitch || depth <= kSpan / pitch) return std::nullopt;
  const std::int64_t size = divisor(depth, kLeastTurns, std::min(kSpan / pitch, kMostTurns));
  return size ? std::optional(DepthBlocks{0, depth / size, size}) : std::nullopt;
}

/// Rows of X'δ that are a task; 0 if nothing divides them.
std::int64_t gradient_chunk(const ir::Dim& all) {
  constexpr std::int64_t kLeastChunk = 24, kMostChunk = 128, kTasksWanted = 8;
  const std::int64_t rows = all.constant().value_or(0);
  return divisor(rows, kLeastChunk, std::clamp(rows / kTasksWanted, kLeastChunk + 8, kMostChunk));
}

DepthBlocks gradient_blocks(const ir::Dim& depth, std::int64_t chunk) {
  const ir::Dim count = ir::Dim::floordiv(depth, kGradientTurns);
  return {0, count, kGradientTurns, depth - ir::Dim(kGradientTurns) * count, chunk};
}

/// X'δ, whose sum is free as a rule: a block of δ stays in L2 while the rows of a chunk pass.
std::optional<DepthBlocks> blocks_of_gradient(const Product& p) {
  if (p.depth.constant().value_or(kGradientTurns + 1) <= kGradientTurns) return std::nullopt;
  if (p.columns.constant().value_or(0) < kPanelMultiple) return std::nullopt;
  const std::int64_t chunk = gradient_chunk(p.rows);
  if (chunk == 0) return std::nullopt;
  return gradient_blocks(p.depth, chunk);
}

bool has_rows_to_pay(const Product& p) { return p.rows.constant().value_or(kLeastRows) >= kLeastRows; }

}  // namespace

std::int64_t divisor(std::int64_t n, std::int64_t least, std::int64_t most) {
  for (std::int64_t by = std::min(n, most); by >= least; --by)
    if (n % by == 0) return by;
  return 0;
}

std::optional<Packing> packing_of(const ir::Graph& graph, ir::ValueId contraction) {
  const std::optional<Product> p = product_of(graph, contraction);
  if (!p || p->has_rows_last || !has_rows_to_pay(*p)) return std::nullopt;
  const std::optional<std::int64_t> k = p->depth.constant(), n = p->columns.constant();
  if (!k || !n || *k < kLeastDepth || *n == 0 || *n % kPanelMultiple != 0) return std::nullopt;
  return Packing{p->streamed, p->type, p->depth, p->columns, p->is_turned};
}

bool pays_once(const Packing& packing) {
  return packing.is_turned || *packing.columns.constant() * ir::size_of(packing.type) % kAliasingPitch == 0;
}

bool pays_in_tasks(const Packing& packing, std::int64_t near_bytes) {
  return !packing.is_turned && near_bytes < kLargeNear &&
         *packing.columns.constant() * ir::size_of(packing.type) >= kLeastRowBytes &&
         panel_in_task(packing, near_bytes) > 0;
}

std::int64_t panel_in_task(const Packing& packing, std::int64_t near_bytes) {
  constexpr std::int64_t kTasksWanted = 8;
  const std::int64_t columns = *packing.columns.constant();
  const std::int64_t bytes_of_column = *packing.depth.constant() * ir::size_of(packing.type);
  for (std::int64_t panel = kPanelMultiple; panel >= 16; panel /= 2)
    if (panel * bytes_of_column <= near_bytes && (columns / panel >= kTasksWanted || panel == 16))
      return panel;
  return 0;
}

std::optional<PackedGradient> packed_gradient(const ir::Graph& graph, ir::ValueId contraction,
                                              std::int64_t near_bytes) {
  constexpr std::int64_t kLineBytes = 64;
  const std::optional<Product> p = product_of(graph, contraction);
  if (near_bytes >= kLargeNear || !p || !p->has_rows_last || p->is_turned) return std::nullopt;
  const std::int64_t chunk = gradient_chunk(p->rows), columns = p->columns.constant().value_or(0);
  const std::int64_t size = ir::size_of(p->type), turns = p->depth.constant().value_or(kFewTurns);
  const std::int64_t longest_row = std::max(columns, p->rows.constant().value_or(0)) * size;
  if (chunk == 0 || columns == 0 || columns % kGradientPanel != 0 || longest_row < kLeastRowBytes ||
      turns < kFewTurns)
    return std::nullopt;
  const std::int64_t lines = (chunk * size + kLineBytes - 1) / kLineBytes;
  return PackedGradient{{p->streamed, p->type, p->depth, p->columns, false},
                        gradient_blocks(p->depth, chunk),
                        (lines | 1) * kLineBytes / size};
}

bool has_rows_in_lanes(const ir::Graph& graph, const ir::ops::EinsumSpec& spec,
                       std::span<const ir::ValueId> operands) {
  if (spec.operands.size() != 2 || spec.result.size() != 2 || spec.contracted.size() != 1) return false;
  const char row = spec.result[0], column = spec.result[1], depth = spec.contracted[0];
  const std::size_t w = spec.operands[0].find(column) != std::string::npos ? 0 : 1;
  if (spec.operands[w] != std::string{column, depth}) return false;
  if (spec.operands[1 - w] != std::string{row, depth}) return false;
  const ir::Shape& shape = graph.type(operands[w]).shape;
  const std::int64_t columns = shape[0].constant().value_or(0);
  const ir::Dim& rows = graph.type(operands[1 - w]).shape[0];
  const std::int64_t count = rows.constant().value_or(kLeastRows);
  if (shape[1].constant().value_or(0) < kLeastDepth || columns < kPanelMultiple || count < kLeastRows ||
      count > columns)
    return false;
  return std::ranges::none_of(graph.parameters(), [&](const ir::Graph::Parameter& p) {  // not of every turn
    return p.value == operands[w] && p.role == ir::Role::constant;
  });
}

bool has_rows_in_lanes(const ir::Graph& graph, ir::ValueId contraction) {
  const ir::Node& node = graph.producer(contraction);
  return has_rows_in_lanes(graph, ir::ops::parse_einsum(std::get<std::string>(node.attributes[0])),
                           graph.operands(node));
}

ir::Shape turned_shape(const ir::Shape& operand, std::int64_t near_bytes) {
  const std::int64_t rows = turned_rows(near_bytes);
  return {ir::Dim::ceildiv(operand[0], rows), operand[1],
          std::min(operand[0].constant().value_or(rows), rows)};
}

std::size_t turned_operand(const ir::Node& contraction) {
  const ir::ops::EinsumSpec spec = ir::ops::parse_einsum(std::get<std::string>(contraction.attributes[0]));
  return spec.operands[0].front() == spec.result[0] ? 0 : 1;
}

std::optional<DepthBlocks> depth_blocks_of(const ir::Graph& graph, ir::ValueId contraction) {
  if (const std::optional<DepthBlocks> images = image_blocks_of(graph, contraction)) return images;
  const std::optional<Product> p = product_of(graph, contraction);
  if (!p || !has_rows_to_pay(*p) || p->is_turned) return std::nullopt;
  return p->has_rows_last ? blocks_of_gradient(*p) : blocks_of_layer(*p);
}

}  // namespace mlpc::lowering
