#include "ir/node_table.h"

#include <doctest/doctest.h>

namespace mlpc::ir {
namespace {

TEST_CASE("a node is found by its hash, whatever other nodes have the same one") {
  NodeTable table;
  CHECK(!table.find(7, [](NodeId) { return true; }));
  constexpr std::uint32_t kNodes = 1000;
  const auto hash_of = [](std::uint32_t i) {
    return std::size_t{i / 10} << 40;
  };  // equal for ten, low bits 0
  for (std::uint32_t i = 0; i < kNodes; ++i) table.insert(hash_of(i), {i});
  for (std::uint32_t i = 0; i < kNodes; ++i) {
    CHECK(table.find(hash_of(i), [&](NodeId n) { return n.index == i; }) == NodeId{i});
    CHECK(table.find(hash_of(i), [](NodeId) { return true; })->index / 10 == i / 10);
  }
  CHECK(!table.find(hash_of(kNodes), [](NodeId) { return true; }));
}

}  // namespace
}  // namespace mlpc::ir
