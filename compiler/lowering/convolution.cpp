#include "compiler/lowering/convolution.h"

#include "compiler/lowering/access.h"
#include "compiler/lowering/packing.h"

namespace mlpc::lowering {
namespace {

using ir::Graph;
using ir::Node;
using ir::ValueId;

constexpr std::int64_t kLeastChannels = 8;

}  // namespace

bool reads_windows(const Graph& graph, ValueId v) {
  for (const Node* node = &graph.producer(v); is_layout(node->op) && node->operand_count == 1;
       node = &graph.producer(graph.operands(*node)[0]))
    if (node->op == ir::Op::window_) return true;
  return false;
}

char lane_letter(const Graph& graph, const ir::ops::EinsumSpec& spec, std::span<const ValueId> operands) {
  if (operands.size() != 2 || spec.result.empty()) return spec.result.empty() ? ' ' : spec.result.back();
  if (has_rows_in_lanes(graph, spec, operands)) return spec.result[0];
  const bool first_is_windowed = reads_windows(graph, operands[0]);
  if (first_is_windowed == reads_windows(graph, operands[1])) return spec.result.back();
  const std::size_t windowed = first_is_windowed ? 0 : 1;
  const std::string& letters = spec.operands[1 - windowed];
  char best = spec.result.back();
  std::int64_t most = kLeastChannels - 1;
  for (std::size_t axis = 0; axis < letters.size(); ++axis) {
    const bool is_shared = spec.operands[windowed].find(letters[axis]) != std::string::npos;
    const std::int64_t extent = graph.type(operands[1 - windowed]).shape[axis].constant().value_or(0);
    if (is_shared || spec.result.find(letters[axis]) == std::string::npos || extent <= most) continue;
    best = letters[axis];
    most = extent;
  }
  return best;
}

std::optional<ConvolutionShape> convolution_shape(const Graph& graph, ValueId contraction) {
  const Node& node = graph.producer(contraction);
  const ir::ops::EinsumSpec spec = ir::ops::parse_einsum(std::get<std::string>(node.attributes[0]));
  const char lanes = lane_letter(graph, spec, graph.operands(node));
  if (spec.result.empty() || lanes == spec.result.back() ||
      has_rows_in_lanes(graph, spec, graph.operands(node)))
    return std::nullopt;
  ConvolutionShape out{spec.result.find(lanes), 1};
  if (spec.contracted.empty()) return out;
  for (std::size_t k = 0; k < spec.operands.size(); ++k)
    if (const std::size_t axis = spec.operands[k].find(spec.contracted.back()); axis != std::string::npos)
      out.last_range = graph.type(graph.operands(node)[k]).shape[axis];
  return out;
}

}  // namespace mlpc::lowering
