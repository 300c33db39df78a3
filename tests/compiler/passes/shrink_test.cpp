#include "tests/support/shrink.h"

#include <doctest/doctest.h>

#include <algorithm>

#include "ir/prune.h"
#include "ir/verify.h"
#include "tests/support/random_program.h"

namespace mlpc {
namespace {

using namespace ir;

std::size_t count_ops(const Graph& graph, Op op) {
  std::size_t count = 0;
  for (std::uint32_t i = 0; i < graph.node_count(); ++i) count += graph.node({i}).op == op;
  return count;
}

std::size_t count_computed(const Graph& graph) {
  return graph.node_count() - count_ops(graph, Op::parameter_);
}

TEST_CASE("a program that fails for one op's sake shrinks to that op, and stays a program") {
  std::size_t shrunk_programs = 0;
  for (std::uint64_t seed = 0; seed < 20; ++seed) {
    testing::Random random(seed);
    const Program whole = testing::random_program(30, random);
    const Program program = testing::with_forward(whole, pruned(*whole.find("forward")));
    for (const Op op : {Op::einsum_, Op::scan_, Op::fold_}) {
      const auto fails = [&](const Program& p) { return count_ops(*p.find("forward"), op) > 0; };
      if (!fails(program)) continue;
      INFO("seed ", seed, ", ", def(op).name);
      const Program smallest = testing::shrunk(program, fails);
      verify(smallest);
      CHECK(fails(smallest));
      // The op, values of types that no input has, and a sum to the loss.
      CHECK(count_computed(*smallest.find("forward")) <= 10);
      ++shrunk_programs;
    }
  }
  CHECK(shrunk_programs > 20);
}

}  // namespace
}  // namespace mlpc
