#include "compiler/lowering/place_slots.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "ir/workspace.h"

namespace mlpc {
namespace {

using namespace ir;

const Dim kB = Dim::named("B"), kT = Dim::named("T");

/// The bytes of the slots that each action touches, in order.
std::vector<std::vector<Dim>> touched(const LoweredEntry& entry) {
  std::vector<std::vector<Dim>> out;
  for (const Action& action : entry.actions) {
    std::vector<Dim>& bytes = out.emplace_back();
    for (const BufferRef& ref : std::get<KernelCall>(action.kind).buffers)
      bytes.push_back(entry.slots[ref.index].bytes);
  }
  return out;
}

/// An entry whose calls touch the slots at the ends of these ranges.
LoweredEntry entry_of(const std::vector<Dim>& bytes, const std::vector<LiveRange>& ranges) {
  LoweredEntry entry;
  entry.name = "infer";
  for (std::uint32_t slot = 0; slot < bytes.size(); ++slot) {
    entry.slots.push_back({bytes[slot]});
    while (entry.actions.size() <= ranges[slot].to) entry.actions.push_back({KernelCall{0, {}}});
    for (std::uint32_t at : {ranges[slot].from, ranges[slot].to})
      std::get<KernelCall>(entry.actions[at].kind).buffers.push_back({BufferRef::Space::workspace, slot});
  }
  return entry;
}

struct Bytes {
  std::int64_t planned, live;  // of the workspace; the most that is in use at once
};

/// Where B and T are such. Requires that no two slots in use at once have bytes in common.
Bytes bytes_at(const LoweredEntry& entry, std::int64_t b, std::int64_t t) {
  const auto value_of = [&](std::string_view name) { return name == "B" ? b : t; };
  const WorkspaceLayout layout = lay_out(entry.slots, value_of).value();
  const std::vector<LiveRange> ranges = live_ranges(entry.actions, entry.slots.size());
  Bytes out{layout.bytes, 0};
  for (std::uint32_t now = 0; now < entry.actions.size(); ++now) {
    std::vector<std::pair<std::int64_t, std::int64_t>> alive;
    for (std::size_t i = 0; i < ranges.size(); ++i) {
      const std::int64_t size = entry.slots[i].bytes.evaluate(value_of).value();
      if (ranges[i].from <= now && now <= ranges[i].to)
        alive.emplace_back(layout.offsets[i], layout.offsets[i] + (size + 63) / 64 * 64);
    }
    std::ranges::sort(alive);
    std::int64_t live = 0, end = 0;
    for (const auto& [from, to] : alive) {
      REQUIRE(end <= from);
      end = to;
      live += to - from;
    }
    out.live = std::max(out.live, live);
  }
  return out;
}

TEST_CASE(
    "slots in use at once have no byte in common, whatever the dims are, and are renamed where they are "
    "used") {
  std::mt19937 random(3);
  const std::vector<Dim> sizes = {kB * Dim(4), kB * Dim(640), kB * kT * Dim(4),
                                  Dim(9000),   kT * kT * kB,  Dim(0)};
  for (int round = 0; round < 20; ++round) {
    std::vector<Dim> bytes;
    std::vector<LiveRange> ranges;
    for (std::uint32_t i = 0; i < 80; ++i) {
      bytes.push_back(sizes[random() % sizes.size()] + Dim(i));
      const auto from = static_cast<std::uint32_t>(random() % 100);
      ranges.push_back({from, from + static_cast<std::uint32_t>(random() % (random() % 3 ? 4 : 60))});
    }
    LoweredEntry entry = entry_of(bytes, ranges);
    const auto before = touched(entry);
    lowering::place_slots(entry);
    CHECK(touched(entry) == before);
    for (const auto& [b, t] : {std::pair{1, 1}, {64, 64}, {1, 5000}, {5000, 1}, {0, 3}})
      bytes_at(entry, b, t);
  }
}

TEST_CASE(
    "what a net keeps until its backward pass leaves no gap, and parts of other sizes share its place") {
  // Layer i is written at i and read again at 2n - i; beside it, others live shortly.
  constexpr std::uint32_t kLayers = 50;
  std::vector<Dim> bytes;
  std::vector<LiveRange> ranges;
  for (std::uint32_t i = 0; i < kLayers; ++i) {
    bytes.push_back(kB * Dim(64 * (1 + i % 7)));
    ranges.push_back({i, 2 * kLayers - i});
    bytes.push_back(kB * Dim(100 * (1 + i % 5)));
    ranges.push_back({2 * kLayers - i, 2 * kLayers - i + 1});
  }
  LoweredEntry entry = entry_of(bytes, ranges);
  lowering::place_slots(entry);
  for (const std::int64_t b : {8, 64, 1000}) {
    const auto [planned, live] = bytes_at(entry, b, 1);
    CHECK(static_cast<double>(planned) <= 1.05 * static_cast<double>(live));
  }
}

TEST_CASE("a chain of layers needs two places, and each slot says of few others that it is above them") {
  constexpr std::uint32_t kLayers = 5000;
  std::vector<LiveRange> ranges;
  for (std::uint32_t i = 0; i < kLayers; ++i) ranges.push_back({i, i + 1});
  LoweredEntry entry = entry_of(std::vector(kLayers, kB * Dim(64)), ranges);
  lowering::place_slots(entry);
  const auto layout = lay_out(entry.slots, [](std::string_view) { return 10; });
  CHECK(layout->bytes == 2 * 640);
  for (const WorkspaceSlot& slot : entry.slots) REQUIRE(slot.above.size() <= 2);
}

}  // namespace
}  // namespace mlpc
