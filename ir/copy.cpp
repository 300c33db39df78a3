#include "ir/copy.h"

#include "ir/error.h"

namespace mlpc::ir {

std::vector<ValueId> Copier::operands(const Node& node) const {
  std::vector<ValueId> out;
  for (ValueId v : from_.operands(node)) out.push_back(at(v));
  return out;
}

void Copier::add_parameter(const Graph::Parameter& p) {
  bind(p.value,
       to_.graph().add_parameter(p.name, from_.type(p.value), p.role, p.index, from_.value_name(p.value)));
  describe(p.value);
}

void Copier::add_parameters() {
  for (const Graph::Parameter& p : from_.parameters())
    if (!has(p.value)) add_parameter(p);
}

void Copier::copy(NodeId id) {
  const Node& node = from_.node(id);
  if (node.op == Op::parameter_) {
    MLPC_CHECK(has(Graph::result(node)), "graph {}: a parameter is not bound", from_.name);
    return;
  }
  copy_with(id, operands(node));
}

void Copier::copy_with(NodeId id, std::span<const ValueId> operands) {
  const Node& node = from_.node(id);
  stand_in(id, to_.make(node.op, operands, node.attributes));
}

void Copier::stand_in(NodeId from, NodeId to) {
  const Node& node = from_.node(from);
  const ValueId made = Graph::result(to_.graph().node(to));
  for (std::uint32_t r = 0; r < node.result_count; ++r) {
    bind(Graph::result(node, r), {made.index + r});
    describe(Graph::result(node, r));
  }
}

void Copier::stand_in(ValueId from, ValueId to) {
  bind(from, to);
  describe(from);
}

void Copier::add_results() {
  for (Graph::Result r : from_.results) {
    r.value = at(r.value);
    to_.graph().results.push_back(std::move(r));
  }
}

void Copier::copy_all() {
  for (std::uint32_t i = 0; i < from_.node_count(); ++i) copy({i});
}

void Copier::describe(ValueId from) {
  to_.graph().name_value(at(from), from_.value_name(from));
  for (std::uint32_t location : from_.locations(from)) to_.graph().add_location(at(from), location);
}

}  // namespace mlpc::ir
