#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "compiler/lowering/group.h"
#include "ir/kernel.h"

namespace mlpc::lowering {

struct TurnStorage;

/// Where every value of a graph is while its entry runs.
struct Storage {
  std::vector<std::uint32_t> inputs;                  // LoweredEntry::inputs
  std::vector<ir::LoweredEntry::ResultInfo> results;  // LoweredEntry::results
  std::vector<ir::Dim> slots;                         // of an entry, its bodies' among them: their bytes
  /// By value: the buffers that its kernel writes; readers load from the first. Empty: it lives in registers
  /// only.
  std::vector<std::vector<ir::BufferRef>> places;
  /// By group: where a packed or turned operand of its contraction is; kNoSlot: it has none.
  static constexpr std::uint32_t kNoSlot = UINT32_MAX;
  std::vector<std::uint32_t> packed_slots;
  /// By group: where the sums of its contraction rest between blocks, or its turned rows behind the last
  /// chunk are; kNoSlot: it has neither.
  std::vector<std::uint32_t> scratch_slots;
  /// By group: where the sums of parts of rows are (row_parts.h), of the group that computes them and of the
  /// one that adds them up; kNoSlot: there are none.
  std::vector<std::uint32_t> part_slots;
  /// By group: where a packed gradient's tasks (packing.h) put their rows; kNoSlot: it is none.
  std::vector<std::uint32_t> chunk_slots;
  /// By group: whether that is done before the turns, since it is the same in each.
  std::vector<bool> is_packed_before;
  /// Written last: new values of buffers whose old values are read until then.
  struct Copy {
    ir::ValueId value;
    ir::BufferRef to;
  };
  std::vector<Copy> copies;
  /// The action after which parameters, state and slots may be written; kNone if there is no loss to look at
  /// first.
  std::int32_t loss_group = Grouping::kNone;
  /// By group: of those that are loops over turns.
  std::map<std::size_t, std::shared_ptr<const TurnStorage>> turns;
};

/// A loop over turns. Consts and sequences are read where they are, stacked results written where they go: a
/// turn's element lies `turn` elements from the first. A loop value that is stacked, too, is in its stack.
/// Else it has a slot, which the turn that writes the new value overwrites in place, if that can be; or two
/// copies in it are written and read in turn.
struct TurnStorage {
  ir::Graph body;  // prepared
  Grouping grouping;
  Storage storage;
  ir::Dim length;
  bool reverse;
  std::vector<Storage::Copy> first, last;  // of loop values, before the turns and behind them
};

/// In the workspace, each value has a slot to itself, and place_slots lets them overlap; but those of a
/// gathered graph that have equally many bytes follow each other in one.
///   options: how bodies of loops are grouped
Storage assign_storage(const ir::Graph& graph, const Grouping& grouping, const GroupingOptions& options);

}  // namespace mlpc::lowering
