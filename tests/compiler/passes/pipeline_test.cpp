#include "compiler/passes/pipeline.h"

#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "compiler/passes/passes.h"
#include "ir/text.h"
#include "tests/support/random_program.h"

namespace mlpc {
namespace {

using namespace ir;
using testing::arguments_for;
using testing::Random;
using testing::random_program;

// Passes are exact but expand_composites, whose logsumexp is the reference's up to a few roundings, which
// later ops may magnify.
constexpr double kTolerance = 1e-7;

constexpr std::int64_t kExtent = 7;  // of the free dim

std::int64_t extent(std::string_view) { return kExtent; }

bool is_same(double a, double b) { return a == b || (std::isnan(a) && std::isnan(b)); }

bool agree(double a, double b) {
  if (!std::isfinite(a) || !std::isfinite(b)) return std::isfinite(a) == std::isfinite(b);
  return std::abs(a - b) <= kTolerance * std::max(1.0, std::abs(a));
}

bool agree(const HostTensor& a, const HostTensor& b) {
  return a.shape == b.shape &&
         std::ranges::equal(a.values, b.values, [](double x, double y) { return agree(x, y); });
}

/// The results of both graphs that have the same role, index and name agree; `count` of them there are.
void check_same_results(const Graph& before, const Graph& after) {
  const std::vector<HostTensor> old = evaluate(before, arguments_for(before, kExtent), extent);
  const std::vector<HostTensor> now = evaluate(after, arguments_for(after, kExtent), extent);
  for (std::size_t i = 0; i < old.size(); ++i) {
    const Graph::Result& r = before.results[i];
    if (r.role == Role::residual) continue;
    const auto same = std::ranges::find_if(after.results, [&](const Graph::Result& s) {
      return s.role == r.role && s.index == r.index && s.name == r.name;
    });
    REQUIRE_MESSAGE(same != after.results.end(), r.name);
    CHECK_MESSAGE(agree(old[i], now[static_cast<std::size_t>(same - after.results.begin())]), r.name);
  }
}

TEST_CASE("every pass preserves what the graphs of random programs compute") {
  for (std::uint64_t seed = 0; seed < 40; ++seed) {
    Random random(seed);
    Program before = random_program(30, random);
    passes::run_pipeline(before, Stage::joint, [&](std::string_view pass, const Program& after) {
      INFO(seed);
      INFO(std::string(pass));
      for (const Graph& graph : before.graphs) {
        const bool becomes_grad = graph.name == "forward" && !after.find("forward");
        const Graph* same = after.find(becomes_grad ? "grad" : graph.name);
        if (same) check_same_results(graph, *same);
      }
      before = after;
    });
    CHECK(before.stage == Stage::joint);
  }
}

TEST_CASE("the joint program is the same from a dump of any stage") {
  Random random(7);
  const Program program = random_program(30, random);
  const auto plain = [](const Program& p) { return print(parse_program(print(p), "dump")); };
  const std::string joint = plain(passes::run_pipeline(program, Stage::joint));
  for (Stage stage : {Stage::graph, Stage::linear, Stage::jacobian, Stage::joint}) {
    const Program dump = parse_program(print(passes::run_pipeline(program, stage)), "dump");
    CHECK(dump.stage == stage);
    CHECK(plain(passes::run_pipeline(dump, Stage::joint)) == joint);
  }
}

/// A graph's results by role and index, for these arguments.
const HostTensor& result_of(const Graph& graph, const std::vector<HostTensor>& results, Role role,
                            std::uint32_t index) {
  for (std::size_t i = 0; i < results.size(); ++i)
    if (graph.results[i].role == role && graph.results[i].index == index) return results[i];
  FAIL("no such result");
  return results[0];
}

TEST_CASE("train_step is grad, then update, in every bit") {
  for (std::uint64_t seed = 0; seed < 10; ++seed) {
    Random random(seed);
    const Program joint = passes::run_pipeline(random_program(25, random), Stage::joint);
    const Graph &grad = *joint.find("grad"), &update = *joint.find("update"),
                &step = *joint.find("train_step");
    const std::vector<HostTensor> gradients = evaluate(grad, arguments_for(grad, kExtent), extent);
    std::vector<HostTensor> arguments = arguments_for(update, kExtent);
    for (std::size_t i = 0; i < arguments.size(); ++i)
      if (const Graph::Parameter& p = update.parameters()[i]; p.role == Role::grad)
        arguments[i] = result_of(grad, gradients, Role::grad, p.index);
    const std::vector<HostTensor> updated = evaluate(update, arguments, extent);
    const std::vector<HostTensor> stepped = evaluate(step, arguments_for(step, kExtent), extent);
    const auto check = [&](const Graph& graph, const std::vector<HostTensor>& results) {
      for (std::size_t i = 0; i < results.size(); ++i) {
        const Graph::Result& r = graph.results[i];
        if (r.role == Role::grad) continue;
        const HostTensor& same = result_of(step, stepped, r.role, r.index);
        CHECK_MESSAGE(std::ranges::equal(same.values, results[i].values, is_same), r.name);
      }
    };
    check(grad, gradients);
    check(update, updated);
  }
}

TEST_CASE("grad adds to the gradients that are there, if the call asks for it") {
  Random random(3);
  const Program joint = passes::run_pipeline(random_program(20, random), Stage::joint);
  const Graph& grad = *joint.find("grad");
  std::vector<HostTensor> arguments = arguments_for(grad, kExtent);
  const std::vector<HostTensor> fresh = evaluate(grad, arguments, extent);
  std::size_t checked = 0;
  for (std::size_t i = 0; i < arguments.size(); ++i)
    if (grad.parameters()[i].role == Role::accumulate) arguments[i].values[0] = 1;
  const std::vector<HostTensor> added = evaluate(grad, arguments, extent);
  for (std::size_t i = 0; i < arguments.size(); ++i) {
    const Graph::Parameter& p = grad.parameters()[i];
    if (p.role != Role::grad) continue;
    const HostTensor& before = result_of(grad, fresh, Role::grad, p.index);
    const HostTensor& after = result_of(grad, added, Role::grad, p.index);
    for (std::size_t j = 0; j < before.values.size(); ++j, ++checked)
      CHECK(is_same(after.values[j], arguments[i].values[j] + before.values[j]));
  }
  CHECK(checked > 0);
}

TEST_CASE("an entry takes only what it reads") {
  Random random(5);
  Program program = random_program(0, random);
  const Program joint = passes::run_pipeline(program, Stage::joint);
  for (const Graph::Parameter& p : joint.find("train_step")->parameters()) {
    CHECK(p.role != Role::grad);
    CHECK(p.role != Role::loss_bar);
    CHECK(p.name != "labels");
    CHECK(p.role != Role::seed);
  }
}

}  // namespace
}  // namespace mlpc
