#pragma once

#include <cstdint>
#include <vector>

#include "ir/kernel.h"

namespace mlpc::lowering {

/// Colours lifetimes into workspace slots: values come in the order of the kernels that write them.
class SlotAllocator {
 public:
  /// A slot for a value that kernel `from` writes and kernel `to` reads last.
  std::uint32_t allocate(const ir::Type& type, std::int32_t from, std::int32_t to);
  std::vector<ir::WorkspaceSlot> finish();

 private:
  struct Slot {
    ir::Dim bytes;
    std::int64_t estimate;    // bytes where every free dim is 64
    std::int32_t busy_until;  // the kernel that reads it last
  };
  std::vector<Slot> slots_;
};

}  // namespace mlpc::lowering
