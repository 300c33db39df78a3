#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string_view>
#include <utility>
#include <vector>

#include "ir/kernel.h"

// The workspace of an entry: when its slots are in use, and where they begin.

namespace mlpc::ir {

/// The calls and checks of a list of actions, in the order of its text, from the first to the last during
/// which a slot is in use. Empty, with from > to, where nothing touches it.
struct LiveRange {
  std::uint32_t from = UINT32_MAX, to = 0;
  bool is_empty() const { return from > to; }
};

/// By slot. From the first call that touches it to the last one; if that lies in a loop over turns and
/// another one outside of it, or if each turn has a part of the slot, all the loop long. The tasks of a phase
/// are not in step: what a phase touches, it needs as long as it runs. Specializations among the actions are
/// left out.
std::vector<LiveRange> live_ranges(const std::vector<Action>& actions, std::size_t slot_count);

/// The pairs (lower, higher) of slots that the one must be above the other directly, if all slots in use at
/// once are to lie one above the other in the order of their numbers: those that are neighbours when one of
/// them comes into use. At most two for each slot; in order of `higher`, then of `lower`.
std::vector<std::pair<std::uint32_t, std::uint32_t>> stacked_slots(const std::vector<LiveRange>& ranges);

struct WorkspaceLayout {
  std::vector<std::int64_t> offsets;  // by slot
  std::int64_t bytes = 0;             // of the workspace
};
constexpr std::int64_t kSlotAlignment = 64;
/// What a slot of so many bytes takes.
constexpr std::int64_t rounded_slot_bytes(std::int64_t bytes) {
  return (bytes + kSlotAlignment - 1) / kSlotAlignment * kSlotAlignment;
}

constexpr std::int64_t kManyWorkers = INT64_MAX;  // then no slot is rooms
/// What a slot takes for given extents; nullopt where 64 bits do not hold it, or where it is negative.
std::optional<std::int64_t> slot_bytes(const WorkspaceSlot& slot,
                                       const std::function<std::int64_t(std::string_view)>& value_of,
                                       std::int64_t workers = kManyWorkers);

/// For given extents; nullopt where 64 bits do not hold a size.
std::optional<WorkspaceLayout> lay_out(const std::vector<WorkspaceSlot>& slots,
                                       const std::function<std::int64_t(std::string_view)>& value_of,
                                       std::int64_t workers = kManyWorkers);

}  // namespace mlpc::ir
