#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>

#include "compiler/driver/host_cpu.h"
#include "compiler/frontend/frontend.h"
#include "compiler/lowering/lower.h"
#include "compiler/passes/pipeline.h"
#include "ir/error.h"
#include "tests/support/compiled/compiled.h"
#include "tests/support/compiled/interpreted.h"
#include "tests/support/random_program.h"
#include "tests/support/tolerance.h"

// Attention: what has an element for each pair of positions is never there for all sequences and heads at
// once.

namespace mlpc {
namespace {

using namespace ir;
using testing::CompiledProgram;
using testing::Dims;
using testing::InterpretedProgram;

/// `time`: the extent of a sequence, or a free dim's name.
Program attention(std::string_view time, std::string_view arguments, std::string_view floats) {
  const std::string source = fmt::format(R"(model m : {} {{
  const D = 6
  input x[B, {}, D]
  h = x |> attention(2{})
  output y = h
  loss l = mean(h * h)
  train {{ optimizer = sgd(lr = 0.1); batch = 4 }}
}}
)",
                                         floats, time, arguments);
  frontend::Diagnostics diagnostics;
  std::vector<std::unique_ptr<frontend::SourceFile>> files;
  auto program = frontend::parse_net(source, "attention.net", {}, diagnostics, files);
  if (!program) fail("{}{}", diagnostics.text(), source);
  program->target = driver::host_target();
  return passes::run_pipeline(*program, Stage::joint);
}

const LoweredEntry& entry_of(const KernelProgram& kernels, std::string_view name) {
  return *std::ranges::find(kernels.entries, name, &LoweredEntry::name);
}

constexpr int kDegreeOfPairs = 3;  // B·T·T

/// Of slots: those of all pairs, and rooms for those of a task.
std::pair<std::size_t, std::size_t> slots_of_pairs(const LoweredEntry& entry) {
  std::size_t whole = 0, rooms = 0;
  for (const WorkspaceSlot& slot : entry.slots)
    if (slot.bytes.degree() >= kDegreeOfPairs) ++(slot.tasks ? rooms : whole);
  return {whole, rooms};
}

void check_near(const std::vector<HostTensor>& values, const std::vector<HostTensor>& expected,
                double bound) {
  REQUIRE(values.size() == expected.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    for (std::size_t j = 0; j < values[i].values.size(); ++j)
      CHECK(testing::agree(values[i].values[j], expected[i].values[j], bound));
}

TEST_CASE("attention has the evaluator's values, and the same bits at every level and in any order") {
  const std::pair<std::string, std::string> cases[] = {
      {", masked = true", "f32"}, {"", "f64"}, {", masked = true, drop = 0.3", "f64"}};
  for (const auto& [arguments, floats] : cases) {
    INFO(arguments << " " << floats);
    const Program program = attention("T", arguments, floats);
    const double bound = 1e3 * testing::unit_of(program.element);
    const CompiledProgram joined(program, 2), plain(program, 0);
    const InterpretedProgram interpreted(program, 2);
    for (const auto& [batch, time] : {std::pair{1, 1}, std::pair{2, 7}, std::pair{3, 5}, std::pair{2, 33}})
      for (const std::string name : {"infer", "loss", "grad"}) {
        INFO(name << " " << batch << " " << time);
        const Graph& graph = *program.find(name);
        const Dims dims = {{"B", batch}, {"T", time}};
        const std::vector<HostTensor> in = testing::arguments_for(graph, testing::value_in(dims));
        const std::vector<HostTensor> values = joined.run(name, in, dims);
        check_near(values, evaluate(graph, in, testing::value_in(dims)), bound);
        check_near(interpreted.run(name, in, dims), values, bound);
        CHECK(testing::same_bits(values, joined.run_backwards(name, in, dims)));
        CHECK(testing::same_bits(values, plain.run(name, in, dims)));
      }
  }
}

TEST_CASE("tasks have rooms for the pairs of a sequence, forward and backward") {
  for (const std::string arguments : {"", ", masked = true, drop = 0.3"}) {
    const KernelProgram kernels = lowering::lower(attention("T", arguments, "f32"), {2});
    for (const std::string name : {"infer", "loss", "grad", "train_step"}) {
      INFO(name << arguments);
      const auto [whole, rooms] = slots_of_pairs(entry_of(kernels, name));
      CHECK(whole == 0);
      CHECK(rooms >= 1);
    }
  }
}

TEST_CASE("pairs of a sequence of known length are kept") {
  const Program program = attention("16", "", "f32");
  const Graph& grad = *program.find("grad");
  for (std::uint32_t i = 0; i < grad.node_count(); ++i) CHECK(grad.node({i}).op != Op::recompute_);
  const KernelProgram kernels = lowering::lower(program, {2});
  for (const WorkspaceSlot& slot : entry_of(kernels, "grad").slots) CHECK_FALSE(slot.tasks);
}

}  // namespace
}  // namespace mlpc
