#include "ir/builder.h"

#include <algorithm>

#include "ir/error.h"
#include "ir/hash.h"

namespace mlpc::ir {
namespace {

bool is_same(const Graph& graph, const Node& node, Op op, std::span<const ValueId> operands,
             const Attributes& attributes) {
  return node.op == op && std::ranges::equal(graph.operands(node), operands) && node.attributes == attributes;
}

void check_attributes(Op op, const Attributes& attributes) {
  const OpDef& record = def(op);
  MLPC_CHECK(attributes.size() == record.attributes.size(), "{} has {} attributes, not {}", record.name,
             record.attributes.size(), attributes.size());
  for (std::size_t i = 0; i < attributes.size(); ++i)
    MLPC_CHECK(attributes[i].index() == static_cast<std::size_t>(record.attributes[i].kind),
               "attribute {} of {} is of another kind", record.attributes[i].name, record.name);
}

}  // namespace

Builder::Builder(Graph& graph) : graph_(graph) {
  for (std::uint32_t i = 0; i < graph.node_count(); ++i) {
    const Node& n = graph.node({i});
    if (n.op != Op::parameter_) interned_.insert(hash_of(n.op, graph.operands(n), n.attributes), {i});
  }
}

NodeId Builder::make(Op op, std::span<const ValueId> operands, Attributes attributes) {
  check_attributes(op, attributes);
  const OpDef& record = def(op);
  check_arity(record, operands.size());
  const std::size_t hash = hash_of(op, operands, attributes);
  const auto is_it = [&](NodeId id) { return is_same(graph_, graph_.node(id), op, operands, attributes); };
  if (const std::optional<NodeId> there = interned_.find(hash, is_it)) return *there;
  std::vector<Type> types;
  for (ValueId v : operands) types.push_back(graph_.type(v));
  std::vector<Type> results = record.type_rule(types, attributes);
  const NodeId id = graph_.append(op, operands, std::move(attributes), std::move(results));
  interned_.insert(hash, id);
  return id;
}

ValueId Builder::value(Op op, std::initializer_list<ValueId> operands, Attributes attributes) {
  return Graph::result(graph_.node(make(op, {operands.begin(), operands.size()}, std::move(attributes))));
}

ValueId Builder::full(Type type, double x) {
  const ValueId c = scalar(type.element, x);
  return type.rank() == 0 ? c : broadcast(c, std::move(type.shape), {});
}

ValueId Builder::einsum(std::string_view spec, std::span<const ValueId> operands) {
  return Graph::result(graph_.node(make(Op::einsum_, operands, {std::string(spec)})));
}

}  // namespace mlpc::ir
