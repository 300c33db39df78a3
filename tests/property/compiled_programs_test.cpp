#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "compiler/passes/pipeline.h"
#include "tests/support/compiled/compiled.h"
#include "tests/support/random_program.h"

// Random programs, compiled, against the evaluator: what single ops do not show (fusion, storage, updates in
// place, tasks).

namespace mlpc {
namespace {

using namespace ir;
using testing::CompiledProgram;
using testing::Random;

constexpr std::uint64_t kPrograms = 12;
constexpr std::size_t kNodes = 25;  // of each; with derivatives and updates about ten times that
// Ops err by a few units in the last place, which later ops (powers, quotients of small numbers) magnify.
constexpr double kTolerance = 1e-7;

std::int64_t no_dim(std::string_view) { return 0; }

bool agree(double a, double b) {
  if (!std::isfinite(a) || !std::isfinite(b)) return std::isfinite(a) == std::isfinite(b);
  return std::abs(a - b) <= kTolerance * std::max(1.0, std::abs(a));
}

bool same_bits(double a, double b) {
  return (a == b && std::signbit(a) == std::signbit(b)) || (std::isnan(a) && std::isnan(b));
}

template <typename F>
bool all_pairs(const std::vector<HostTensor>& a, const std::vector<HostTensor>& b, F holds) {
  return std::ranges::equal(a, b, [&](const HostTensor& x, const HostTensor& y) {
    return std::ranges::equal(x.values, y.values, holds);
  });
}

TEST_CASE("random programs compiled are what the evaluator computes, and have the same bits unfused") {
  for (std::uint64_t seed = 0; seed < kPrograms; ++seed) {
    Random random(seed + 1000);
    const Program joint = passes::run_pipeline(testing::random_program(kNodes, random), Stage::joint);
    const CompiledProgram unfused(joint, 0), fused(joint, 2);
    for (const Graph& graph : joint.graphs) {
      INFO("seed " << seed << ", " << graph.name);
      const std::vector<HostTensor> arguments = testing::arguments_for(graph, seed);
      const std::vector<HostTensor> expected = evaluate(graph, arguments, no_dim);
      const std::vector<HostTensor> values = fused.run(graph.name, arguments);
      for (std::size_t i = 0; i < expected.size(); ++i)
        for (std::size_t j = 0; j < expected[i].values.size(); ++j)
          CHECK_MESSAGE(agree(expected[i].values[j], values[i].values[j]),
                        graph.results[i].name << "[" << j << "]: " << values[i].values[j] << ", not "
                                              << expected[i].values[j]);
      CHECK(all_pairs(unfused.run(graph.name, arguments), values, same_bits));
    }
  }
}

}  // namespace
}  // namespace mlpc
