#include <algorithm>
#include <bit>

#include "compiler/codegen/kernel_memory.h"
#include "compiler/codegen/kernel_transpose.h"

namespace mlpc::codegen {

std::optional<Memory::BlockLevels> Memory::block_levels(const Access& access) const {
  const std::optional<std::size_t> lanes = state_.vector_level(access.vars);
  if (!lanes || is_contiguous(access, *lanes) || state_.has_clipped_levels()) return std::nullopt;
  for (std::size_t level = state_.open.size(); level-- > 0;)
    if (level != *lanes && state_.open[level].tile.count > 1 && is_contiguous(access, level))
      return BlockLevels{*lanes, level};
  return std::nullopt;
}

Memory::Form Memory::form_of(const ir::Statement& statement) {
  const auto* load = std::get_if<ir::Load>(&statement.kind);
  const auto* store = std::get_if<ir::Store>(&statement.kind);
  if (!load && !store) return Form::none;
  const bool is_guarded = load && load->guard;
  const Access& access = load ? access_of(load, load->buffer, load->index, is_guarded)
                              : access_of(store, store->buffer, store->index);
  const std::optional<std::size_t> lanes = state_.vector_level(access.vars);
  if (!lanes || is_contiguous(access, *lanes)) return Form::whole;
  return !is_guarded && block_levels(access) ? Form::blocks : Form::lane_by_lane;
}

void Memory::for_each_block(const Access& access, const BlockLevels& levels,
                            const std::function<void(int, int)>& each) {
  std::vector<std::size_t> others = state_.jammed_levels(access.vars);
  std::erase(others, levels.neighbours);
  const Tile neighbours = state_.open[levels.neighbours].tile;
  const int most = state_.open[levels.lanes].tile.width;
  state_.for_each_choice(others, [&] {
    int count = 0;
    for (int first = 0; first < neighbours.count; first += count) {
      count =
          std::min(most, static_cast<int>(std::bit_floor(static_cast<unsigned>(neighbours.count - first))));
      state_.chosen[levels.neighbours] = first;
      each(first, count);
    }
  });
  state_.chosen[levels.neighbours] = 0;
}

Instances Memory::load_blocks(const Access& access, const BlockLevels& levels) {
  Instances result{state_.jammed_levels(access.vars), {}};
  std::size_t choices = 1;
  for (std::size_t level : result.levels) choices *= static_cast<std::size_t>(state_.open[level].tile.count);
  result.values.resize(choices);
  for_each_block(access, levels, [&](int first, int count) {
    const std::vector<llvm::Value*> columns =
        count == 1 ? std::vector{gather(access, levels.lanes)}
                   : columns_of_rows(state_.builder, load_rows(access, levels.lanes, count), count);
    for (int i = 0; i < count; ++i) {
      state_.chosen[levels.neighbours] = first + i;
      result.values[state_.position_of_choice(result.levels)] = columns[static_cast<std::size_t>(i)];
    }
  });
  return result;
}

void Memory::store_blocks(const Access& access, const BlockLevels& levels, ir::ScalarId value) {
  const int width = state_.open[levels.lanes].tile.width;
  for_each_block(access, levels, [&](int first, int count) {
    std::vector<llvm::Value*> columns;
    for (int i = 0; i < count; ++i) {
      state_.chosen[levels.neighbours] = first + i;
      columns.push_back(to_memory(access, state_.widened(state_.value_of(value), width)));
    }
    state_.chosen[levels.neighbours] = first;
    if (count == 1) return scatter(access, levels.lanes, columns[0]);
    store_rows(access, levels.lanes, rows_of_columns(state_.builder, std::move(columns), width));
  });
}

}  // namespace mlpc::codegen
