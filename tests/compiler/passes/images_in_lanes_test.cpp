#include <doctest/doctest.h>

#include "compiler/passes/passes.h"
#include "compiler/passes/pipeline.h"
#include "ir/builder.h"

namespace mlpc {
namespace {

using namespace ir;

constexpr std::int64_t kExtent = 8, kTaps = 3;

/// y = conv(x), with x of one channel; `forward` has the loss Σ y², too.
Graph graph_of(const Program& program, std::string name) {
  Graph graph;
  graph.name = std::move(name);
  const ValueId x = graph.add_parameter("x", program.inputs[0].type, Role::input, 0);
  const ValueId w = graph.add_parameter("w", program.params[0].type, Role::param, 0);
  Builder b(graph);
  const Shape around = {0, 0, 1, 1}, extents = {kExtent, kTaps};
  const ValueId windows = b.window(b.window(b.pad(x, around, around), 2, extents, 1, 1), 4, extents, 1, 1);
  const ValueId operands[] = {windows, w};
  const ValueId y = b.einsum("ncaubv,ocuv->noab", operands);
  graph.results.push_back({"y", Role::output, 0, y});
  if (graph.name == "forward")
    graph.results.push_back({"loss", Role::loss_total, 0, b.reduce_sum(b.mul(y, y), {0, 1, 2, 3})});
  return graph;
}

Program program_of(std::int64_t outputs, const Dim& images) {
  Program program;
  program.model = "m";
  program.target = "x86-64-v4";
  program.dims = images.names();
  program.inputs = {{"x", {ElementType::f32, {images, 1, kExtent, kExtent}}}};
  program.params = {{"w", {ElementType::f32, {outputs, 1, kTaps, kTaps}}}};
  assign_offsets(program.params);
  for (const char* name : {"infer", "forward"}) program.graphs.push_back(graph_of(program, name));
  return passes::run_pipeline(program, Stage::joint);
}

/// The einsums of a graph whose result's last axis has so many lanes.
int contractions_in(const Program& program, std::string_view graph, std::int64_t lanes) {
  const Graph& g = *program.find(graph);
  int count = 0;
  for (std::uint32_t i = 0; i < g.node_count(); ++i)
    count += g.node({i}).op == Op::einsum_ && g.type(Graph::result(g.node({i}))).shape.back() == Dim(lanes);
  return count;
}

TEST_CASE("few channels learn from images in lanes, and infer from pixels") {
  const Program program = program_of(6, Dim::named("B"));
  CHECK(contractions_in(program, "grad", 16) == 2);
  CHECK(contractions_in(program, "infer", 16) == 0);
}

TEST_CASE("many channels, and few images, are no lanes of images") {
  CHECK(contractions_in(program_of(24, Dim::named("B")), "grad", 16) == 0);
  CHECK(contractions_in(program_of(6, 5), "grad", 16) == 0);
  CHECK(contractions_in(program_of(6, 32), "grad", 16) == 2);
}

}  // namespace
}  // namespace mlpc
