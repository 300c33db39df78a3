#pragma once

#include <span>

#include "compiler/codegen/kernel_control.h"
#include "compiler/codegen/kernel_memory.h"
#include "compiler/codegen/kernel_state.h"

namespace mlpc::codegen {

/// The turns [low, high) of a loop; `turns` of them if their number is a constant, else a multiple of
/// `multiple`.
struct TurnRange {
  llvm::Value* low;
  llvm::Value* high;
  std::optional<std::int64_t> turns;
  std::int64_t multiple = 1;
};

/// A power of two that divides the extent, whatever the dims are: the greatest, if that is no greater than
/// any tile in lanes.
std::int64_t multiple_in(const ir::Dim& extent);

/// Emits the statements of a kernel: unroll-and-jam. A loop becomes loops over tiles; inside a tile each
/// statement is emitted at once for all instances of the jammed loops that it depends on. Hence the
/// reduction inside two jammed loops is one loop whose accumulators fill a tile of registers.
class NestEmitter {
 public:
  /// `task_ranges`: what one task does of each loop that tasks cut.
  NestEmitter(KernelState& state, std::map<ir::VarId, TurnRange> task_ranges)
      : state_(state), memory_(state), task_ranges_(std::move(task_ranges)) {}

  void emit(const ir::Block& block);
  /// While a contraction runs, of whose ranges so many are open, the next block of its operands comes near.
  void prefetch_next_block(const ir::Reduce& reduce, std::size_t entered);
  /// Whether a load of the block would turn a block of memory in registers, as the loops stand.
  bool has_blocks(const ir::Block& block);

 private:
  void emit(const ir::Let& let);
  void emit(const ir::IndexValue& value);
  void emit(const ir::Load& load);
  void emit(const ir::Store& store);
  void emit(const ir::Loop& loop);
  void emit(const ir::Reduce& reduce);
  void emit(const ir::Recurrence& loop);

  // What follows a contraction in its tile (kernel_epilogue.cpp).
  using Statements = std::span<const ir::Statement>;
  struct Kept {
    ir::ScalarId scalar;
    Instances before;
    std::vector<std::size_t> levels;  // but the one that the loop runs over
    llvm::Type* type;
    llvm::Value* place;
    std::size_t each;  // instances of one turn
    Instances at(llvm::IRBuilder<>& builder, llvm::Value* turn) const;
  };
  std::optional<std::size_t> level_to_roll(const ir::Reduce& reduce, Statements epilogue);
  std::vector<ir::ScalarId> scalars_to_keep(Statements epilogue, std::size_t level) const;
  void prefetch_loads(Statements epilogue);
  void emit_rolled(Statements epilogue, std::size_t level);
  Kept keep(ir::ScalarId scalar, std::size_t level);

  llvm::Value* emit_let_instance(const ir::Let& let);
  llvm::Value* emit_index_instance(const ir::AffineIndex& index, int width);

  // Loops: kinds of tiles (kernel_nest.cpp).
  TurnRange range_of(const ir::Loop& loop);
  bool runs_in_lanes(const ir::Loop& loop, const TurnRange& range) const;
  void emit_tile(const ir::Loop& loop, const Tile& tile);
  void emit_equal_tiles(const ir::Loop& loop, const TurnRange& range, std::int64_t first, std::int64_t tiles,
                        int count, int width);
  void emit_balanced(const ir::Loop& loop, const TurnRange& range);
  void emit_tiles_at_run_time(const ir::Loop& loop, const TurnRange& range);
  bool may_run_again(const ir::Loop& loop) const;
  void emit_lanes(const ir::Loop& loop, const TurnRange& range);
  void emit_lanes_at_run_time(const ir::Loop& loop, const TurnRange& range);
  void emit_narrowing_tail(const ir::Loop& loop, const TurnRange& range, std::int64_t first,
                           std::int64_t tail);
  void emit_loop_of_tiles(const ir::Loop& loop, llvm::Value* low, llvm::Value* high, int count, int width);

  KernelState& state_;
  Memory memory_;
  std::map<ir::VarId, TurnRange> task_ranges_;
};

}  // namespace mlpc::codegen
