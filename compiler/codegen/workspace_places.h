#pragma once

#include <cstdint>
#include <vector>

#include "ir/kernel.h"

namespace mlpc::codegen {

/// Slots of equal sizes that lie above the same ones begin at the same byte whatever the dims are: they are
/// one place. A chain of a thousand equal layers has two.
struct WorkspacePlaces {
  std::vector<ir::WorkspaceSlot> places;  // `above` numbers places
  std::vector<std::uint32_t> of_slot;     // the place of each
};
WorkspacePlaces workspace_places(const std::vector<ir::WorkspaceSlot>& slots);

}  // namespace mlpc::codegen
