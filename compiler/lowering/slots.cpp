#include "compiler/lowering/slots.h"

#include <algorithm>

namespace mlpc::lowering {

std::uint32_t SlotAllocator::allocate(const ir::Type& type, std::int32_t from, std::int32_t to) {
  const ir::Dim bytes = type.element_count() * ir::Dim(ir::size_of(type.element));
  const std::int64_t estimate = bytes.evaluate([](std::string_view) { return 64; }).value_or(INT64_MAX);
  // Best: a free slot of the same size; else the smallest that is large enough; else the largest, which
  // grows.
  const auto badness = [&](const Slot& s) {
    if (s.bytes == bytes) return std::int64_t{-1};
    return s.estimate >= estimate ? s.estimate - estimate : INT64_MAX - s.estimate;
  };
  Slot* best = nullptr;
  for (Slot& s : slots_)
    if (s.busy_until < from && (!best || badness(s) < badness(*best))) best = &s;
  if (!best) {
    slots_.push_back({bytes, estimate, to});
    return static_cast<std::uint32_t>(slots_.size() - 1);
  }
  best->bytes = ir::Dim::max(best->bytes, bytes);
  best->estimate = std::max(best->estimate, estimate);
  best->busy_until = to;
  return static_cast<std::uint32_t>(best - slots_.data());
}

std::vector<ir::WorkspaceSlot> SlotAllocator::finish() {
  std::vector<ir::WorkspaceSlot> out;
  for (Slot& s : slots_) out.push_back({std::move(s.bytes)});
  return out;
}

}  // namespace mlpc::lowering
