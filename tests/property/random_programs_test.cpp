#include <doctest/doctest.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdlib>
#include <map>

#include "compiler/driver/host_cpu.h"
#include "compiler/passes/pipeline.h"
#include "ir/error.h"
#include "ir/text.h"
#include "tests/support/compiled/compiled.h"
#include "tests/support/compiled/interpreted.h"
#include "tests/support/random_program.h"
#include "tests/support/shrink.h"
#include "tests/support/tolerance.h"

// Random programs: the evaluator, the kernel interpreter and machine code agree, and gradients are difference
// quotients. This is what single ops do not show: fusion, storage, updates in place, tasks, free dims.

namespace mlpc {
namespace {

using namespace ir;
using testing::CompiledProgram;
using testing::Dims;
using testing::DrawCounts;
using testing::InterpretedProgram;
using testing::Random;
using Values = std::vector<HostTensor>;

constexpr std::uint64_t kPrograms = 200;  // that the ops are counted in; MLPC_PROGRAMS: how many are run
#ifdef __OPTIMIZE__
constexpr std::uint64_t kProgramsRun = kPrograms;
#else
constexpr std::uint64_t kProgramsRun = 12;  // without optimisation they take too long
#endif
constexpr std::size_t kNodes = 14;  // of a forward graph; the gradient has some ten times that
constexpr std::size_t kOpsAtLeast = 20, kPairsAtLeast = 5;
constexpr double kNonZeroAtLeast = 0.9;

/// The greatest deviation of each result under noise.
std::vector<double> sensitivities(const Graph& graph, const Values& arguments, const Dims& dims,
                                  const Values& expected) {
  std::vector<double> out(expected.size(), 0);
  Random random(1);
  for (int draw = 0; draw < testing::kNoiseDraws; ++draw) {
    const Values noisy = evaluate(graph, arguments, testing::value_in(dims),
                                  [&](const Graph& in, ValueId v, HostTensor& value) {
                                    if (!is_float(in.type(v).element)) return;
                                    for (double& x : value.values)
                                      x += testing::kNoise * random.between(-1, 1) * x;
                                  });
    for (std::size_t i = 0; i < expected.size(); ++i)
      for (std::size_t j = 0; j < expected[i].values.size(); ++j)
        out[i] = std::max(out[i], std::abs(noisy[i].values[j] - expected[i].values[j]));
  }
  return out;
}

double greatest_of(const HostTensor& tensor) {
  double greatest = 0;
  for (double x : tensor.values)
    if (std::isfinite(x)) greatest = std::max(greatest, std::abs(x));
  return greatest;
}

/// Throws mlpc::Error where values are further apart than rounding explains.
void require_agreement(const Graph& graph, const Values& expected, const Values& values,
                       const std::vector<double>& sensitivity, double unit, std::string_view what) {
  for (std::size_t i = 0; i < expected.size(); ++i) {
    const bool is_exact = !is_float(graph.type(graph.results[i].value).element);
    const double bound = is_exact ? 0
                                  : testing::kUnitsOfProgramOp * unit *
                                        (sensitivity[i] / testing::kNoise + greatest_of(expected[i]) + 1);
    for (std::size_t j = 0; j < expected[i].values.size(); ++j)
      if (!testing::agree(values[i].values[j], expected[i].values[j], bound))
        fail("{} of {}: `{}`[{}] is {}, not {} ± {}", what, graph.name, graph.results[i].name, j,
             values[i].values[j], expected[i].values[j], bound);
  }
}

using Pairs = decltype(DrawCounts::pairs);

struct Statistics {
  std::size_t gradients = 0, non_zero = 0;  // of those with an active path, at extents other than 0
  Pairs pairs;
};

bool is_zero_constant(const Graph& graph, ValueId v) {
  while (graph.producer(v).op == Op::broadcast_) v = graph.operands(graph.producer(v))[0];
  const Node& node = graph.producer(v);
  return node.op == Op::constant_ && std::get<Constant>(node.attributes[0]).as_double() == 0;
}

void check_gradients(const Program& program, const Graph& grad, const Values& values, std::int64_t extent,
                     Statistics* statistics) {
  const Graph& loss = *program.find("loss");
  const Values arguments = testing::arguments_for(loss, extent);
  Random random(7);
  std::map<std::uint32_t, HostTensor> directions;  // by param
  double slope = 0, size = 1;
  for (std::size_t i = 0; i < values.size(); ++i) {
    const Graph::Result& r = grad.results[i];
    if (r.role != Role::grad) continue;
    HostTensor& direction = directions[r.index] = values[i];
    for (double x : values[i].values)
      if (!std::isfinite(x)) fail("the gradient of {} is not finite", r.name);
    if (statistics && !is_zero_constant(grad, r.value)) {
      ++statistics->gradients;
      statistics->non_zero += std::ranges::any_of(values[i].values, [](double x) { return x != 0; });
    }
    for (std::size_t j = 0; j < direction.values.size(); ++j) {
      direction.values[j] = random.between(-1, 1);
      slope += values[i].values[j] * direction.values[j];
      size += std::abs(values[i].values[j] * direction.values[j]);
    }
  }
  const auto value_of_dim = [&](std::string_view) { return extent; };
  HeldConstants constants;
  evaluate(loss, arguments, value_of_dim, constants.hook());
  const auto loss_at = [&](double t) {
    Values moved = arguments;
    for (std::size_t k = 0; k < moved.size(); ++k) {
      const Graph::Parameter& p = loss.parameters()[k];
      if (p.role == Role::param)
        for (std::size_t j = 0; j < moved[k].values.size(); ++j)
          moved[k].values[j] += t * directions.at(p.index).values[j];
    }
    const Values results = evaluate(loss, moved, value_of_dim, constants.hook());
    const auto at = std::ranges::find(loss.results, Role::loss_total, &Graph::Result::role);
    return results[static_cast<std::size_t>(at - loss.results.begin())].values[0];
  };
  double quotient = 0;
  for (double step : testing::kProgramSteps) {
    quotient = (loss_at(step) - loss_at(-step)) / (2 * step);
    if (std::abs(quotient - slope) <= testing::kProgramDifference * size) return;
  }
  fail("the gradient's slope is {}, the difference quotient {}", slope, quotient);
}

void check_extent(const Program& program, const Program& joint, const CompiledProgram& compiled,
                  const InterpretedProgram& interpreted, std::int64_t extent, Statistics* statistics) {
  const Dims dims = {{testing::kFreeDim, extent}};
  for (const Graph& graph : joint.graphs) {
    if (extent == 0 && graph.name == "grad" && compiled.has("grad") &&
        compiled.plan("grad", dims) != MLPC_BAD_DIM)
      fail("grad accepts the extent 0");
    const bool needs_rows = graph.name == "grad" || graph.name == "train_step";
    if (extent == 0 && needs_rows) continue;
    const Values arguments = testing::arguments_for(graph, extent);
    const Values expected = evaluate(graph, arguments, testing::value_in(dims));
    const std::vector<double> sensitivity = sensitivities(graph, arguments, dims, expected);
    const double unit = testing::unit_of(program.element);
    require_agreement(graph, expected, interpreted.run(graph.name, arguments, dims), sensitivity, unit,
                      "the interpretation");
    if (compiled.has(graph.name))
      require_agreement(graph, expected, compiled.run(graph.name, arguments, dims), sensitivity, unit,
                        "the machine code");
    if (graph.name == "grad") check_gradients(program, graph, expected, extent, statistics);
  }
}

void count_pairs(const Graph& graph, Statistics& statistics) {
  for (std::uint32_t i = 0; i < graph.node_count(); ++i)
    for (ValueId v : graph.operands(graph.node({i})))
      ++statistics
            .pairs[{def(graph.producer(v).op).lowering.index(), def(graph.node({i}).op).lowering.index()}];
}

/// How a program is compiled: as products are, or, of very many programs, so that LLVM has a third of the
/// work or less: only one entry, half the time `grad`, and most of them with little effort, for another
/// target.
struct Compilation {
  std::string target = std::string(driver::host_target());
  codegen::Effort effort = codegen::Effort::usual;
  std::size_t entry = kAllEntries;  // odd: grad; else which of the others
  lowering::Extents specialized = {};

