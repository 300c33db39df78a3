#include "compiler/lowering/prepare.h"

#include <algorithm>

#include "compiler/lowering/convolution.h"
#include "ir/ops/einsum.h"
#include "ir/rebuild.h"

namespace mlpc::lowering {
namespace {

using ir::Builder;
using ir::Graph;
using ir::Node;
using ir::Op;
using ir::Role;
using ir::ValueId;

/// A new value for a contraction operand whose letters are changed to have `lane` last.
ValueId lane_last(Builder& b, ValueId operand, std::string& letters, char lane) {
  const std::size_t at = letters.find(lane);
  if (at == std::string::npos || at + 1 == letters.size()) return operand;
  ir::Integers permutation;
  for (std::size_t axis = 0; axis < letters.size(); ++axis)
    if (axis != at) permutation.push_back(static_cast<std::int64_t>(axis));
  permutation.push_back(static_cast<std::int64_t>(at));
  letters.erase(at, 1);
  letters += lane;
  return b.transpose(operand, std::move(permutation));
}

ValueId contraction(Builder& b, const Node& node, std::vector<ValueId> operands) {
  ir::ops::EinsumSpec spec = ir::ops::parse_einsum(std::get<std::string>(node.attributes[0]));
  const char lanes = lane_letter(b.graph(), spec, operands);
  if (!spec.result.empty())
    for (std::size_t k = 0; k < operands.size(); ++k)
      if (!reads_windows(b.graph(), operands[k]))
        operands[k] = lane_last(b, operands[k], spec.operands[k], lanes);
  return b.einsum(spec.text(), operands);
}

bool stays_in_place(const Graph& graph, const Graph::Result& result) {
  if (graph.name == "grad") return false;  // its state goes to another buffer
  return std::ranges::any_of(graph.parameters(), [&](const Graph::Parameter& p) {
    return p.value == result.value && p.role == result.role && p.index == result.index;
  });
}

}  // namespace

Graph prepare(const Graph& graph) {
  Graph out = ir::rebuild(graph, [&](Builder& b, ir::Copier& copier, const Node& node) {
    if (node.op != Op::einsum_) return false;
    copier.bind(Graph::result(node), contraction(b, node, copier.operands(node)));
    return true;
  });
  Builder b(out);
  for (std::size_t i = 0; i < graph.results.size(); ++i) {
    const Graph::Result& result = graph.results[i];
    if (graph.producer(result.value).op == Op::parameter_ && !stays_in_place(graph, result))
      out.results[i].value = b.value(Op::stop_grad_, {out.results[i].value});
  }
  return out;
}

}  // namespace mlpc::lowering
