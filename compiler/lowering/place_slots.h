#pragma once

#include <cstdint>

#include "ir/kernel.h"

namespace mlpc::lowering {

/// Lets slots that are never in use at once have bytes in common: decides which lie above which, and numbers
/// them from the lowest to the highest, in the actions, too. Phases are formed before. Cost: n log n, and up
/// to some thousand slots n².
void place_slots(ir::LoweredEntry& entry);

/// Of a slot, rounded up as the plan does, where each free dim is what batches often are.
std::int64_t guessed_bytes(const ir::WorkspaceSlot& slot);

}  // namespace mlpc::lowering