  static constexpr std::size_t kAllEntries = SIZE_MAX;
};

/// Of the pairs of programs, of f64 and f32, one in eight is specialized for the middle one of the extents.
/// With MLPC_LITTLE_EFFORT another one in eight is compiled with all effort.
Compilation compilation_of(std::uint64_t seed) {
  const std::uint64_t turn = seed / 2 % 8;
  Compilation out;
  if (turn == 2) out.specialized = {{testing::kFreeDim, testing::kFreeExtents[1]}};
  if (!std::getenv("MLPC_LITTLE_EFFORT")) return out;
  out.entry = seed / 16;
  if (turn == 0) return out;
  if (turn != 1) out.target = "x86-64";
  out.effort = codegen::Effort::least;
  return out;
}

Program compiled_part(Program joint, const Compilation& compilation) {
  if (compilation.entry == Compilation::kAllEntries) return joint;
  std::vector<std::string> others;
  for (const Graph& graph : joint.graphs)
    if (graph.name != "grad") others.push_back(graph.name);
  const std::string chosen =
      compilation.entry % 2 == 1 ? "grad" : others[compilation.entry / 2 % others.size()];
  std::erase_if(joint.graphs, [&](const Graph& g) { return g.name != chosen; });
  return joint;
}

/// Throws mlpc::Error for what is wrong with the program.
void check_program(const Program& program, const Compilation& compilation, Statistics* statistics) {
  const Program joint = passes::run_pipeline(program, Stage::joint);
  if (statistics) count_pairs(*joint.find("grad"), *statistics);
  // One level is compiled and another interpreted: which ones, the number of nodes decides.
  const int level = static_cast<int>(program.find("forward")->node_count() % 3);
  const CompiledProgram compiled(compiled_part(joint, compilation),
                                 {level, compilation.target, compilation.effort, compilation.specialized});
  const InterpretedProgram interpreted(joint, 2 - level, compilation.specialized);
  check_extent(program, joint, compiled, interpreted, 0, statistics);
  for (std::int64_t extent : testing::kFreeExtents)
    check_extent(program, joint, compiled, interpreted, extent, statistics);
}

std::string failure_of(const Program& program, const Compilation& compilation,
                       Statistics* statistics = nullptr) {
  try {
    check_program(program, compilation, statistics);
  } catch (const std::exception& e) {
    return e.what();
  }
  return "";
}

std::uint64_t number_from(const char* variable, std::uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text ? std::strtoull(text, nullptr, 10) : otherwise;
}

/// The lowerings whose values reach kernels, with the name of one of their ops.
std::map<std::size_t, std::string> lowering_kinds() {
  std::map<std::size_t, std::string> kinds;
  for (Op op : all_ops())
    if (testing::reaches_kernels(op)) kinds.emplace(def(op).lowering.index(), def(op).name);
  return kinds;
}

void check_ops(const DrawCounts& counts) {
  for (Op op : all_ops()) {
    if (!testing::is_drawn(op)) continue;
    const std::size_t count = counts.ops.contains(op) ? counts.ops.at(op) : 0;
    MESSAGE(def(op).name << ": " << count);
    CHECK_MESSAGE(count >= kOpsAtLeast, def(op).name << " was applied " << count << " times");
  }
}

void check_pairs(const Statistics& statistics) {
  for (const auto& [producer, producer_name] : lowering_kinds())
    for (const auto& [consumer, consumer_name] : lowering_kinds()) {
      if (!testing::may_meet(producer, consumer)) continue;
      const auto found = statistics.pairs.find({producer, consumer});
      const std::size_t count = found == statistics.pairs.end() ? 0 : found->second;
      MESSAGE("the kind of " << producer_name << " read by that of " << consumer_name << ": " << count);
      CHECK_MESSAGE(count >= kPairsAtLeast, "the pair occurs " << count << " times");
    }
}

void check_gradient_counts(const Statistics& statistics) {
  MESSAGE("gradients that are not 0: " << statistics.non_zero << " of " << statistics.gradients);
  CHECK(static_cast<double>(statistics.non_zero) >=
        kNonZeroAtLeast * static_cast<double>(statistics.gradients));
}

TEST_CASE("random programs give the evaluator's values, interpreted and compiled, and gradients are slopes") {
  const std::uint64_t programs = number_from("MLPC_PROGRAMS", kProgramsRun),
                      first = number_from("MLPC_SEED", 0);
  DrawCounts counts;
  Statistics statistics;
  for (std::uint64_t seed = first; seed < first + programs; ++seed) {
    Random random(seed + 1000);
    const ElementType floats = seed % 2 == 0 ? ElementType::f64 : ElementType::f32;
    const Program program = testing::random_program(kNodes, floats, random, counts);
    const Compilation compilation = compilation_of(seed);
    const std::string failure = failure_of(program, compilation, &statistics);
    counts.pairs = statistics.pairs;
    if (failure.empty()) continue;
    const Program smallest =
        testing::shrunk(program, [&](const Program& p) { return !failure_of(p, compilation).empty(); });
    FAIL("seed " << seed << ": " << failure << "\nsmallest: " << failure_of(smallest, compilation) << "\n"
                 << print(smallest));
  }
  if (programs >= kPrograms) check_ops(counts);
  if (programs >= kPrograms) check_gradient_counts(statistics);
  if (programs >= kPrograms) check_pairs(statistics);
}

}  // namespace
}  // namespace mlpc
