#include "compiler/codegen/workspace_places.h"

#include <algorithm>
#include <map>

namespace mlpc::codegen {

WorkspacePlaces workspace_places(const std::vector<ir::WorkspaceSlot>& slots) {
  WorkspacePlaces out;
  std::map<std::pair<ir::Dim, std::optional<ir::WorkspaceSlot::Tasks>>, std::uint32_t> sizes;
  std::map<std::vector<std::uint32_t>, std::uint32_t> numbers;  // of size and `above`
  for (const ir::WorkspaceSlot& slot : slots) {
    std::vector<std::uint32_t> above;
    for (std::uint32_t below : slot.above) above.push_back(out.of_slot[below]);
    std::ranges::sort(above);
    above.erase(std::ranges::unique(above).begin(), above.end());
    std::vector<std::uint32_t> key = above;
    key.push_back(sizes.try_emplace({slot.bytes, slot.tasks}, sizes.size()).first->second);
    const auto [number, is_new] = numbers.try_emplace(std::move(key), out.places.size());
    if (is_new) out.places.push_back({slot.bytes, std::move(above), slot.tasks});
    out.of_slot.push_back(number->second);
  }
  return out;
}

}  // namespace mlpc::codegen
