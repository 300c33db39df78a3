#pragma once

#include <cstdint>
#include <vector>

#include "ir/kernel.h"

namespace mlpc::lowering {

/// Colours lifetimes into workspace slots: values come in the order of the kernels that write them.
class SlotAllocator {
 public:
  /// `of_one_size`: a slot's values have equally many bytes, and so the same rows where they have any.
  explicit SlotAllocator(bool of_one_size = false) : of_one_size_(of_one_size) {}
  /// For the body of a loop that stands in the place of a kernel of `outer`: all turns use the same slots,
  /// which are those of the outer allocator, as long as the loop runs.
  SlotAllocator(SlotAllocator& outer, std::int32_t kernel) : outer_(&outer), kernel_(kernel) {}

  /// A slot for a value that kernel `from` writes and kernel `to` reads last.
  std::uint32_t allocate(const ir::Dim& bytes, std::int32_t from, std::int32_t to);
  /// A slot of a body that no other value of it shares: it is written before the turns.
  std::uint32_t allocate_for_all_turns(const ir::Dim& bytes) {
    return outer_->allocate(bytes, kernel_, kernel_);
  }
  std::vector<ir::WorkspaceSlot> finish();

 private:
  struct Slot {
    ir::Dim bytes;
    std::int64_t estimate;    // bytes where every free dim is 64
    std::int32_t busy_until;  // the kernel that reads it last
    std::uint32_t index;      // of the entry's slots
  };
  void grow(std::uint32_t index, const ir::Dim& bytes);

  bool of_one_size_ = false;
  SlotAllocator* outer_ = nullptr;
  std::int32_t kernel_ = 0;
  std::vector<Slot> slots_;
};

ir::Dim bytes_of(const ir::Type& type);

}  // namespace mlpc::lowering
