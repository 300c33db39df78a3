#include "ir/builder.h"

#include <algorithm>

#include "ir/error.h"

namespace mlpc::ir {
namespace {

std::size_t mix(std::size_t seed, std::size_t value) {
  return seed ^ (value + 0x9e3779b97f4a7c15ULL + (seed << 6) + (seed >> 2));
}

std::size_t hash_of(const Attribute& attribute) {
  struct Visitor {
    std::size_t operator()(std::int64_t v) const { return std::hash<std::int64_t>{}(v); }
    std::size_t operator()(const Integers& v) const {
      std::size_t seed = v.size();
      for (std::int64_t i : v) seed = mix(seed, std::hash<std::int64_t>{}(i));
      return seed;
    }
    std::size_t operator()(const Shape& v) const {
      std::size_t seed = v.size();
      for (const Dim& d : v) seed = mix(seed, d.hash());
      return seed;
    }
    std::size_t operator()(ElementType v) const { return static_cast<std::size_t>(v); }
    std::size_t operator()(const Constant& v) const { return mix(v.bits, static_cast<std::size_t>(v.type)); }
    std::size_t operator()(const std::string& v) const { return std::hash<std::string>{}(v); }
  };
  return mix(attribute.index(), std::visit(Visitor{}, attribute));
}

std::size_t hash_of(Op op, std::span<const ValueId> operands, const Attributes& attributes) {
  std::size_t seed = static_cast<std::size_t>(op);
  for (ValueId v : operands) seed = mix(seed, v.index);
  for (const Attribute& a : attributes) seed = mix(seed, hash_of(a));
  return seed;
}

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
    if (n.op != Op::parameter_) interned_.emplace(hash_of(n.op, graph.operands(n), n.attributes), NodeId{i});
  }
}

NodeId Builder::make(Op op, std::span<const ValueId> operands, Attributes attributes) {
  check_attributes(op, attributes);
  const OpDef& record = def(op);
  if (record.arity == kAnyArity ? operands.empty() : operands.size() != record.arity)
    fail("`{}` takes {} operands, not {}", record.name, record.arity == kAnyArity ? 1 : record.arity,
         operands.size());
  const std::size_t hash = hash_of(op, operands, attributes);
  const auto [first, last] = interned_.equal_range(hash);
  for (auto it = first; it != last; ++it)
    if (is_same(graph_, graph_.node(it->second), op, operands, attributes)) return it->second;
  std::vector<Type> types;
  for (ValueId v : operands) types.push_back(graph_.type(v));
  std::vector<Type> results = record.type_rule(types, attributes);
  const NodeId id = graph_.append(op, operands, std::move(attributes), std::move(results));
  interned_.emplace(hash, id);
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
