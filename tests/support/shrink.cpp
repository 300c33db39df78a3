#include "tests/support/shrink.h"

#include <fmt/format.h>

#include "ir/copy.h"
#include "ir/error.h"
#include "ir/prune.h"
#include "tests/support/random_program.h"

namespace mlpc::testing {
namespace {

using namespace ir;

/// The forward graph with new inputs in the place of a node's results; the program itself where no input can
/// have their types.
Program without(const Program& program, NodeId cut) {
  Program out = program;
  const Graph& forward = *program.find("forward");
  Graph graph;
  graph.name = forward.name;
  Builder b(graph);
  Copier copier(forward, b);
  copier.add_parameters();
  for (std::uint32_t i = 0; i < forward.node_count(); ++i) {
    const Node& node = forward.node({i});
    if (i != cut.index) {
      copier.copy({i});
      continue;
    }
    for (std::uint32_t r = 0; r < node.result_count; ++r) {
      const Type type = forward.type(Graph::result(node, r));
      if (!has_table_form(type)) return program;
      const auto index = static_cast<std::uint32_t>(out.inputs.size());
      out.inputs.push_back({fmt::format("cut{}", index), type});
      copier.bind(Graph::result(node, r),
                  graph.add_parameter(out.inputs[index].name, type, Role::input, index));
    }
  }
  copier.add_results();
  return with_forward(std::move(out), pruned(graph));
}

}  // namespace

Program shrunk(Program program, const std::function<bool(const Program&)>& fails) {
  bool is_smaller = true;
  while (is_smaller) {
    is_smaller = false;
    for (std::uint32_t i = static_cast<std::uint32_t>(program.find("forward")->node_count()); i-- > 0;) {
      const Graph& forward = *program.find("forward");
      if (i >= forward.node_count() || forward.node({i}).op == Op::parameter_) continue;
      Program candidate = without(program, {i});
      if (candidate.find("forward")->node_count() >= forward.node_count() || !fails(candidate)) continue;
      program = std::move(candidate);
      is_smaller = true;
    }
  }
  return program;
}

}  // namespace mlpc::testing
