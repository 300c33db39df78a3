#include "ir/kernel_builder.h"

#include <doctest/doctest.h>

// What a load may stand for: not for what is stored after it, by a later statement or an earlier turn.

namespace mlpc::ir {
namespace {

const Type kNumber{ElementType::f32, {1}};

TEST_CASE("a load stands for equal ones up to the next store to its buffer") {
  KernelBuilder b("k");
  const BufferId sums = b.add_buffer("b0", kNumber, true), other = b.add_buffer("b1", kNumber, true);
  const std::vector<AffineIndex> first = {{}};
  const Scalar before = b.load(sums, first);
  CHECK(b.load(sums, first).id == before.id);
  b.store(other, first, before);
  CHECK(b.load(sums, first).id == before.id);
  b.store(sums, first, b.add(before, before));
  const Scalar after = b.load(sums, first);
  CHECK_FALSE(after.id == before.id);
  CHECK(b.load(sums, first).id == after.id);
}

TEST_CASE("a load of what the kernel writes stays in the recurrence, any other one goes before it") {
  KernelBuilder b("k");
  const BufferId sums = b.add_buffer("b0", kNumber, true), read = b.add_buffer("b1", kNumber, false);
  const std::vector<AffineIndex> first = {{}};
  const Scalar nothing = b.open_recurrence(b.new_var(), 4, Constant::of_integer(ElementType::i64, 0));
  const std::size_t inside = b.open_blocks() - 1;
  CHECK(b.depth_of(b.load(read, first)) == 0);
  CHECK(b.depth_of(b.load(sums, first)) == inside);
  b.store(sums, first, b.add(b.load(sums, first), b.load(read, first)));
  b.close_recurrence(nothing);
}

}  // namespace
}  // namespace mlpc::ir
