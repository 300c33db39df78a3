#include "ir/ops/scan.h"

#include <doctest/doctest.h>

#include <cmath>

#include "ir/error.h"
#include "ir/evaluate.h"
#include "ir/program.h"
#include "ir/prune.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "tests/ir/scan_samples.h"

namespace mlpc::ir {
namespace {

using testing::f64;
using testing::recurrence;
using testing::recurrent_graph;

Program program_of(Graph graph) {
  Program program;
  program.model = "m";
  program.element = ElementType::f64;
  program.target = "x86-64-v4";
  program.dims = {"B", "T"};
  for (const Graph::Parameter& p : graph.parameters())
    program.inputs.push_back({p.name, graph.type(p.value)});
  program.graphs.push_back(std::move(graph));
  return program;
}

/// The recurrence by hand, one row.
std::vector<double> by_hand(const std::vector<double>& u, std::vector<double> h, const std::vector<double>& x,
                            std::size_t turns, bool reverse) {
  for (std::size_t i = 0; i < turns; ++i) {
    const std::size_t t = reverse ? turns - 1 - i : i;
    std::vector<double> next(2);
    for (std::size_t j = 0; j < 2; ++j)
      next[j] = std::tanh(h[0] * u[j] + h[1] * u[2 + j] + x[2 * t + j] + static_cast<double>(t));
    h = next;
  }
  return h;
}

TEST_CASE("a scan runs its body once a turn, in order, forward and in reverse, 0, 1 and 7 times") {
  for (const bool reverse : {false, true})
    for (const std::int64_t turns : {0, 1, 7}) {
      const auto count = static_cast<std::size_t>(turns);
      HostTensor u{{2, 2}, {0.3, -0.7, 0.5, 0.2}}, h{{1, 2}, {0.1, -0.4}}, x{{turns, 1, 2}, {}};
      for (std::size_t i = 0; i < 2 * count; ++i)
        x.values.push_back(0.25 * std::cos(static_cast<double>(i)) - 3);
      const HostTensor arguments[] = {u, h, x};
      const std::vector<HostTensor> values =
          evaluate(recurrent_graph(recurrence(), reverse), arguments,
                   [&](std::string_view name) { return name == "T" ? turns : 1; });
      CHECK(values[0].values == by_hand(u.values, h.values, x.values, count, reverse));
      REQUIRE(values[1].shape == std::vector<std::int64_t>{turns, 1, 2});
      if (turns == 0) continue;
      const std::size_t last = reverse ? 0 : count - 1;  // stacking keeps the turn's index
      CHECK(values[1].values[2 * last] == values[0].values[0]);
      CHECK(values[1].values[2 * last + 1] == values[0].values[1]);
    }
}

TEST_CASE("scans over equal bodies are one node; their text has each body once, those inside first") {
  Graph graph;
  graph.name = "infer";
  const ValueId operands[] = {graph.add_parameter("U", f64({2, 2}), Role::input, 0),
                              graph.add_parameter("h", f64({Dim::named("B"), 2}), Role::input, 1),
                              graph.add_parameter("x", f64({3, Dim::named("B"), 2}), Role::input, 2)};
  Builder b(graph);
  const std::vector<ValueId> once = ops::scan(b, {recurrence(), 3, false}, operands);
  CHECK(ops::scan(b, {recurrence(), 3, false}, operands) == once);
  const std::vector<ValueId> back = ops::scan(b, {recurrence(), 3, true}, operands);
  CHECK(back != once);

  Graph outer;  // a body that runs the recurrence over its one sequence, whole
  outer.name = "outer";
  outer.add_parameter("t", {ElementType::i64, {}}, Role::turn);
  const ValueId inner_operands[] = {
      outer.add_parameter("U", f64({2, 2}), Role::constant),
      outer.add_parameter("h", f64({Dim::named("B"), 2}), Role::loop),
      outer.add_parameter("x", f64({3, Dim::named("B"), 2}), Role::constant, 1)};
  Builder c(outer);
  outer.results.push_back({"h", Role::loop, 0, ops::scan(c, {recurrence(), 3, false}, inner_operands)[0]});
  const ValueId outer_operands[] = {operands[0], operands[2], once[0]};
  const ValueId last = ops::scan(b, {Body(std::move(outer)), Dim::named("T"), false}, outer_operands)[0];
  graph.results.push_back({"last", Role::output, 0, b.add(last, back[0])});

  const Program program = program_of(graph);
  const std::string text = print(program);
  CHECK(text.find("graph body.0 {") < text.find("graph body.1 {"));
  CHECK(text.find("graph body.1 {") < text.find("graph infer {"));
  CHECK(text.find("graph body.2 {") == std::string::npos);
  CHECK(text.find("scan(%U, %h, %x; body=body.0, consts=1, loops=1, length=[3], reverse=0)") !=
        std::string::npos);
  CHECK(print(parse_program(text, "dump")) == text);
}

TEST_CASE("what no turn needs leaves the body, through loop values and bodies inside") {
  // h0 ← h0 + c0; h1 ← h1 · h2, h2 ← h2; stacked x, h1: only h0 and the stacked x are read.
  Graph body;
  body.name = "body";
  body.add_parameter("t", {ElementType::i64, {}}, Role::turn);
  std::vector<ValueId> p;
  for (std::uint32_t i = 0; i < 2; ++i) p.push_back(body.add_parameter("c", f64({}), Role::constant, i));
  for (std::uint32_t i = 0; i < 3; ++i) p.push_back(body.add_parameter("h", f64({}), Role::loop, i));
  for (std::uint32_t i = 0; i < 2; ++i) p.push_back(body.add_parameter("x", f64({}), Role::sequence, i));
  Builder b(body);
  body.results = {{"h0", Role::loop, 0, b.add(p[2], p[0])},
                  {"h1", Role::loop, 1, b.mul(b.mul(p[3], p[4]), b.mul(p[1], p[6]))},
                  {"h2", Role::loop, 2, p[4]},
                  {"y0", Role::stacked, 0, p[3]},
                  {"y1", Role::stacked, 1, b.neg(p[5])}};
  Graph graph;
  graph.name = "infer";
  std::vector<ValueId> operands;
  for (std::uint32_t i = 0; i < 7; ++i)
    operands.push_back(
        graph.add_parameter(fmt::format("p{}", i), i < 5 ? f64({}) : f64({4}), Role::input, i));
  Builder outer(graph);
  const std::vector<ValueId> results = ops::scan(outer, {Body(std::move(body)), 4, false}, operands);
  graph.results = {{"h0", Role::output, 0, results[0]}, {"y1", Role::output, 0, results[4]}};

  const Graph kept = pruned(graph);
  REQUIRE(kept.parameters().size() == 3);
  CHECK(kept.parameters()[2].name == "p5");
  const Node& scan = kept.producer(kept.results[0].value);
  const BodySignature& s = body_of(scan)->signature();
  CHECK(s.consts.size() == 1);
  CHECK(s.loops.size() == 1);
  CHECK(s.sequences.size() == 1);
  CHECK(s.stacked.size() == 1);
  std::vector<HostTensor> arguments(5, HostTensor{{}, {2}}), few;
  arguments.resize(7, HostTensor{{4}, {1, 2, 3, 4}});
  for (const Graph::Parameter& parameter : kept.parameters()) few.push_back(arguments[parameter.index]);
  const auto no_dim = [](std::string_view) { return std::int64_t{0}; };
  CHECK(evaluate(kept, few, no_dim)[1].values == evaluate(graph, arguments, no_dim)[1].values);
  CHECK(evaluate(kept, few, no_dim)[0].values == std::vector<double>{10});
}

TEST_CASE("a body that is none, and a scan that does not fit it, are errors that say why") {
  const auto error_of = [](auto make) -> std::string {
    try {
      make();
    } catch (const Error& e) {
      return e.what();
    }
    return "";
  };
  const auto body_with = [](auto change) {
    Graph graph = recurrence().graph();
    change(graph);
    return Body(std::move(graph));
  };
  const auto scan_of = [](std::size_t operands, Dim length) {
    Graph graph = recurrent_graph(recurrence(), false);
    Builder b(graph);
    std::vector<ValueId> values = {{0}, {1}, {2}};
    values.resize(operands);
    return ops::scan(b, {recurrence(), std::move(length), false}, values);
  };
  CHECK(error_of([&] { body_with([](Graph& g) { g.results.pop_back(), g.results.pop_back(); }); }) ==
        "graph body: 1 loop values have 0 next values");
  CHECK(error_of([&] { body_with([](Graph& g) { g.results[1].role = Role::output; }); }) ==
        "graph body: a body has no result of the role output");
  CHECK(error_of([&] { body_with([](Graph& g) { g.results[1].index = 1; }); }) ==
        "graph body: the parameters or results of one role are not numbered from 0");
  CHECK(error_of([&] { body_with([](Graph& g) { g.add_parameter("x", f64({}), Role::input); }); }) ==
        "graph body: a body has no parameter of the role input");
  CHECK(error_of([&] { scan_of(2, Dim::named("T")); }) == "`scan` takes 3 operands, as its body, not 2");
  CHECK(error_of([&] { scan_of(3, 5); }) == "sequence 0 is f64[T, B, 2], the body's is f64[5, B, 2]");
  CHECK(error_of([&] {
          Body body = recurrence();
          for (int i = 0; i < 40; ++i) {
            Graph graph;
            graph.name = "deep";
            graph.add_parameter("t", {ElementType::i64, {}}, Role::turn);
            const ValueId operands[] = {
                graph.add_parameter("U", f64({2, 2}), Role::constant),
                graph.add_parameter("h", f64({Dim::named("B"), 2}), Role::loop),
                graph.add_parameter("x", f64({3, Dim::named("B"), 2}), Role::constant, 1)};
            Builder b(graph);
            const ValueId outer[] = {operands[0], operands[2], operands[1]};
            const ValueId h = i > 0 ? ops::scan(b, {body, 2, false}, outer)[0]
                                    : ops::scan(b, {body, 3, false}, operands)[0];
            graph.results.push_back({"h", Role::loop, 0, h});
            body = Body(std::move(graph));
          }
        }) == "graph deep: bodies are nested deeper than 16");
  Graph stray;
  stray.name = "infer";
  stray.add_parameter("t", {ElementType::i64, {}}, Role::turn);
  CHECK(error_of([&] { verify(program_of(stray)); }) == "graph infer: turn `t` stands outside of a body");
}

}  // namespace
}  // namespace mlpc::ir
