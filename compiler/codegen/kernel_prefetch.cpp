#include <algorithm>
#include <cstdlib>

#include "compiler/codegen/kernel_memory.h"

// What convolutions read comes from a distant cache in the moment of its first use, and few additions are
// ready to run until it is there. So they ask for it earlier: the gradient of weights, which passes over an
// image with all its taps, for a share of the next image at each row of pixels; all others, at each row of
// taps, for a share of the next row of pixels.

namespace mlpc::codegen {

namespace {

/// A loop inside of the recurrence over blocks: its turns, and the number of the one that runs, if it is
/// open.
struct InnerLoop {
  std::int64_t turns, bytes, extent;  // bytes: from one turn of its variable to the next
  std::optional<std::size_t> level;
};

}  // namespace

void Memory::prefetch_next_block(const ir::Load& load, const ir::Reduce& reduce, std::size_t entered) {
  constexpr std::int64_t kLine = 64, kLeastBlock = 1024;  // bytes
  constexpr std::int64_t kMostLines = 16;                 // at once: more wait for each other
  constexpr int kRead = 0, kIntoL2 = 2, kData = 1;
  if (load.guard) return;
  const Access& access = access_of(&load, load.buffer, load.index);
  if (!access.gathers.empty()) return;
  const std::int64_t size = ir::size_of(access.element);
  const auto bytes_of = [&](ir::VarId var) -> std::optional<std::int64_t> {
    const auto found = access.coefficients.find(var);
    if (found == access.coefficients.end()) return 0;
    const std::optional<std::int64_t> coefficient = found->second.constant();
    return coefficient ? std::optional(*coefficient * size) : std::nullopt;
  };
  const std::size_t first_range = state_.open.size() - entered;
  std::size_t block = first_range;
  while (block > 0 && !state_.open[block - 1].is_in_order) --block;
  const bool is_in_order = block > 0;
  if (is_in_order ? reduce.ranges.size() < 2 : reduce.clips.empty()) return;  // no convolution
  const auto moves_far = [&](const OpenVar& open) {
    return open.tile.count == 1 && open.tile.width == 1 && bytes_of(open.var).value_or(0) >= kLeastBlock;
  };
  if (!is_in_order)
    for (block = first_range; block > 0 && !moves_far(state_.open[block - 1]);) --block;
  if (block == 0 || !moves_far(state_.open[block - 1])) return;
  const std::int64_t block_bytes = *bytes_of(state_.open[block - 1].var);

  std::vector<InnerLoop> inner;
  for (std::size_t level = block; level < first_range; ++level) {
    const OpenVar& open = state_.open[level];
    const auto extent = state_.facts.extents.find(open.var.index);
    const std::optional<std::int64_t> bytes = bytes_of(open.var);
    if (extent == state_.facts.extents.end() || !bytes || open.tile.width > 1) return;
    inner.push_back(
        {(extent->second + open.tile.count - 1) / open.tile.count, *bytes, extent->second, level});
  }
  for (std::size_t i = 0; i < reduce.ranges.size(); ++i) {
    const std::optional<std::int64_t> extent = reduce.ranges[i].extent.constant();
    const std::optional<std::int64_t> bytes = bytes_of(reduce.ranges[i].var);
    if (!extent || !bytes) return;
    inner.push_back({*extent, *bytes, *extent, i < entered ? std::optional(first_range + i) : std::nullopt});
  }

  // A block is pixels of `pitch` bytes, of each of which the tile's task reads `width`.
  std::int64_t pitch = block_bytes, width = size;
  for (const InnerLoop& loop : inner)
    if (loop.extent > 1 && std::abs(loop.bytes) >= kLine) pitch = std::min(pitch, std::abs(loop.bytes));
  for (const InnerLoop& loop : inner)
    if (loop.bytes > 0 && loop.bytes < kLine) width += (loop.extent - 1) * loop.bytes;
  for (std::size_t level = 0; level < block; ++level) {
    const Tile& tile = state_.open[level].tile;
    const std::optional<std::int64_t> bytes = bytes_of(state_.open[level].var);
    if (!bytes) return;
    if (*bytes < kLine) width += (std::int64_t{tile.count} * tile.width - 1) * *bytes;
  }
  const std::int64_t lines = (std::min(width, pitch) + kLine - 1) / kLine, pixels = block_bytes / pitch;

  // The turns around here share the pixels; deeper ones, if they are not too many, do it better.
  const std::size_t around = inner.size() - reduce.ranges.size() + entered;
  std::int64_t turns = 1;
  for (std::size_t i = 0; i < around; ++i) turns *= inner[i].turns;
  const bool is_deepest = entered + 1 == reduce.ranges.size();
  if (turns > pixels || (!is_deepest && turns * inner[around].turns <= pixels)) return;
  const std::int64_t each = (pixels + turns - 1) / turns;
  if (each * lines > kMostLines) return;

  // What follows the last of the rows that the taps of this turn reach.
  std::int64_t ahead = block_bytes, row = block_bytes;
  for (const InnerLoop& loop : inner) {
    if (is_in_order || loop.extent == 1 || loop.bytes <= pitch || 4 * loop.bytes < block_bytes) continue;
    if (loop.bytes > block_bytes) return;
    ahead += loop.extent * loop.bytes - row;
    row = loop.bytes;
  }

  llvm::IRBuilder<>& builder = state_.builder;
  llvm::Value* offset = state_.int64(ahead + access.constant * size);
  std::int64_t share = each * pitch;
  for (std::size_t i = around; i-- > 0; share *= inner[i].turns) {
    const OpenVar& open = state_.open[*inner[i].level];
    if (inner[i].turns == 1 || share % open.tile.count != 0) continue;
    llvm::Value* part = builder.CreateNSWMul(open.tile.base, state_.int64(share / open.tile.count));
    offset = builder.CreateNSWAdd(offset, part);
  }
  llvm::Value* pointer = builder.CreateGEP(builder.getInt8Ty(), running_pointer(access, block), offset);
  for (std::int64_t pixel = 0; pixel < each; ++pixel)
    for (std::int64_t line = 0; line < lines; ++line)
      builder.CreateIntrinsic(
          llvm::Intrinsic::prefetch, {pointer->getType()},
          {builder.CreateConstGEP1_64(builder.getInt8Ty(), pointer,
                                      static_cast<std::uint64_t>(pixel * pitch + line * kLine)),
           builder.getInt32(kRead), builder.getInt32(kIntoL2), builder.getInt32(kData)});
}

}  // namespace mlpc::codegen
