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

/// Loads and stores of the chosen instances. A pointer advances with each loop by that loop's share alone
/// and is computed in that loop's prelude; what distinguishes instances and constants is left to the
/// displacement of the instruction.
class Memory {
 public:
  explicit Memory(KernelState& state) : state_(state) {}

  llvm::Value* load(const ir::Load& load);
  void store(const ir::Store& store);

 private:
  const Access& access_of(const void* statement, ir::BufferId buffer,
                          const std::vector<ir::AffineIndex>& index);
  Access make_access(ir::BufferId buffer, const std::vector<ir::AffineIndex>& index);

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
  llvm::Value* lane_offsets(const Access& access, std::size_t level, int width) const;
  llvm::Value* load_memory(const Access& access);
  llvm::Value* gather(const Access& access, std::size_t level);
  void scatter(const Access& access, std::size_t level, llvm::Value* value);

  KernelState& state_;
  std::map<const void*, Access> accesses_;
  std::map<std::string, std::uint32_t> forms_;
  std::map<std::uint32_t, llvm::Value*> roots_;  // by form
};

}  // namespace mlpc::codegen
