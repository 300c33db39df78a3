#include "compiler/lowering/convolution.h"

#include <algorithm>

#include "compiler/lowering/access.h"
#include "compiler/lowering/packing.h"
#include "compiler/lowering/roots.h"

namespace mlpc::lowering {
namespace {

using ir::Graph;
using ir::Node;
using ir::ValueId;

constexpr std::int64_t kLeastChannels = 8;

/// Whether the last axis of windows over v is one of taps.
bool has_taps_last(const Graph& graph, ValueId v) {
  for (const Node* node = &graph.producer(v); node->op == ir::Op::window_;
       node = &graph.producer(graph.operands(*node)[0])) {
    const auto axis = static_cast<std::size_t>(std::get<std::int64_t>(node->attributes[0]));
    if (axis + 2 == graph.type(Graph::result(*node)).rank()) return true;
  }
  return false;
}

/// Whether the last axis of windows over v is that of the result, and makes lanes: images side by side.
bool has_lanes_last(const Graph& graph, const ir::ops::EinsumSpec& spec, std::size_t k, ValueId v) {
  return spec.operands[k].back() == spec.result.back() && !has_taps_last(graph, v) &&
         graph.type(v).shape.back().constant().value_or(0) >= kLeastChannels;
}

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
  if (has_lanes_last(graph, spec, windowed, operands[windowed])) return spec.result.back();
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
  const auto operands = graph.operands(node);
  if (operands.size() != 2 || spec.result.empty()) return std::nullopt;
  const bool first_is_windowed = reads_windows(graph, operands[0]);
  if (first_is_windowed == reads_windows(graph, operands[1])) return std::nullopt;
  const std::size_t k = first_is_windowed ? 0 : 1;
  const std::string &windowed = spec.operands[k], &other = spec.operands[1 - k];
  const char lanes = lane_letter(graph, spec, operands);
  const auto has = [](const std::string& letters, char letter) {
    return letters.find(letter) != std::string::npos;
  };
  ConvolutionShape out{spec.result.find(lanes), std::nullopt, std::nullopt, 1};
  if (has(windowed, lanes)) {
    if (!has_lanes_last(graph, spec, k, operands[k])) return std::nullopt;
    std::optional<std::size_t> of_windows, of_other;
    for (std::size_t axis = 0; axis < spec.result.size(); ++axis) {
      const char letter = spec.result[axis];
      if (has(windowed, letter) != has(other, letter) && letter != lanes)
        (has(windowed, letter) ? of_windows : of_other) = axis;
    }
    if (!of_windows || !of_other) return std::nullopt;
    out.tile_axes = {*of_windows, *of_other};
    out.loads_other_in_lanes = has(other, lanes);
  } else if (const std::size_t axis = spec.result.find(windowed.back()); axis != std::string::npos)
    out.contiguous_axis = axis;
  if (const ir::Shape extents = contracted_extents(graph, node, spec); !extents.empty())
    out.last_range = extents.back();
  return out;
}

Clips clips_of(const Graph& graph, ValueId contraction) {
  const Node& node = graph.producer(contraction);
  Clips out{{}, std::vector<std::vector<ValueId>>(graph.operands(node).size())};
  if (!convolution_shape(graph, contraction)) return out;
  const ir::ops::EinsumSpec spec = ir::ops::parse_einsum(std::get<std::string>(node.attributes[0]));
  const auto operands = graph.operands(node);
  const char lanes = lane_letter(graph, spec, operands);
  const auto has = [](const std::string& letters, char letter) {
    return letters.find(letter) != std::string::npos;
  };
  // One letter of the sum and one of the result at least, all that the schedules of convolutions need.
  const auto clip_of = [&](const Bound& bound, const ir::Dim& extent) -> std::optional<Clips::Clip> {
    if (!extent.is_constant() || !bound.index.constant.is_constant() || bound.index.scalar)
      return std::nullopt;
    Clips::Clip clip{{}, *bound.index.constant.constant(), *extent.constant()};
    int of_sum = 0, of_result = 0;
    for (const ir::AffineIndex::Term& term : bound.index.terms) {
      const auto letter = static_cast<char>(term.var.index);
      if (!term.coefficient.is_constant() || letter == lanes) return std::nullopt;
      clip.terms.emplace_back(letter, *term.coefficient.constant());
      ++(has(spec.contracted, letter) ? of_sum : of_result);
    }
    return of_sum == 1 && of_result > 0 ? std::optional(std::move(clip)) : std::nullopt;
  };
  for (std::size_t k = 0; k < operands.size(); ++k) {
    std::vector<ir::AffineIndex> index;
    for (char letter : spec.operands[k])
      index.push_back(ir::AffineIndex::of({static_cast<std::uint32_t>(letter)}));
    for (ValueId v = operands[k]; is_layout(graph.producer(v).op) && graph.producer(v).operand_count == 1;) {
      const Node& part = graph.producer(v);
      std::optional<OperandAccess> access = operand_access(graph, part, index);
      if (!access) break;
      const ValueId below = graph.operands(part)[0];
      bool is_clipped = part.op == ir::Op::pad_;
      if (is_clipped)
        for (const Bound& bound : access->bounds) {
          const auto axis = std::ranges::find(access->index, bound.index) - access->index.begin();
          const ir::Dim& extent = graph.type(below).shape[static_cast<std::size_t>(axis)];
          std::optional<Clips::Clip> clip = clip_of(bound, extent);
          is_clipped &= clip.has_value();
          if (clip) out.clips.push_back(*std::move(clip));
        }
      if (is_clipped) out.pads[k].push_back(v);
      index = std::move(access->index);
      v = below;
    }
  }
  return out;
}

std::optional<DepthBlocks> image_blocks_of(const Graph& graph, ValueId contraction) {
  constexpr std::int64_t kLeastTurns = 64;  // of a block: its sums are read and written once
  const Node& node = graph.producer(contraction);
  const ir::ops::EinsumSpec spec = ir::ops::parse_einsum(std::get<std::string>(node.attributes[0]));
  if (spec.contracted.size() < 2 || !convolution_shape(graph, contraction)) return std::nullopt;
  const auto is_first = [&](const std::string& letters) { return letters.front() == spec.contracted[0]; };
  if (!std::ranges::all_of(spec.operands, is_first)) return std::nullopt;
  const ir::Shape& shape = graph.type(graph.operands(node)[0]).shape;
  std::int64_t pixels = 1;
  for (char letter : spec.contracted.substr(1)) {
    const std::size_t axis = spec.operands[0].find(letter);
    if (axis == std::string::npos) return std::nullopt;  // no pixels of both
    const std::optional<std::int64_t> extent = shape[axis].constant();
    if (!extent || *extent == 0) return std::nullopt;
    pixels = std::min(pixels * std::min(*extent, kLeastTurns), kLeastTurns);
  }
  const std::int64_t images = (kLeastTurns + pixels - 1) / pixels;
  const ir::Dim count = ir::Dim::floordiv(shape[0], images);
  if (count == ir::Dim(0) || count == ir::Dim(1)) return std::nullopt;
  return DepthBlocks{shape[0] - ir::Dim(images) * count, count, images};
}

}  // namespace mlpc::lowering
