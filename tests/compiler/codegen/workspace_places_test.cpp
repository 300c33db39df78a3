#include "compiler/codegen/workspace_places.h"

#include <doctest/doctest.h>

#include "ir/workspace.h"

namespace mlpc::codegen {
namespace {

TEST_CASE("the slots of a chain of equal layers are two places") {
  std::vector<ir::WorkspaceSlot> slots;
  constexpr std::uint32_t kHalf = 100;
  for (std::uint32_t i = 0; i < kHalf; ++i) slots.push_back({ir::Dim::named("B")});
  for (std::uint32_t i = 0; i + 1 < kHalf; ++i) slots.push_back({ir::Dim::named("B"), {i, i + 1}});
  const WorkspacePlaces workspace = workspace_places(slots);
  REQUIRE(workspace.places.size() == 2);
  CHECK(workspace.places[1].above == std::vector<std::uint32_t>{0});
  CHECK(workspace.of_slot[kHalf - 1] == 0);
  CHECK(workspace.of_slot[kHalf] == 1);
}

TEST_CASE("a place begins where each of its slots does") {
  const ir::Dim b = ir::Dim::named("B");
  const std::vector<ir::WorkspaceSlot> slots = {{b},         {4 * b}, {b, {0}},    {b, {1}},
                                                {b, {0, 1}}, {b},     {b, {1, 5}}, {b, {2}}};
  const WorkspacePlaces workspace = workspace_places(slots);
  CHECK(workspace.places.size() == 6);  // 5 is where 0 is, and 6 where 4 is
  for (const std::int64_t extent : {1, 64, 1000}) {
    const auto of = [&](const std::vector<ir::WorkspaceSlot>& s) {
      return *ir::lay_out(s, [&](std::string_view) { return extent; });
    };
    CHECK(of(slots).bytes == of(workspace.places).bytes);
    for (std::size_t i = 0; i < slots.size(); ++i)
      CHECK(of(slots).offsets[i] == of(workspace.places).offsets[workspace.of_slot[i]]);
  }
}

}  // namespace
}  // namespace mlpc::codegen
