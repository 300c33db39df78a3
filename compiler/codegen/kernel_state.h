#pragma once

#include <llvm/IR/IRBuilder.h>

#include <functional>
#include <map>
#include <optional>
#include <utility>
#include <vector>

#include "compiler/codegen/kernel_dims.h"
#include "compiler/codegen/kernel_facts.h"
#include "ir/target.h"

namespace mlpc::codegen {

/// How the turns of a loop variable that one pass over its body covers are laid out: `count` instances side
/// by side (jammed), each of `width` consecutive turns (lanes of one vector; 1: a scalar).
struct Tile {
  llvm::Value* base;        // turn of the first instance, less `offset`
  std::int64_t offset = 0;  // constant, so that it ends in the displacement of an address
  int count = 1, width = 1;
  llvm::Value* mask = nullptr;  // lanes of the last instance that exist; null: all
};

/// A loop variable whose body is being emitted.
struct OpenVar {
  ir::VarId var;
  Tile tile;
  llvm::Instruction* hoist;  // what needs no deeper loop goes before it
  std::map<std::pair<std::uint32_t, std::vector<int>>, llvm::Value*> pointers;  // see kernel_memory.h
  bool is_contracted = false;                    // a sum of products runs over it
  bool is_in_order = false;                      // a recurrence's
  std::optional<LiveTurns> live = std::nullopt;  // the instances that run, of a part of a clipped sum
};

/// A scalar's values: one for each choice of instances of the levels that it depends on.
struct Instances {
  std::vector<std::size_t> levels;  // indices into KernelState::open; the first varies slowest
  std::vector<llvm::Value*> values;
};

/// What all parts of the emission of one kernel share: the open loops, the instance of each that is being
/// emitted, and the scalars so far.
struct KernelState {
  const ir::Kernel& kernel;
  const KernelFacts& facts;
  const ir::Target& target;
  llvm::Function& function;
  llvm::IRBuilder<>& builder;
  DimValues& dim_value;
  std::vector<llvm::Value*> buffers;  // pointers
  bool shares_memory = false;         // between buffers: see emit_kernel
  int lanes = target.lanes;           // of a loop in lanes
  std::vector<OpenVar> open = {};
  std::vector<int> chosen = {};  // instance, by level
  std::vector<Instances> values = std::vector<Instances>(kernel.scalar_count);
  std::map<std::pair<llvm::Value*, int>, llvm::Value*> spread = {};  // in spread_block, by widened()
  llvm::BasicBlock* spread_block = nullptr;

  /// Opens `var` in a new block after the present one, which keeps what is hoisted.
  void push(ir::VarId var, const Tile& tile);
  void pop();

  std::optional<std::size_t> level_of(ir::VarId var) const;
  /// The level among `vars` whose instances are vectors; there is at most one.
  std::optional<std::size_t> vector_level(const VarSet& vars) const;
  int width_of(const VarSet& vars) const;
  std::vector<std::size_t> jammed_levels(const VarSet& vars) const;
  /// Runs `body` for all choices of instances of `levels`.
  void for_each_choice(const std::vector<std::size_t>& levels, const std::function<void()>& body);
  /// Whether the chosen instances of these levels run.
  bool is_live(const std::vector<std::size_t>& levels) const;
  bool has_clipped_levels() const;
  /// Emits all instances of a scalar that depends on `vars`; null for those that do not run.
  Instances emit_instances(const VarSet& vars, const std::function<llvm::Value*()>& emit);

  llvm::Value* value_of(ir::ScalarId scalar) const { return at_choice(values[scalar.index]); }
  llvm::Value* at_choice(const Instances& instances) const {
    return instances.values[position_of_choice(instances.levels)];
  }
  /// The chosen instances' place among all of `levels`.
  std::size_t position_of_choice(const std::vector<std::size_t>& levels) const;
  /// As a vector, if width > 1: scalars are spread over the lanes.
  llvm::Value* widened(llvm::Value* value, int width);
  bool is_last_choice(const std::vector<std::size_t>& levels) const;

  /// The mask of the chosen instance of `level`, if lanes are missing.
  llvm::Value* mask_at(std::size_t level) const;

  /// The chosen turn, or turns, of a level: i64.
  llvm::Value* turn_value(std::size_t level);

  llvm::Type* type_of(ir::ElementType element) const;      // of scalars: bool is i1
  llvm::Type* memory_type(ir::ElementType element) const;  // bool is i8
  llvm::Value* int64(std::int64_t value) const { return builder.getInt64(static_cast<std::uint64_t>(value)); }
  /// <0, 1, …> of i64.
  llvm::Value* lane_numbers(int width) const;
  /// The first `lanes` (an i64) of `width`.
  llvm::Value* lane_mask(int width, llvm::Value* lanes);
};

inline llvm::Type* with_width(llvm::Type* type, int width) {
  return width > 1 ? llvm::FixedVectorType::get(type, static_cast<unsigned>(width)) : type;
}

}  // namespace mlpc::codegen
