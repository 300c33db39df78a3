#include "ir/workspace.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <random>

#include "ir/error.h"
#include "ir/text.h"
#include "tests/support/kernels_text.h"

namespace mlpc::ir {
namespace {

/// A program with a kernel that copies a number, another one that copies some in tasks, and an entry with
/// these slots and actions.
std::string program_of(std::string_view body) {
  return testing::kernels_text(
      "dim B\ndim T\ninput \"x\" : f32[1]\n",
      testing::copying_kernel("k0", "1") + testing::copying_kernel("k1", "B", "  task %i0 block 1\n"),
      fmt::format("  input 0\n  result output \"y\" : f32[1]\n{}", body));
}

LoweredEntry entry_of(std::string_view body) { return parse_kernels(program_of(body), "dump").entries[0]; }

std::string error_of(std::string_view body) { return testing::error_of_kernels(program_of(body)); }

std::vector<std::pair<std::uint32_t, std::uint32_t>> ranges_of(const LoweredEntry& entry) {
  std::vector<std::pair<std::uint32_t, std::uint32_t>> out;
  for (const LiveRange& range : live_ranges(entry.actions, entry.slots.size()))
    out.emplace_back(range.from, range.to);
  return out;
}

TEST_CASE("slots say what they are above, and are read as they are printed") {
  const std::string text = program_of(R"(  slot 4*B
  slot 4*B + 64
  slot 16 above 0, 1
  call 0(input 0, workspace 0)
  call 0(workspace 0, workspace 2)
  call 0(input 0, workspace 1)
  call 0(workspace 1, workspace 2)
  call 0(workspace 2, result 0)
)");
  const KernelProgram program = parse_kernels(text, "dump");
  CHECK(print(program) == text);
  const LoweredEntry& entry = program.entries[0];
  CHECK(entry.slots[2].above == std::vector<std::uint32_t>{0, 1});
  const auto layout = lay_out(entry.slots, [](std::string_view) { return 100; });
  REQUIRE(layout);
  CHECK(layout->offsets == std::vector<std::int64_t>{0, 0, 512});
  CHECK(layout->bytes == 576);
}

TEST_CASE("slots in use at once lie one above the other, and are written before they are read") {
  const std::string both = "  call 0(input 0, workspace 0)\n  call 0(workspace 0, workspace 1)\n";
  const std::string end = "  call 0(workspace 1, result 0)\n";
  CHECK(error_of("  slot 4\n  slot 4 above 0\n" + both + end).empty());
  CHECK(error_of("  slot 4\n  slot 4\n" + both + end) ==
        "dump: error: entry infer: slots 0 and 1 are in use at once, and 1 is not above 0");
  CHECK(error_of("  slot 4\n  slot 4 above 0\n" + end + both) ==
        "dump: error: entry infer: slot 1 is read before it is written");
  CHECK(error_of("  slot 4\n  slot 4 above 1\n" + both + end) ==
        "dump: error: entry infer: slot 1 is above 1, but slots are named once, in order, and before");
  CHECK(error_of("  slot 4\n  slot 4 above 0, 0\n" + both + end) ==
        "dump: error: entry infer: slot 1 is above 0, but slots are named once, in order, and before");
  CHECK(error_of("  slot 4*Q\n") == "dump: error: entry infer: a slot's `Q` is no dim of the model");
}

TEST_CASE("a slot is in use from its first call to its last, and longer where loops or tasks want it") {
  using Pairs = std::vector<std::pair<std::uint32_t, std::uint32_t>>;
  // 0 is from outside, 1 a turn's own, 2 a stack, 3 passes on from a turn to the next.
  CHECK(ranges_of(entry_of(R"(  slot 4
  slot 4 above 0
  slot 4*T above 1
  slot 128 above 0, 2
  call 0(input 0, workspace 0)
  call 0(input 0, workspace 3)
  turns T {
    call 0(workspace 0, workspace 1)
    call 0(workspace 1, workspace 2 [turn 0 by 4])
    call 0(workspace 3 [now 0 by 64], workspace 3 [next 0 by 64])
  }
  call 0(workspace 3 [last T by 64], result 0)
)")) == Pairs{{0, 4}, {2, 3}, {2, 4}, {1, 5}});
  // A phase's tasks are not in step; a loop in a loop is a turn of the outer one.
  CHECK(ranges_of(entry_of(R"(  slot 4
  slot 4 above 0
  slot 4 above 0, 1
  turns T {
    call 0(input 0, workspace 0)
    phase {
      turns T {
        call 1(workspace 0, workspace 1)
        call 1(workspace 1, workspace 2)
        call 1(workspace 2, result 0)
      }
    }
    call 0(input 0, result 0)
  }
)")) == Pairs{{0, 3}, {1, 3}, {1, 3}});
}

TEST_CASE("few pairs are enough for all slots in use at once to have an order") {
  std::mt19937 random(7);
  for (const std::uint32_t count : {1U, 7U, 60U, 300U}) {
    std::vector<LiveRange> ranges(count);
    for (LiveRange& range : ranges) {
      range.from = static_cast<std::uint32_t>(random() % (2 * count));
      range.to = range.from + static_cast<std::uint32_t>(random() % (random() % 4 ? 5 : count));
    }
    std::vector<std::vector<bool>> is_above(count, std::vector<bool>(count));
    const auto pairs = stacked_slots(ranges);
    CHECK(pairs.size() <= 2 * std::size_t{count});
    for (const auto& [lower, higher] : pairs) {  // in order of `higher`
      REQUIRE(lower < higher);
      is_above[higher][lower] = true;
      for (std::uint32_t i = 0; i < lower; ++i)
        if (is_above[lower][i]) is_above[higher][i] = true;
    }
    for (std::uint32_t i = 0; i < count; ++i)
      for (std::uint32_t j = 0; j < i; ++j)
        if (ranges[i].from <= ranges[j].to && ranges[j].from <= ranges[i].to) CHECK(is_above[i][j]);
  }
}

TEST_CASE("sizes that 64 bits do not hold have no layout") {
  const auto at = [](std::int64_t extent) {
    return lay_out({{Dim::named("B") * Dim(4)}, {Dim::named("B"), {0}}},
                   [=](std::string_view) { return extent; });
  };
  CHECK(at(16)->bytes == 128);
  CHECK_FALSE(at(INT64_MAX / 4));
  CHECK_FALSE(at(INT64_MAX / 5));
  CHECK(at(INT64_MAX / 8));
}

TEST_CASE("a slot for tasks has a room for each worker, where these are fewer") {
  const Dim b = Dim::named("B");
  const auto at = [&](std::int64_t extent, std::int64_t workers) {
    return lay_out(
        {{Dim(90) * b, {}, {{b, Dim(100)}}}, {Dim(1), {0}}}, [=](std::string_view) { return extent; },
        workers);
  };
  CHECK(at(5, 2)->bytes == 2 * 128 + 64);
  CHECK(at(5, 5)->bytes == 512 + 64);
  CHECK(at(5, kManyWorkers)->bytes == 512 + 64);
  CHECK(at(0, 2)->bytes == 64);
  CHECK_FALSE(at(INT64_MAX, kManyWorkers));
}

/// Two kernels of a task a row in a phase, of which the second one reads what the first one wrote.
std::string phase_of_rows(std::string_view slot, std::string_view calls) {
  const std::string kernels = testing::copying_kernel("k0", "B", "  task %i0 block 1\n") +
                              testing::copying_kernel("k1", "2*B", "  task %i0 block 1\n");
  return testing::kernels_text("dim B\ninput \"x\" : f32[B]\ninput \"y\" : f32[2*B]\n", kernels,
                               fmt::format("  input 0\n  input 1\n  result output \"z\" : f32[B]\n"
                                           "  slot {}\n{}",
                                           slot, calls));
}

TEST_CASE("rooms are of the tasks of one phase") {
  constexpr std::string_view kInside =
      "  phase {\n    call 0(input 0, workspace 0)\n"
      "    call 0(workspace 0, result 0)\n  }\n";
  constexpr std::string_view kApart =
      "  phase {\n    call 0(input 0, workspace 0)\n  }\n"
      "  phase {\n    call 0(workspace 0, result 0)\n  }\n";
  constexpr std::string_view kNone = "  call 0(input 0, workspace 0)\n  call 0(workspace 0, result 0)\n";
  const std::string text = phase_of_rows("4*B for B tasks of 4", kInside);
  CHECK(testing::error_of_kernels(text) == "");
  CHECK(print(parse_kernels(text, "dump")) == text);
  CHECK(testing::error_of_kernels(phase_of_rows("4*B", kApart)) == "");
  for (const std::string_view calls : {kApart, kNone})
    CHECK(testing::error_of_kernels(phase_of_rows("4*B for B tasks of 4", calls))
              .find("entry infer: slot 0 is for tasks, and is touched outside of their phase") !=
          std::string::npos);
  CHECK(testing::error_of_kernels(phase_of_rows("4*B for 2*B tasks of 4", kInside))
            .find("entry infer: slot 0 is for 2*B tasks, which its phase has not") != std::string::npos);
  CHECK(testing::error_of_kernels(phase_of_rows("4*B for N tasks of 4", kInside)).find("`N` is no dim") !=
        std::string::npos);
}

}  // namespace
}  // namespace mlpc::ir
