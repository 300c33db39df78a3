#include "compiler/lowering/prepare.h"

#include <algorithm>

#include "compiler/lowering/convolution.h"
#include "compiler/lowering/packing.h"
#include "compiler/lowering/schedule.h"
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

/// Where the sum runs over the same first axes of both operands, but in another order, the smaller one is
/// turned into the order of the other: then these axes are one loop, and both are read from end to end.
void align_contracted(Builder& b, ir::ops::EinsumSpec& spec, std::vector<ValueId>& operands) {
  const std::size_t count = spec.contracted.size();
  if (operands.size() != 2 || count < 2) return;
  const auto is_first = [&](const std::string& letters) {
    return letters.size() >= count && std::ranges::all_of(letters.substr(0, count), [&](char letter) {
             return spec.contracted.find(letter) != std::string::npos;
           });
  };
  if (!std::ranges::all_of(spec.operands, is_first)) return;
  const auto size = [&](ValueId v) { return guess(b.type(v).element_count()); };
  const std::size_t turned = size(operands[0]) < size(operands[1]) ? 0 : 1;
  std::string &letters = spec.operands[turned], order = spec.operands[1 - turned].substr(0, count);
  ir::Integers permutation;
  for (char letter : order) permutation.push_back(static_cast<std::int64_t>(letters.find(letter)));
  for (std::size_t axis = count; axis < letters.size(); ++axis)
    permutation.push_back(static_cast<std::int64_t>(axis));
  spec.contracted = order;
  if (std::ranges::is_sorted(permutation)) return;
  letters.replace(0, count, order);
  operands[turned] = b.transpose(operands[turned], std::move(permutation));
}

/// With the last of a chain of reshapes, so that all of them view one buffer.
ValueId reshaped(Builder& b, ValueId v, ir::Shape shape) {
  while (b.graph().producer(v).op == Op::reshape_) v = b.graph().operands(b.graph().producer(v))[0];
  return b.type(v).shape == shape ? v : b.reshape(v, std::move(shape));
}

/// Letters of the sum that follow each other in every operand become one, so that the sum is one loop.
void merge_contracted(Builder& b, ir::ops::EinsumSpec& spec, std::vector<ValueId>& operands) {
  for (std::size_t i = 0; i + 1 < spec.contracted.size();) {
    const char first = spec.contracted[i], second = spec.contracted[i + 1];
    const bool are_neighbours = std::ranges::all_of(spec.operands, [&](const std::string& letters) {
      const std::size_t at = letters.find(first);
      return at != std::string::npos && at + 1 < letters.size() && letters[at + 1] == second;
    });
    if (!are_neighbours) {
      ++i;
      continue;
    }
    for (std::size_t k = 0; k < operands.size(); ++k) {
      const std::size_t at = spec.operands[k].find(first);
      ir::Shape shape = b.type(operands[k]).shape;
      shape[at] = shape[at] * shape[at + 1];
      shape.erase(shape.begin() + static_cast<std::ptrdiff_t>(at) + 1);
      operands[k] = reshaped(b, operands[k], std::move(shape));
      spec.operands[k].erase(at + 1, 1);
    }
    spec.contracted.erase(i + 1, 1);
  }
}

ValueId contraction(Builder& b, const Node& node, std::vector<ValueId> operands) {
  ir::ops::EinsumSpec spec = ir::ops::parse_einsum(std::get<std::string>(node.attributes[0]));
  const char lanes = lane_letter(b.graph(), spec, operands);
  if (!spec.result.empty())
    for (std::size_t k = 0; k < operands.size(); ++k)
      if (!reads_windows(b.graph(), operands[k]) && !has_rows_in_lanes(b.graph(), spec, operands))
        operands[k] = lane_last(b, operands[k], spec.operands[k], lanes);
  if (std::ranges::none_of(operands, [&](ValueId v) { return reads_windows(b.graph(), v); })) {
    align_contracted(b, spec, operands);
    merge_contracted(b, spec, operands);
  }
  return b.einsum(spec.text(), operands);
}

bool stays_in_place(const Graph& graph, const Graph::Result& result) {
  if (graph.name == "grad") return false;  // its state goes to another buffer
  return std::ranges::any_of(graph.parameters(), [&](const Graph::Parameter& p) {
    return p.value == result.value && p.role == result.role && p.index == result.index;
  });
}

}  // namespace

Graph prepare(const Graph& graph, std::span<const std::uint32_t> in_place) {
  Graph out = ir::rebuild(graph, [&](Builder& b, ir::Copier& copier, const Node& node) {
    if (node.op != Op::einsum_) return false;
    copier.bind(Graph::result(node), contraction(b, node, copier.operands(node)));
    return true;
  });
  Builder b(out);
  for (std::size_t i = 0; i < graph.results.size(); ++i) {
    const Graph::Result& result = graph.results[i];
    if (result.role == Role::stacked && std::ranges::find(in_place, result.index) != in_place.end()) continue;
    if (graph.producer(result.value).op == Op::parameter_ && !stays_in_place(graph, result))
      out.results[i].value = b.value(Op::stop_grad_, {out.results[i].value});
  }
  return out;
}

}  // namespace mlpc::lowering
