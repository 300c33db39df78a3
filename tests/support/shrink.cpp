#include "tests/support/shrink.h"

#include <fmt/format.h>

#include <optional>
#include <vector>

#include "ir/copy.h"
#include "ir/error.h"
#include "ir/prune.h"
#include "tests/support/random_program.h"

namespace mlpc::testing {
namespace {

using namespace ir;

/// The forward graph with new inputs in the place of a node's results, or with `instead`, a value before it,
/// in the place of its only one; the program itself where no input can have their types.
Program without(const Program& program, NodeId cut, std::optional<ValueId> instead = std::nullopt) {
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
    if (instead) {
      copier.bind(Graph::result(node), copier.at(*instead));
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

/// All programs with one node less: without the node, or with an operand in the place of its result.
std::vector<Program> candidates(const Program& program, NodeId cut) {
  const Graph& forward = *program.find("forward");
  const Node& node = forward.node(cut);
  std::vector<Program> out = {without(program, cut)};
  if (node.result_count == 1)
    for (ValueId v : forward.operands(node))
      if (forward.type(v) == forward.type(Graph::result(node))) out.push_back(without(program, cut, v));
  return out;
}

}  // namespace

Program shrunk(Program program, const std::function<bool(const Program&)>& fails) {
  bool is_smaller = true;
  while (is_smaller) {
    is_smaller = false;
    for (std::uint32_t i = static_cast<std::uint32_t>(program.find("forward")->node_count()); i-- > 0;) {
      const Graph& forward = *program.find("forward");
      if (i >= forward.node_count() || forward.node({i}).op == Op::parameter_) continue;
      for (Program& candidate : candidates(program, {i})) {
        if (candidate.find("forward")->node_count() >= forward.node_count() || !fails(candidate)) continue;
        program = std::move(candidate);
        is_smaller = true;
        break;
      }
    }
  }
  return program;
}

}  // namespace mlpc::testing
