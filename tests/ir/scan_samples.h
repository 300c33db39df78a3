#pragma once

#include "ir/ops/scan.h"

namespace mlpc::ir::testing {

inline Type f64(Shape shape) { return {ElementType::f64, std::move(shape)}; }

/// h ← tanh(h U + x + t): loop value [B, 2], const U [2, 2], sequence of [B, 2]; stacks h.
inline Body recurrence() {
  Graph graph;
  graph.name = "body";
  const Dim rows = Dim::named("B");
  const ValueId turn = graph.add_parameter("t", {ElementType::i64, {}}, Role::turn);
  const ValueId weights = graph.add_parameter("U", f64({2, 2}), Role::constant);
  const ValueId h = graph.add_parameter("h", f64({rows, 2}), Role::loop);
  const ValueId x = graph.add_parameter("x", f64({rows, 2}), Role::sequence);
  Builder b(graph);
  const ValueId operands[] = {h, weights};
  const ValueId time = b.broadcast(b.convert(turn, ElementType::f64), {rows, 2}, {});
  const ValueId next = b.value(Op::tanh_, {b.add(b.add(b.einsum("bi,ij->bj", operands), x), time)});
  graph.results.push_back({"h", Role::loop, 0, next});
  graph.results.push_back({"hs", Role::stacked, 0, next});
  return Body(std::move(graph));
}

/// A graph `infer` of U, h0 and xs [T, B, 2]: the last h, and all of them.
inline Graph recurrent_graph(const Body& body, bool reverse) {
  Graph graph;
  graph.name = "infer";
  const Dim rows = Dim::named("B"), turns = Dim::named("T");
  const ValueId operands[] = {graph.add_parameter("U", f64({2, 2}), Role::input, 0),
                              graph.add_parameter("h0", f64({rows, 2}), Role::input, 1),
                              graph.add_parameter("xs", f64({turns, rows, 2}), Role::input, 2)};
  Builder b(graph);
  const std::vector<ValueId> results = ops::scan(b, {body, turns, reverse}, operands);
  graph.results.push_back({"last", Role::output, 0, results[0]});
  graph.results.push_back({"hs", Role::output, 0, results[1]});
  return graph;
}

}  // namespace mlpc::ir::testing
