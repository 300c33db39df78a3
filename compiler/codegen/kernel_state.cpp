#include "compiler/codegen/kernel_state.h"

#include <algorithm>

#include "ir/error.h"

namespace mlpc::codegen {

using ir::ElementType;

void KernelState::push(ir::VarId var, const Tile& tile) {
  llvm::BasicBlock* prelude = builder.GetInsertBlock();
  llvm::BasicBlock* body = llvm::BasicBlock::Create(builder.getContext(), "body", &function);
  body->moveAfter(prelude);
  open.push_back({.var = var, .tile = tile, .hoist = builder.CreateBr(body), .pointers = {}});
  chosen.push_back(0);
  builder.SetInsertPoint(body);
}

void KernelState::pop() {
  open.pop_back();
  chosen.pop_back();
}

std::optional<std::size_t> KernelState::level_of(ir::VarId var) const {
  for (std::size_t level = open.size(); level-- > 0;)
    if (open[level].var == var) return level;
  return std::nullopt;
}

std::optional<std::size_t> KernelState::vector_level(const VarSet& vars) const {
  for (std::size_t level = open.size(); level-- > 0;)
    if (open[level].tile.width > 1 && contains(vars, open[level].var)) return level;
  return std::nullopt;
}

int KernelState::width_of(const VarSet& vars) const {
  const std::optional<std::size_t> level = vector_level(vars);
  return level ? open[*level].tile.width : 1;
}

std::vector<std::size_t> KernelState::jammed_levels(const VarSet& vars) const {
  // Vectors fastest: then a scalar that is spread over lanes is used up before the next one is, and the
  // tile's rows need one register between them.
  std::vector<std::size_t> levels;
  for (const bool vectors : {false, true})
    for (std::size_t level = 0; level < open.size(); ++level) {
      const Tile& tile = open[level].tile;
      if (tile.count > 1 && (tile.width > 1) == vectors && contains(vars, open[level].var))
        levels.push_back(level);
    }
  return levels;
}

void KernelState::for_each_choice(const std::vector<std::size_t>& levels, const std::function<void()>& body) {
  std::size_t choices = 1;
  for (std::size_t level : levels) choices *= static_cast<std::size_t>(open[level].tile.count);
  for (std::size_t choice = 0; choice < choices; ++choice) {
    std::size_t rest = choice;
    for (std::size_t i = levels.size(); i-- > 0;) {
      const auto count = static_cast<std::size_t>(open[levels[i]].tile.count);
      chosen[levels[i]] = static_cast<int>(rest % count);
      rest /= count;
    }
    body();
  }
  for (std::size_t level : levels) chosen[level] = 0;
}

bool KernelState::is_live(const std::vector<std::size_t>& levels) const {
  return std::ranges::all_of(levels, [&](std::size_t level) {
    const std::optional<LiveTurns>& live = open[level].live;
    return !live || (chosen[level] >= live->begin && chosen[level] < live->end);
  });
}

bool KernelState::has_clipped_levels() const {
  return std::ranges::any_of(open, [](const OpenVar& o) { return o.live.has_value(); });
}

Instances KernelState::emit_instances(const VarSet& vars, const std::function<llvm::Value*()>& emit) {
  Instances result{jammed_levels(vars), {}};
  for_each_choice(result.levels, [&] { result.values.push_back(is_live(result.levels) ? emit() : nullptr); });
  return result;
}

std::size_t KernelState::position_of_choice(const std::vector<std::size_t>& levels) const {
  std::size_t position = 0;
  for (std::size_t level : levels)
    position =
        position * static_cast<std::size_t>(open[level].tile.count) + static_cast<std::size_t>(chosen[level]);
  return position;
}

bool KernelState::is_last_choice(const std::vector<std::size_t>& levels) const {
  return std::ranges::all_of(levels,
                             [&](std::size_t level) { return chosen[level] == open[level].tile.count - 1; });
}

llvm::Value* KernelState::widened(llvm::Value* value, int width) {
  if (width == 1 || value->getType()->isVectorTy()) return value;
  if (builder.GetInsertBlock() != spread_block) spread.clear();
  spread_block = builder.GetInsertBlock();
  llvm::Value*& vector = spread[{value, width}];
  if (!vector) vector = builder.CreateVectorSplat(static_cast<unsigned>(width), value);
  return vector;
}

llvm::Value* KernelState::mask_at(std::size_t level) const {
  const Tile& tile = open[level].tile;
  return chosen[level] == tile.count - 1 ? tile.mask : nullptr;
}

llvm::Value* KernelState::turn_value(std::size_t level) {
  const Tile& tile = open[level].tile;
  llvm::Value* offset = int64(tile.offset + std::int64_t{chosen[level]} * tile.width);
  llvm::Value* first = builder.CreateNSWAdd(tile.base, offset);
  if (tile.width == 1) return first;
  return builder.CreateNSWAdd(widened(first, tile.width), lane_numbers(tile.width));
}

llvm::Type* KernelState::type_of(ElementType element) const {
  return element == ElementType::boolean ? builder.getInt1Ty() : memory_type(element);
}

llvm::Type* KernelState::memory_type(ElementType element) const {
  switch (element) {
    case ElementType::f32:
      return builder.getFloatTy();
    case ElementType::f64:
      return builder.getDoubleTy();
    case ElementType::i32:
      return builder.getInt32Ty();
    case ElementType::i64:
      return builder.getInt64Ty();
    case ElementType::u8:
    case ElementType::boolean:
      return builder.getInt8Ty();
  }
  fail("a scalar of unknown type");
}

llvm::Value* KernelState::lane_numbers(int width) const {
  llvm::SmallVector<llvm::Constant*, 64> lanes;
  for (int lane = 0; lane < width; ++lane)
    lanes.push_back(builder.getInt64(static_cast<std::uint64_t>(lane)));
  return width == 1 ? static_cast<llvm::Value*>(lanes[0]) : llvm::ConstantVector::get(lanes);
}

llvm::Value* KernelState::lane_mask(int width, llvm::Value* lanes) {
  // 32 bits: half the registers of i64.
  llvm::SmallVector<llvm::Constant*, 64> numbers;
  for (int lane = 0; lane < width; ++lane)
    numbers.push_back(builder.getInt32(static_cast<std::uint32_t>(lane)));
  llvm::Value* limit = widened(builder.CreateTrunc(lanes, builder.getInt32Ty()), width);
  return builder.CreateICmpULT(llvm::ConstantVector::get(numbers), limit);
}

}  // namespace mlpc::codegen
