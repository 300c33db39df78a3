#include "tests/support/kernel_interpreter.h"

#include <doctest/doctest.h>

#include "ir/error.h"
#include "tests/compiler/codegen/kernel_samples.h"

// The oracle itself.

namespace mlpc::codegen {
namespace {

using testing::interpret;
using testing::MemoryNotes;
using testing::philox;

/// Runs y[i + shift] = x[i] for i < 4 in tasks of `block` turns; both buffers have 4 elements.
void copy_shifted(std::int64_t shift, bool to_one_place, bool x_holds_values) {
  ir::KernelBuilder b("copy");
  const ir::Type type{ir::ElementType::f64, {4}};
  const auto x = b.add_buffer("x", type, false), y = b.add_buffer("y", type, true);
  const auto i = b.new_var();
  b.add_task_split(i, 2);
  b.open_loop(i, 4, {});
  const ir::AffineIndex to = to_one_place ? ir::AffineIndex{0, {}, {}} : ir::AffineIndex{shift, {{i, 1}}, {}};
  b.store(y, {to}, b.load(x, {at(i)}));
  b.close_loop();
  std::array<double, 4> from{}, into{};
  std::byte* const memory[] = {reinterpret_cast<std::byte*>(&from), reinterpret_cast<std::byte*>(&into)};
  MemoryNotes notes;
  notes.add(memory[0], sizeof from, x_holds_values);
  notes.add(memory[1], sizeof into, false);
  interpret(b.finish(), true, [](std::string_view) { return 0; }, {memory[0], memory[1]}, &notes);
  CHECK(notes.holds_value(memory[1], sizeof into));
}

}  // namespace

TEST_CASE("the interpreter's Philox gives the published known answers") {
  CHECK(philox({0, 0, 0, 0}, {0, 0}) ==
        std::array<std::uint32_t, 4>{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox({UINT32_MAX, UINT32_MAX, UINT32_MAX, UINT32_MAX}, {UINT32_MAX, UINT32_MAX}) ==
        std::array<std::uint32_t, 4>{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
}

TEST_CASE("the interpreter refuses what is out of bounds, not written yet, or two tasks' own") {
  CHECK_NOTHROW(copy_shifted(0, false, true));
  CHECK_THROWS_WITH_AS(copy_shifted(1, false, true),
                       "kernel copy: index 4 of axis 0 of %b1, whose extent is 4", Error);
  CHECK_THROWS_WITH_AS(copy_shifted(0, true, true),
                       "kernel copy: two tasks touch an element of %b1 that one writes", Error);
  CHECK_THROWS_WITH_AS(copy_shifted(0, false, false),
                       "kernel copy: reads an element of %b0 that nothing was written to", Error);
}

}  // namespace mlpc::codegen
