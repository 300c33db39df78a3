#include "ir/workspace.h"

#include <algorithm>
#include <map>
#include <set>

namespace mlpc::ir {
namespace {

class RangeFinder {
 public:
  RangeFinder(const std::vector<Action>& actions, std::size_t slot_count)
      : ranges_(slot_count), touches_(slot_count) {
    count(actions);
    run(actions);
  }

  std::vector<LiveRange> take() { return std::move(ranges_); }

 private:
  /// A loop or a phase that is open, and the slots that were touched inside of it.
  struct Frame {
    struct Inside {
      std::uint32_t touches = 0;
      bool has_parts = false;  // one for each turn of this loop
    };
    std::map<std::uint32_t, Inside> slots;
  };

  static void for_each_slot(const Action& action, const auto& visit) {
    for_each_buffer(action, [&](const BufferRef& ref) {
      if (ref.space == BufferRef::Space::workspace) visit(ref);
    });
  }

  void count(const std::vector<Action>& actions) {
    for (const Action& action : actions)
      if (!std::holds_alternative<Specialization>(action.kind))
        for_each_slot(action, [&](const BufferRef& ref) { ++touches_[ref.index]; });
  }

  void run(const std::vector<Action>& actions) {
    for (const Action& action : actions) {
      if (std::holds_alternative<Specialization>(action.kind)) continue;
      const std::vector<Action>* inside = actions_inside(action);
      if (inside) {
        run_inside(*inside, std::holds_alternative<Phase>(action.kind));
        continue;
      }
      for_each_slot(action, [&](const BufferRef& ref) { touch(ref); });
      ++now_;
    }
  }

  void run_inside(const std::vector<Action>& actions, bool is_phase) {
    const std::uint32_t begin = now_;
    frames_.emplace_back();
    if (!is_phase) loops_.push_back(frames_.size() - 1);
    run(actions);
    if (!is_phase) loops_.pop_back();
    const Frame frame = std::move(frames_.back());
    frames_.pop_back();
    for (const auto& [slot, inside] : frame.slots) {
      if (is_phase || inside.has_parts || inside.touches < touches_[slot]) {
        extend(slot, begin);
        extend(slot, now_ - 1);
      }
      if (!frames_.empty()) frames_.back().slots[slot].touches += inside.touches;
    }
  }

  void touch(const BufferRef& ref) {
    extend(ref.index, now_);
    if (!frames_.empty()) ++frames_.back().slots[ref.index].touches;
    for (const TurnOffset& offset : ref.offsets)
      if (offset.kind != TurnOffset::Kind::last && offset.kind != TurnOffset::Kind::fixed)
        frames_[loops_[offset.loop]].slots[ref.index].has_parts = true;
  }

  void extend(std::uint32_t slot, std::uint32_t to) {
    ranges_[slot].from = std::min(ranges_[slot].from, to);
    ranges_[slot].to = std::max(ranges_[slot].to, to);
  }

  std::vector<LiveRange> ranges_;
  std::vector<std::uint32_t> touches_;  // by slot, in all
  std::vector<Frame> frames_;
  std::vector<std::size_t> loops_;  // those of the frames that are loops
  std::uint32_t now_ = 0;
};

}  // namespace

std::vector<LiveRange> live_ranges(const std::vector<Action>& actions, std::size_t slot_count) {
  return RangeFinder(actions, slot_count).take();
}

std::vector<std::pair<std::uint32_t, std::uint32_t>> stacked_slots(const std::vector<LiveRange>& ranges) {
  std::vector<std::uint32_t> by_start;
  for (std::uint32_t slot = 0; slot < ranges.size(); ++slot)
    if (!ranges[slot].is_empty()) by_start.push_back(slot);
  std::ranges::sort(by_start, {}, [&](std::uint32_t slot) { return std::pair(ranges[slot].from, slot); });
  std::set<std::uint32_t> alive;
  std::multimap<std::uint32_t, std::uint32_t> ends;  // of those alive
  std::vector<std::pair<std::uint32_t, std::uint32_t>> out;
  for (auto first = by_start.begin(); first != by_start.end();) {
    const std::uint32_t now = ranges[*first].from;
    for (; !ends.empty() && ends.begin()->first < now; ends.erase(ends.begin()))
      alive.erase(ends.begin()->second);
    const auto last =
        std::find_if(first, by_start.end(), [&](std::uint32_t s) { return ranges[s].from != now; });
    alive.insert(first, last);
    for (; first != last; ++first) {
      ends.emplace(ranges[*first].to, *first);
      const auto it = alive.find(*first);
      if (it != alive.begin()) out.emplace_back(*std::prev(it), *it);
      if (std::next(it) != alive.end()) out.emplace_back(*it, *std::next(it));
    }
  }
  std::ranges::sort(out, {}, [](const auto& pair) { return std::pair(pair.second, pair.first); });
  const auto [from, to] = std::ranges::unique(out);
  out.erase(from, to);
  return out;
}

std::optional<std::int64_t> slot_bytes(const WorkspaceSlot& slot,
                                       const std::function<std::int64_t(std::string_view)>& value_of,
                                       std::int64_t workers) {
  std::optional<std::int64_t> bytes = slot.bytes.evaluate(value_of);
  std::int64_t rooms = 1;
  if (slot.tasks) {
    const std::optional<std::int64_t> count = slot.tasks->count.evaluate(value_of);
    if (!count) return std::nullopt;
    if (workers < *count) {
      rooms = workers;
      bytes = slot.tasks->bytes.evaluate(value_of);
    }
  }
  std::int64_t sum = 0;
  if (!bytes || *bytes < 0 || *bytes > INT64_MAX - kSlotAlignment ||
      __builtin_mul_overflow(rooms, rounded_slot_bytes(*bytes), &sum))
    return std::nullopt;
  return sum;
}

std::optional<WorkspaceLayout> lay_out(const std::vector<WorkspaceSlot>& slots,
                                       const std::function<std::int64_t(std::string_view)>& value_of,
                                       std::int64_t workers) {
  WorkspaceLayout out;
  std::vector<std::int64_t> ends;
  for (const WorkspaceSlot& slot : slots) {
    std::int64_t offset = 0;
    for (std::uint32_t below : slot.above) offset = std::max(offset, ends[below]);
    const std::optional<std::int64_t> bytes = slot_bytes(slot, value_of, workers);
    if (!bytes || *bytes > INT64_MAX - offset) return std::nullopt;
    out.offsets.push_back(offset);
    ends.push_back(offset + *bytes);
    out.bytes = std::max(out.bytes, ends.back());
  }
  return out;
}

}  // namespace mlpc::ir
