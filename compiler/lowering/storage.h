#pragma once

#include <cstdint>
#include <vector>

#include "compiler/lowering/group.h"
#include "ir/kernel.h"

namespace mlpc::lowering {

/// Where every value of a graph is while its entry runs.
struct Storage {
  std::vector<std::uint32_t> inputs;                  // LoweredEntry::inputs
  std::vector<ir::LoweredEntry::ResultInfo> results;  // LoweredEntry::results
  std::vector<ir::WorkspaceSlot> slots;
  /// By value: the buffers that its kernel writes; readers load from the first. Empty: it lives in registers
  /// only.
  std::vector<std::vector<ir::BufferRef>> places;
  /// By group: where a packed operand of its contraction is; kNoSlot: it has none.
  static constexpr std::uint32_t kNoSlot = UINT32_MAX;
  std::vector<std::uint32_t> packed_slots;
  /// Written last: new values of buffers whose old values are read until then.
  struct Copy {
    ir::ValueId value;
    ir::BufferRef to;
  };
  std::vector<Copy> copies;
  /// The action after which parameters, state and slots may be written; kNone if there is no loss to look at
  /// first.
  std::int32_t loss_group = Grouping::kNone;
};

/// Workspace is shared by values whose lifetimes do not meet; a slot's size is the greatest of its values'.
Storage assign_storage(const ir::Graph& graph, const Grouping& grouping);

}  // namespace mlpc::lowering
