#pragma once

#include <vector>

#include "ir/kernel.h"

namespace mlpc::lowering {

/// Finds the slots that only one phase touches, each task its own rows (WorkspaceSlot::tasks): what lies in
/// them need not be there for all tasks at once, but for those that run. After anything that changes how
/// kernels are cut.
void give_rooms(ir::LoweredEntry& entry, const std::vector<ir::Kernel>& kernels);

}  // namespace mlpc::lowering
