#include "compiler/lowering/packing.h"

#include "ir/ops/einsum.h"

namespace mlpc::lowering {
namespace {

constexpr std::int64_t kPanelMultiple = 64;    // columns: the widest panel of any target
constexpr std::int64_t kAliasingPitch = 1024;  // bytes: rows this far apart meet in few sets of a cache
constexpr std::int64_t kLeastDepth = 64;
constexpr std::int64_t kLeastRows = 16;  // a panel has to be read that often

}  // namespace

std::optional<Packing> packing_of(const ir::Graph& graph, ir::ValueId contraction) {
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
  const std::optional<std::int64_t> k = type.shape[0].constant(), n = type.shape[1].constant();
  if (!k || !n || *k < kLeastDepth || *n == 0 || *n % kPanelMultiple != 0) return std::nullopt;
  if (graph.type(contraction).shape[0].constant().value_or(kLeastRows) < kLeastRows) return std::nullopt;
  const bool is_turned = graph.producer(value).op == ir::Op::transpose_;
  if (!is_turned && *n * ir::size_of(type.element) % kAliasingPitch != 0) return std::nullopt;
  return Packing{streamed, type.shape[0], type.shape[1]};
}

}  // namespace mlpc::lowering
