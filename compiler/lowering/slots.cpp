#include "compiler/lowering/slots.h"

#include <algorithm>

namespace mlpc::lowering {

ir::Dim bytes_of(const ir::Type& type) { return type.element_count() * ir::Dim(ir::size_of(type.element)); }

namespace {

std::int64_t estimate_of(const ir::Dim& bytes) {
  constexpr std::int64_t kFreeExtent = 1024;  // a large one: there memory counts
  return bytes.evaluate([](std::string_view) { return kFreeExtent; }).value_or(INT64_MAX);
}

}  // namespace

std::uint32_t SlotAllocator::allocate(const ir::Dim& bytes, std::int32_t from, std::int32_t to) {
  const std::int64_t estimate = estimate_of(bytes);
  // Best: a free slot of the same size; else the smallest that is large enough; else the largest, which
  // grows.
  const auto badness = [&](const Slot& s) {
    if (s.bytes == bytes) return std::int64_t{-1};
    return s.estimate >= estimate ? s.estimate - estimate : INT64_MAX - s.estimate;
  };
  Slot* best = nullptr;
  for (Slot& s : slots_)
    if (s.busy_until < from && (!of_one_size_ || s.bytes == bytes) && (!best || badness(s) < badness(*best)))
      best = &s;
  if (!best) {
    const std::uint32_t index =
        outer_ ? outer_->allocate(bytes, kernel_, kernel_) : static_cast<std::uint32_t>(slots_.size());
    slots_.push_back({bytes, estimate, to, index});
    return index;
  }
  best->busy_until = to;
  grow(best->index, bytes);
  return best->index;
}

void SlotAllocator::grow(std::uint32_t index, const ir::Dim& bytes) {
  if (outer_) outer_->grow(index, bytes);
  for (Slot& s : slots_) {
    if (s.index != index) continue;
    s.bytes = ir::Dim::max(s.bytes, bytes);
    s.estimate = std::max(s.estimate, estimate_of(bytes));
  }
}

std::vector<ir::WorkspaceSlot> SlotAllocator::finish() {
  std::vector<ir::WorkspaceSlot> out;
  for (Slot& s : slots_) out.push_back({std::move(s.bytes)});
  return out;
}

}  // namespace mlpc::lowering
