#include "compiler/codegen/kernel_nest.h"

#include <algorithm>
#include <set>
#include <span>

#include "compiler/codegen/kernel_reduce.h"
#include "compiler/codegen/kernel_scalar.h"
#include "ir/error.h"

namespace mlpc::codegen {
namespace {

/// From 8 lanes on (AVX2, AVX-512) a load or store with a mask is one instruction; below, LLVM makes a
/// branch for each lane, and narrower vectors or scalars are better.
bool has_masks(const ir::Target& target) { return target.lanes >= 8; }

void note_buffers(const ir::Block& block, std::set<std::uint32_t>& read, std::set<std::uint32_t>& written) {
  for (const ir::Statement& statement : block)
    std::visit(
        [&](const auto& kind) {
          if constexpr (requires { kind.body; }) note_buffers(kind.body, read, written);
        },
        statement.kind);
  for (const ir::Statement& statement : block) {
    if (const auto* load = std::get_if<ir::Load>(&statement.kind)) read.insert(load->buffer.index);
    if (const auto* store = std::get_if<ir::Store>(&statement.kind)) written.insert(store->buffer.index);
  }
}

bool is_contraction(const ir::Reduce& reduce) {
  return reduce.accumulators.front().reducer == ir::Reducer::fma;
}

bool has_contraction(const ir::Block& block) {
  return std::ranges::any_of(block, [](const ir::Statement& statement) {
    if (const auto* loop = std::get_if<ir::Loop>(&statement.kind)) return has_contraction(loop->body);
    const auto* reduce = std::get_if<ir::Reduce>(&statement.kind);
    return reduce && is_contraction(*reduce);
  });
}

/// `turns` cut into tiles of at most `most`: `large_tiles` of `small + 1`, then `tiles - large_tiles` of
/// `small`.
struct BalancedSplit {
  std::int64_t tiles, small, large_tiles;
  BalancedSplit(std::int64_t turns, std::int64_t most)
      : tiles((turns + most - 1) / most),
        small(tiles ? turns / tiles : 0),
        large_tiles(tiles ? turns % tiles : 0) {}
};

}  // namespace

std::int64_t multiple_in(const ir::Dim& extent) {
  constexpr std::int64_t kGreatest = 1024;
  std::int64_t multiple = 1;
  while (multiple < kGreatest && extent.divided_by(2 * multiple)) multiple *= 2;
  return multiple;
}

void NestEmitter::emit(const ir::Block& block) {
  for (std::size_t i = 0; i < block.size(); ++i) {
    const auto* reduce = std::get_if<ir::Reduce>(&block[i].kind);
    const Statements rest = Statements(block).subspan(i + 1);
    if (reduce && is_contraction(*reduce)) prefetch_loads(rest);
    std::visit([&](const auto& kind) { emit(kind); }, block[i].kind);
    if (!reduce) continue;
    if (const std::optional<std::size_t> level = level_to_roll(*reduce, rest))
      return emit_rolled(rest, *level);
  }
}

/// While the sum runs, what its epilogue reads comes near: the weight that it updates.
void NestEmitter::prefetch_loads(Statements epilogue) {
  for (const ir::Statement& statement : epilogue)
    if (const auto* load = std::get_if<ir::Load>(&statement.kind)) memory_.prefetch(*load);
}

void NestEmitter::prefetch_next_block(const ir::Reduce& reduce, std::size_t entered) {
  if (!is_contraction(reduce)) return;
  for (const ir::Statement& statement : reduce.body)
    if (const auto* load = std::get_if<ir::Load>(&statement.kind))
      memory_.prefetch_next_block(*load, reduce, entered);
}

// ---- Statements without a body ---------------------------------------------------------------------------

void NestEmitter::emit(const ir::Let& let) {
  state_.values[let.result.index] =
      state_.emit_instances(state_.facts.vars_of[let.result.index], [&] { return emit_let_instance(let); });
}

llvm::Value* NestEmitter::emit_let_instance(const ir::Let& let) {
  if (let.op == ir::ScalarOp::constant_) return emit_constant(state_, *let.constant);
  std::vector<llvm::Value*> operands;
  for (ir::ScalarId operand : let.operands) operands.push_back(state_.value_of(operand));
  const int width = state_.width_of(state_.facts.vars_of[let.result.index]);
  if (let.op == ir::ScalarOp::random_key_ || let.op == ir::ScalarOp::random_bits_) {
    const bool has_one_key = std::ranges::none_of(std::span(operands).first(2), [](const llvm::Value* value) {
      return value->getType()->isVectorTy();
    });
    if (!has_one_key)
      fail("kernel `{}` draws with a seed, step or turn that varies over lanes", state_.kernel.name);
    return let.op == ir::ScalarOp::random_key_
               ? emit_random_key(state_, operands[0], operands[1], operands[2])
               : emit_random_bits(state_, operands[0], operands[1], state_.widened(operands[2], width));
  }
  for (llvm::Value*& operand : operands) operand = state_.widened(operand, width);
  return emit_scalar_op(state_, let.op, state_.facts.type_of[let.operands[0].index], let.type, operands);
}

llvm::Value* NestEmitter::emit_index_instance(const ir::AffineIndex& index, int width) {
  llvm::Value* sum = state_.widened(state_.dim_value(index.constant), width);
  for (const ir::AffineIndex::Term& term : index.terms) {
    llvm::Value* turn = state_.widened(state_.turn_value(*state_.level_of(term.var)), width);
    llvm::Value* factor = state_.widened(state_.dim_value(term.coefficient), width);
    sum = state_.builder.CreateAdd(sum, state_.builder.CreateMul(turn, factor));
  }
  return index.scalar ? state_.builder.CreateAdd(sum, state_.widened(state_.value_of(*index.scalar), width))
                      : sum;
}

void NestEmitter::emit(const ir::IndexValue& value) {
  const VarSet& vars = state_.facts.vars_of[value.result.index];
  state_.values[value.result.index] =
      state_.emit_instances(vars, [&] { return emit_index_instance(value.index, state_.width_of(vars)); });
}

bool NestEmitter::has_blocks(const ir::Block& block) {
  return std::ranges::any_of(block, [&](const ir::Statement& statement) {
    return memory_.form_of(statement) == Memory::Form::blocks;
  });
}

void NestEmitter::emit(const ir::Load& load) { state_.values[load.result.index] = memory_.load(load); }

void NestEmitter::emit(const ir::Store& store) { memory_.store(store); }

void NestEmitter::emit(const ir::Reduce& reduce) { ReduceEmitter(state_, *this, reduce).run(); }

/// One loop that carries the value of each instance of the loops around it.
void NestEmitter::emit(const ir::Recurrence& loop) {
  const VarSet& vars = state_.facts.vars_of[loop.before.index];
  const std::vector<std::size_t> levels = state_.jammed_levels(vars);
  const int width = state_.width_of(vars);
  Carried carried;
  state_.for_each_choice(
      levels, [&] { carried.push_back(state_.widened(emit_constant(state_, loop.start), width)); });
  llvm::Value* extent = state_.dim_value(loop.extent);
  emit_counted_loop(state_.builder, state_.int64(0), extent, 1, carried, [&](llvm::Value* turn) {
    state_.push(loop.var, {turn});
    state_.open.back().is_in_order = true;
    state_.values[loop.before.index] = {levels, carried};
    emit(loop.body);
    std::size_t choice = 0;
    state_.for_each_choice(levels,
                           [&] { carried[choice++] = state_.widened(state_.value_of(loop.after), width); });
    state_.pop();
  });
}

// ---- Loops -----------------------------------------------------------------------------------------------

TurnRange NestEmitter::range_of(const ir::Loop& loop) {
  const auto task = task_ranges_.find(loop.var);
  if (task != task_ranges_.end()) return task->second;
  if (!loop.limit) {
    const std::optional<std::int64_t> turns = loop.extent.constant();
    return {state_.int64(0), state_.dim_value(loop.extent), turns, turns ? 1 : multiple_in(loop.extent)};
  }
  llvm::Value* left =
      state_.builder.CreateSub(state_.dim_value(loop.limit->end), emit_index_instance(loop.limit->first, 1));
  llvm::Value* turns =
      state_.builder.CreateBinaryIntrinsic(llvm::Intrinsic::smin, state_.dim_value(loop.extent), left);
  return {state_.int64(0),
          state_.builder.CreateBinaryIntrinsic(llvm::Intrinsic::smax, turns, state_.int64(0)), std::nullopt};
}

bool NestEmitter::runs_in_lanes(const ir::Loop& loop, const TurnRange& range) const {
  // Inside another loop in lanes, what depends on both has the other's lanes.
  return loop.schedule.lanes && range.turns != 1 && state_.lanes > 1 &&
         !state_.vector_level(state_.facts.vars_in.at(&loop.body));
}

void NestEmitter::emit(const ir::Loop& loop) {
  const TurnRange range = range_of(loop);
  if (range.turns && *range.turns <= 0) return;
  if (contains(state_.facts.limiting_vars, loop.var))
    return emit_loop_of_tiles(loop, range.low, range.high, 1, 1);
  if (runs_in_lanes(loop, range))
    range.turns ? emit_lanes(loop, range) : emit_lanes_at_run_time(loop, range);
  else
    range.turns ? emit_balanced(loop, range) : emit_tiles_at_run_time(loop, range);
}

void NestEmitter::emit_tile(const ir::Loop& loop, const Tile& tile) {
  state_.push(loop.var, tile);
  emit(loop.body);
  state_.pop();
}

void NestEmitter::emit_loop_of_tiles(const ir::Loop& loop, llvm::Value* low, llvm::Value* high, int count,
                                     int width) {
  Carried none;
  emit_counted_loop(state_.builder, low, high, std::int64_t{count} * width, none,
                    [&](llvm::Value* base) { emit_tile(loop, {base, 0, count, width}); });
}

void NestEmitter::emit_equal_tiles(const ir::Loop& loop, const TurnRange& range, std::int64_t first,
                                   std::int64_t tiles, int count, int width) {
  if (tiles == 1) return emit_tile(loop, {range.low, first, count, width});
  llvm::Value* low = state_.builder.CreateNSWAdd(range.low, state_.int64(first));
  llvm::Value* high = state_.builder.CreateNSWAdd(range.low, state_.int64(first + tiles * count * width));
  if (tiles > 1) emit_loop_of_tiles(loop, low, high, count, width);
}

void NestEmitter::emit_balanced(const ir::Loop& loop, const TurnRange& range) {
  const BalancedSplit split(*range.turns, loop.schedule.unroll);
  const auto small = static_cast<int>(split.small);
  emit_equal_tiles(loop, range, 0, split.large_tiles, small + 1, 1);
  emit_equal_tiles(loop, range, split.large_tiles * (split.small + 1), split.tiles - split.large_tiles, small,
                   1);
}

/// Tiles of `most` turns; of the rows of a contraction tiles of `most - 1`, too, which together make every
/// number of turns from (most - 1)(most - 2) on, so that no small tile has to stream the other operand. Below
/// that the last tile starts early, and computes again what the one before did; a number less than a tile
/// runs turn by turn. More sizes would cost compile time, and are hardly ever run.
void NestEmitter::emit_tiles_at_run_time(const ir::Loop& loop, const TurnRange& range) {
  const int most = loop.schedule.unroll;
  if (most == 1) return emit_loop_of_tiles(loop, range.low, range.high, 1, 1);
  llvm::IRBuilder<>& builder = state_.builder;
  llvm::Value* turns = builder.CreateNSWSub(range.high, range.low);
  const int few = has_contraction(loop.body) ? most - 1 : most;
  if (!may_run_again(loop)) {
    // Large tiles as many as leave room for `few` in the others; where that cannot be, as many as fit.
    llvm::Value* tiles = builder.CreateSDiv(turns, state_.int64(most));
    llvm::Value* large_end = builder.CreateNSWAdd(range.low, builder.CreateNSWMul(tiles, state_.int64(most)));
    llvm::Value* end = large_end;
    if (few < most && few > 1) {
      tiles = builder.CreateSDiv(builder.CreateNSWAdd(turns, state_.int64(most - 1)), state_.int64(most));
      llvm::Value* large = builder.CreateNSWSub(turns, builder.CreateNSWMul(tiles, state_.int64(few)));
      llvm::Value* fits = builder.CreateICmpSGE(large, state_.int64(0));
      llvm::Value* balanced_end =
          builder.CreateNSWAdd(range.low, builder.CreateNSWMul(large, state_.int64(most)));
      large_end = builder.CreateSelect(fits, balanced_end, large_end);
      end = builder.CreateSelect(fits, range.high, large_end);
    }
    emit_loop_of_tiles(loop, range.low, large_end, most, 1);
    if (end != large_end) emit_loop_of_tiles(loop, large_end, end, few, 1);
    return emit_loop_of_tiles(loop, end, range.high, 1, 1);
  }
  llvm::Value* is_short = builder.CreateICmpSLT(turns, state_.int64(few));
  llvm::Value* low = builder.CreateSelect(is_short, range.high, range.low);
  emit_loop_of_tiles(loop, range.low, builder.CreateSelect(is_short, range.high, range.low), 1, 1);
  if (few < most) {
    llvm::Value* tiled = builder.CreateNSWSub(range.high, low);
    llvm::Value* tiles =
        builder.CreateSDiv(builder.CreateNSWAdd(tiled, state_.int64(most - 1)), state_.int64(most));
    llvm::Value* large = builder.CreateNSWSub(tiled, builder.CreateNSWMul(tiles, state_.int64(few)));
    large = builder.CreateBinaryIntrinsic(llvm::Intrinsic::smax, large, state_.int64(0));
    llvm::Value* large_end = builder.CreateNSWAdd(low, builder.CreateNSWMul(large, state_.int64(most)));
    emit_loop_of_tiles(loop, low, large_end, most, 1);
    low = large_end;
  }
  llvm::Value* last = builder.CreateNSWSub(range.high, state_.int64(few));
  Carried none;
  emit_counted_loop(builder, low, range.high, few, none, [&](llvm::Value* base) {
    llvm::Value* start = builder.CreateBinaryIntrinsic(llvm::Intrinsic::smin, base, last);
    emit_tile(loop, {start, 0, few, 1});
  });
}

/// Whether a turn that runs twice gives the same: nothing that it reads is what it wrote.
bool NestEmitter::may_run_again(const ir::Loop& loop) const {
  if (state_.shares_memory) return false;
  std::set<std::uint32_t> read, written;
  note_buffers(loop.body, read, written);
  return std::ranges::none_of(written, [&](std::uint32_t buffer) { return read.contains(buffer); });
}

void NestEmitter::emit_lanes(const ir::Loop& loop, const TurnRange& range) {
  const int width = state_.lanes;
  const std::int64_t tail = *range.turns % width;
  const bool masked = tail != 0 && has_masks(state_.target);
  const BalancedSplit split(*range.turns / width + (masked ? 1 : 0), loop.schedule.unroll);
  const auto small = static_cast<int>(split.small);
  const std::int64_t small_tiles = split.tiles - split.large_tiles - (masked ? 1 : 0);
  emit_equal_tiles(loop, range, 0, split.large_tiles, small + 1, width);
  std::int64_t first = split.large_tiles * (split.small + 1) * width;
  emit_equal_tiles(loop, range, first, small_tiles, small, width);
  first += small_tiles * small * width;
  if (masked)
    emit_tile(loop, {range.low, first, small, width, state_.lane_mask(width, state_.int64(tail))});
  else
    emit_narrowing_tail(loop, range, first, tail);
}

void NestEmitter::emit_narrowing_tail(const ir::Loop& loop, const TurnRange& range, std::int64_t first,
                                      std::int64_t tail) {
  for (int width = state_.lanes / 2; width >= 1; width /= 2) {
    if ((tail & width) == 0) continue;
    emit_tile(loop, {range.low, first, 1, width});
    first += width;
  }
}

void NestEmitter::emit_lanes_at_run_time(const ir::Loop& loop, const TurnRange& range) {
  llvm::IRBuilder<>& builder = state_.builder;
  const int width = state_.lanes;
  llvm::Value* turns = builder.CreateNSWSub(range.high, range.low);
  const auto end_of_multiples = [&](std::int64_t step) {
    return builder.CreateNSWSub(range.high, builder.CreateSRem(turns, state_.int64(step)));
  };
  llvm::Value* tiles_end = end_of_multiples(std::int64_t{loop.schedule.unroll} * width);
  emit_loop_of_tiles(loop, range.low, tiles_end, loop.schedule.unroll, width);
  if (range.multiple % (std::int64_t{loop.schedule.unroll} * width) == 0) return;
  if (range.multiple % width == 0) return emit_loop_of_tiles(loop, tiles_end, range.high, 1, width);
  if (has_masks(state_.target)) {
    Carried none;
    return emit_counted_loop(builder, tiles_end, range.high, width, none, [&](llvm::Value* base) {
      llvm::Value* mask = state_.lane_mask(width, builder.CreateNSWSub(range.high, base));
      emit_tile(loop, {base, 0, 1, width, mask});
    });
  }
  llvm::Value* vectors_end = tiles_end;
  if (loop.schedule.unroll > 1) {
    vectors_end = end_of_multiples(width);
    emit_loop_of_tiles(loop, tiles_end, vectors_end, 1, width);
  }
  emit_loop_of_tiles(loop, vectors_end, range.high, 1, 1);
}

}  // namespace mlpc::codegen
