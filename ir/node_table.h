#pragma once

#include <algorithm>
#include <bit>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "ir/graph.h"

namespace mlpc::ir {

/// Nodes by the hash of what makes them, for interning: open addressing with linear probing in one array that
/// is at most half full, so that a look-up reads one cache line of it, and an insertion allocates nothing.
class NodeTable {
 public:
  /// A node of that hash for which `is_same` holds.
  template <typename Predicate>
  std::optional<NodeId> find(std::size_t hash, Predicate is_same) const {
    const std::uint32_t folded = fold(hash);
    for (std::size_t i = place_of(folded); is_taken(i); i = after(i))
      if (slots_[i].hash == folded && is_same(slots_[i].node)) return slots_[i].node;
    return std::nullopt;
  }

  void insert(std::size_t hash, NodeId node) {
    if (++count_ * 2 > slots_.size()) grow();
    put({fold(hash), node});
  }

 private:
  struct Slot {
    std::uint32_t hash = 0;
    NodeId node;  // of index UINT32_MAX: free
  };

  static constexpr std::uint32_t fold(std::size_t hash) {
    return static_cast<std::uint32_t>(std::uint64_t{hash} ^ std::uint64_t{hash} >> 32);
  }
  /// The product's highest bits depend on all bits of the hash (Knuth 6.4).
  std::size_t place_of(std::uint32_t hash) const {
    constexpr std::uint64_t kGolden = 0x9e3779b97f4a7c15;
    return slots_.empty() ? 0 : hash * kGolden >> (64 - std::countr_zero(slots_.size()));
  }
  std::size_t after(std::size_t i) const { return (i + 1) & (slots_.size() - 1); }
  bool is_taken(std::size_t i) const { return i < slots_.size() && slots_[i].node != NodeId{}; }

  void put(Slot slot) {
    std::size_t i = place_of(slot.hash);
    while (is_taken(i)) i = after(i);
    slots_[i] = slot;
  }

  void grow() {
    constexpr std::size_t kLeast = 64;  // a power of two, as all sizes
    const std::vector<Slot> before(std::move(slots_));
    slots_.assign(std::max(kLeast, 2 * before.size()), {});
    for (const Slot& slot : before)
      if (slot.node != NodeId{}) put(slot);
  }

  std::vector<Slot> slots_;
  std::size_t count_ = 0;
};

}  // namespace mlpc::ir
