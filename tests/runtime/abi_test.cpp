#include "runtime/abi.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <cstdlib>
#include <numeric>
#include <vector>

namespace {

using Words = std::array<std::uint32_t, 4>;

Words philox(std::uint64_t key, Words counter) {
  mlpc_philox(key, counter.data());
  return counter;
}

std::vector<std::int64_t> order(std::uint64_t seed, std::int64_t epoch, std::int64_t n) {
  std::vector<std::int64_t> out(static_cast<std::size_t>(n));
  mlpc_order(seed, epoch, n, out.data());
  return out;
}

}  // namespace

// The known answers that Random123 publishes for philox4x32-10: all zeros, all ones, digits of pi.
TEST_CASE("Philox4x32-10 gives the published words") {
  CHECK(philox(0, {0, 0, 0, 0}) == Words{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8});
  CHECK(philox(~0ULL, {~0U, ~0U, ~0U, ~0U}) == Words{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd});
  CHECK(philox(0x299f31d0a4093822ULL, {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}) ==
        Words{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1});
}

TEST_CASE("mix64 gives the first outputs of SplitMix64 from state 0 and 1234567") {
  CHECK(mlpc_mix64(0) == 0xe220a8397b1dcdafULL);
  CHECK(mlpc_mix64(1234567) == 6457827717110365317ULL);
}

TEST_CASE("an order is a permutation that depends on seed and epoch alone") {
  for (const std::int64_t n : {0, 1, 2, 3, 1000}) {
    std::vector<std::int64_t> sorted = order(7, 3, n), identity(static_cast<std::size_t>(n));
    std::ranges::sort(sorted);
    std::iota(identity.begin(), identity.end(), 0);
    CHECK(sorted == identity);
  }
  CHECK(order(7, 3, 1000) == order(7, 3, 1000));
  CHECK(order(7, 3, 1000) != order(8, 3, 1000));
  CHECK(order(7, 3, 1000) != order(7, 4, 1000));
}

#ifdef __SIZEOF_INT128__
TEST_CASE("a swap's partner is the high half of the 128-bit product") {
  __extension__ using Wide = unsigned __int128;
  constexpr std::int64_t kCount = 257;
  std::vector<std::int64_t> expected(kCount);
  std::iota(expected.begin(), expected.end(), 0);
  const std::uint64_t key = mlpc_mix64(42 ^ mlpc_mix64(0x6f72646572ULL ^ mlpc_mix64(0)));
  for (std::int64_t i = kCount - 1; i > 0; --i) {
    const Words w = philox(key, {static_cast<std::uint32_t>(i / 2), 0, 5, 0});
    const auto first = static_cast<std::size_t>(2 * (i % 2));
    const std::uint64_t bits = w[first] | static_cast<std::uint64_t>(w[first + 1]) << 32;
    const auto partner = static_cast<std::size_t>(Wide{bits} * static_cast<std::uint64_t>(i + 1) >> 64);
    std::swap(expected[static_cast<std::size_t>(i)], expected[partner]);
  }
  CHECK(order(42, 5, kCount) == expected);
}
#endif

TEST_CASE("every place is about equally likely") {
  std::array<int, 4> first{};
  for (std::int64_t epoch = 0; epoch < 4000; ++epoch)
    ++first[static_cast<std::size_t>(order(1, epoch, 4)[0])];
  for (const int count : first) CHECK(std::abs(count - 1000) < 137);  // five standard deviations, √750 each
}
