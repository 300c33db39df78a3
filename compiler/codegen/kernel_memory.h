#pragma once

#include <map>
#include <string>

#include "compiler/codegen/kernel_state.h"

namespace mlpc::codegen {

/// An index into a buffer's memory, in elements: constant + varying_constant + Σ coefficient · var
/// + Σ stride · scalar.
struct Access {
  ir::BufferId buffer;
  ir::ElementType element;
  std::uint32_t form;  // accesses that differ in `constant` alone share it, and so their pointers
  VarSet vars;         // all that it depends on
  std::int64_t constant = 0;
  ir::Dim varying_constant;
  std::map<ir::VarId, ir::Dim> coefficients;
  std::vector<std::pair<ir::ScalarId, ir::Dim>> gathers;
  bool rises = true;  // no negative part: every partial sum is inside the buffer, too
};

/// Loads and stores. A pointer advances with each loop by that loop's share alone
/// and is computed in that loop's prelude; what distinguishes instances and constants is left to the
/// displacement of the instruction.
class Memory {
 public:
  explicit Memory(KernelState& state) : state_(state) {}

  /// All instances.
  Instances load(const ir::Load& load);
  void store(const ir::Store& store);
  /// Asks for all instances of what will be loaded.
  void prefetch(const ir::Load& load);
  /// Of a reduction, `entered` of whose ranges are open: asks for a share of what the load reads in the next
  /// turn of the recurrence around it, or of the loop that moves its windows, if this is the place for it.
  void prefetch_next_block(const ir::Load& load, const ir::Reduce& reduce, std::size_t entered);
  /// How a load or a store, or any other statement, meets memory.
  enum class Form : std::uint8_t { none, whole, lane_by_lane, blocks };  // blocks: see kernel_blocks.cpp
  Form form_of(const ir::Statement& statement);

 private:
  /// `may_miss`: the index may lie outside of the buffer, where a guard is false.
  const Access& access_of(const void* statement, ir::BufferId buffer,
                          const std::vector<ir::AffineIndex>& index, bool may_miss = false);
  Access make_access(ir::BufferId buffer, const std::vector<ir::AffineIndex>& index, bool may_miss);

  /// The pointer to the chosen instance (its lane 0), without the constant displacement and gathers.
  llvm::Value* running_pointer(const Access& access, std::size_t levels);
  llvm::Value* root_pointer(const Access& access);
  llvm::Value* advance(const Access& access, llvm::Value* pointer, std::size_t level);
  /// All of it; lane 0 of what is a vector.
  llvm::Value* pointer_to(const Access& access);
  std::int64_t displacement(const Access& access) const;
  llvm::Value* offset_by(const Access& access, llvm::Value* pointer, llvm::Value* elements, bool inside);

  bool is_contiguous(const Access& access, std::size_t level) const;
  /// Calls `each` with every existing lane and the pointer to its element.
  void for_each_lane(const Access& access, std::size_t level,
                     const std::function<void(int, llvm::Value*)>& each);
  llvm::Value* lane_offsets(const Access& access, std::size_t level, int width);
  std::int64_t pitch_of_rows(const Access& access) const;
  void prefetch_later_turn(const Access& access, std::optional<std::size_t> level, llvm::Value* pointer);
  void prefetch(const Access& access, std::optional<std::size_t> level, llvm::Value* pointer);
  llvm::Value* load_chosen(const Access& access);
  void store_chosen(const Access& access, llvm::Value* value);
  /// Each lane's `count` neighbours in memory, as an element or a vector; 0 for lanes that do not exist.
  // Guarded loads (kernel_guards.cpp): where the guard is false, 0.
  llvm::Value* load_guarded(const Access& access, const VarSet& vars, llvm::Value* guard);
  llvm::Value* zero_in_memory();
  llvm::Value* guarded_mask(llvm::Value* mask);
  llvm::Value* load_or_zero(const Access& access, llvm::Value* pointer, llvm::Value* guard);
  llvm::Value* gather_guarded(const Access& access, std::size_t level, llvm::Value* guard);
  std::vector<llvm::Value*> load_rows(const Access& access, std::size_t level, int count);
  void store_rows(const Access& access, std::size_t level, const std::vector<llvm::Value*>& rows);
  llvm::Value* gather(const Access& access, std::size_t level);
  void scatter(const Access& access, std::size_t level, llvm::Value* value);

  // Blocks (kernel_blocks.cpp): lanes stride through memory, but jammed turns of another loop are neighbours
  // there. So a lane's neighbours are one vector in memory, and the block is turned in registers.
  struct BlockLevels {
    std::size_t lanes, neighbours;
  };
  std::optional<BlockLevels> block_levels(const Access& access) const;
  /// Runs `each` for the parts (first, count) of the jammed neighbours, for all choices of other levels.
  void for_each_block(const Access& access, const BlockLevels& levels,
                      const std::function<void(int, int)>& each);
  Instances load_blocks(const Access& access, const BlockLevels& levels);
  void store_blocks(const Access& access, const BlockLevels& levels, ir::ScalarId value);

  llvm::Value* to_memory(const Access& access, llvm::Value* value) const;

  KernelState& state_;
  std::map<const void*, Access> accesses_;
  std::map<std::string, std::uint32_t> forms_;
  std::map<std::uint32_t, llvm::Value*> roots_;  // by form
  llvm::AllocaInst* zero_ = nullptr;             // what a load whose guard is false reads
};

}  // namespace mlpc::codegen
