#pragma once

#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "compiler/lowering/packing.h"
#include "compiler/lowering/schedule.h"
#include "ir/graph.h"
#include "ir/ops/einsum.h"

namespace mlpc::lowering {

/// Whether v is a view of windows, read in place.
bool reads_windows(const ir::Graph& graph, ir::ValueId v);

/// The letter of a contraction's result that runs in lanes: the last one; but where an operand is windowed,
/// that of the channels which the other operand alone has, if there are enough. Windows are rarely as wide as
/// a vector, and then any number of them fills registers: each of their elements is spread over the lanes.
char lane_letter(const ir::Graph& graph, const ir::ops::EinsumSpec& spec,
                 std::span<const ir::ValueId> operands);

/// For a contraction with one windowed operand whose lanes are axes of the other one; nullopt for all others.
std::optional<ConvolutionShape> convolution_shape(const ir::Graph& graph, ir::ValueId contraction);

/// Where a window's taps lie inside of what was padded: the other turns of a convolution's sum are not run
/// (ir::Reduce::clips), so that all schedules, unfused and untiled ones included, leave out the same
/// products.
struct Clips {
  struct Clip {
    std::vector<std::pair<char, std::int64_t>> terms;  // letters of the contraction
    std::int64_t constant, extent;
  };
  std::vector<Clip> clips;
  std::vector<std::vector<ir::ValueId>> pads;  // by operand: whose zeros no turn that runs reads through it
};
Clips clips_of(const ir::Graph& graph, ir::ValueId contraction);

/// The blocks of a sum over images of constant size: the gradient of a convolution's weights. Nullopt for all
/// others.
std::optional<DepthBlocks> image_blocks_of(const ir::Graph& graph, ir::ValueId contraction);

}  // namespace mlpc::lowering
