#include "compiler/lowering/place_slots.h"

#include <algorithm>
#include <map>
#include <tuple>

#include "ir/workspace.h"

namespace mlpc::lowering {
namespace {

using ir::LiveRange;

/// A slot as a rectangle: while it is in use × the bytes that it has where free dims are as guessed.
struct Box {
  std::uint32_t slot;
  LiveRange time;
  std::int64_t bytes, offset = 0;
  std::int64_t end() const { return offset + bytes; }
};

/// The greatest first, each into the lowest gap between those placed before it: within a hundredth of the
/// most bytes in use at once for all nets of the bench.
void place_by_size(std::vector<Box>& boxes) {
  std::ranges::sort(boxes, {},
                    [](const Box& box) { return std::tuple(-box.bytes, box.time.from, box.slot); });
  std::vector<Box> placed;  // from the lowest to the highest
  for (Box& box : boxes) {
    for (const Box& other : placed) {
      if (other.time.to < box.time.from || other.time.from > box.time.to) continue;
      if (other.offset - box.offset >= box.bytes) break;
      box.offset = std::max(box.offset, other.end());
    }
    placed.insert(std::ranges::upper_bound(placed, box.offset, {}, &Box::offset), box);
  }
}

/// In the order in which they come into use, each into the lowest gap: up to a quarter more bytes, but the
/// gaps are few at any time.
void place_by_time(std::vector<Box>& boxes) {
  std::ranges::sort(boxes, {}, [](const Box& box) { return std::pair(box.time.from, box.slot); });
  std::map<std::int64_t, std::int64_t> gaps = {{0, INT64_MAX}};  // ends by begins
  std::multimap<std::uint32_t, const Box*> in_use;               // by the time of their ends
  const auto give_back = [&](std::int64_t begin, std::int64_t end) {
    const auto behind = gaps.lower_bound(begin);
    if (behind != gaps.end() && behind->first == end) {
      end = behind->second;
      gaps.erase(behind);
    }
    const auto before = gaps.lower_bound(begin);
    if (before != gaps.begin() && std::prev(before)->second == begin)
      std::prev(before)->second = end;
    else
      gaps.emplace(begin, end);
  };
  for (Box& box : boxes) {
    for (; !in_use.empty() && in_use.begin()->first < box.time.from; in_use.erase(in_use.begin()))
      give_back(in_use.begin()->second->offset, in_use.begin()->second->end());
    const auto gap =
        std::ranges::find_if(gaps, [&](const auto& g) { return g.second - g.first >= box.bytes; });
    box.offset = gap->first;
    const std::int64_t end = gap->second;
    gaps.erase(gap);
    if (box.end() < end) gaps.emplace(box.end(), end);
    in_use.emplace(box.time.to, &box);
  }
}

void rename(std::vector<ir::Action>& actions, const std::vector<std::uint32_t>& names) {
  for (ir::Action& action : actions)
    ir::for_each_buffer(action, [&](ir::BufferRef& ref) {
      if (ref.space == ir::BufferRef::Space::workspace) ref.index = names[ref.index];
    });
}

}  // namespace

std::int64_t guessed_bytes(const ir::WorkspaceSlot& slot) {
  constexpr std::int64_t kFreeExtent = 128;              // of a batch for which memory counts
  constexpr std::int64_t kMost = std::int64_t{1} << 40;  // so that the sum of a million has room
  constexpr std::int64_t kWorkers = 1;
  const auto bytes = ir::slot_bytes(slot, [](std::string_view) { return kFreeExtent; }, kWorkers);
  return ir::rounded_slot_bytes(std::clamp<std::int64_t>(bytes.value_or(kMost), 1, kMost));
}

void place_slots(ir::LoweredEntry& entry) {
  constexpr std::size_t kManySlots = 8192;
  const std::vector<LiveRange> ranges = ir::live_ranges(entry.actions, entry.slots.size());
  std::vector<Box> boxes;
  for (std::uint32_t i = 0; i < ranges.size(); ++i)
    if (!ranges[i].is_empty()) boxes.push_back({i, ranges[i], guessed_bytes(entry.slots[i])});
  boxes.size() < kManySlots ? place_by_size(boxes) : place_by_time(boxes);
  std::ranges::sort(boxes, {},
                    [](const Box& box) { return std::tuple(box.offset, box.time.from, box.slot); });
  std::vector<std::uint32_t> names(entry.slots.size());
  std::vector<LiveRange> renamed;
  std::vector<ir::WorkspaceSlot> slots;
  for (const Box& box : boxes) {
    names[box.slot] = static_cast<std::uint32_t>(slots.size());
    slots.push_back(std::move(entry.slots[box.slot]));
    renamed.push_back(box.time);
  }
  // The slots in use at once are a tower in the order of their offsets, and stay one whatever the dims are.
  for (const auto& [lower, higher] : ir::stacked_slots(renamed)) slots[higher].above.push_back(lower);
  rename(entry.actions, names);
  entry.slots = std::move(slots);
}

}  // namespace mlpc::lowering
