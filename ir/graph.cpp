#include "ir/graph.h"

#include <algorithm>
#include <array>

#include "ir/error.h"

namespace mlpc::ir {
namespace {

constexpr std::array<std::string_view, 24> kRoleNames = {
    "input", "param",      "state",    "slot",       "grad",       "seed",      "step",   "steps",
    "epoch", "row_offset", "loss_bar", "accumulate", "residual",   "tangent",   "turn",   "const",
    "loop",  "sequence",   "stacked",  "output",     "loss_total", "loss_term", "metric", "clip_norm"};

}  // namespace

std::string_view name_of(Role role) { return kRoleNames[static_cast<std::size_t>(role)]; }

std::optional<Role> role_named(std::string_view name) {
  const auto found = std::find(kRoleNames.begin(), kRoleNames.end(), name);
  if (found == kRoleNames.end()) return std::nullopt;
  return static_cast<Role>(found - kRoleNames.begin());
}

void Graph::add_location(ValueId v, std::uint32_t location) {
  LocationList& list = locations_[v];
  if (std::find(list.begin(), list.end(), location) == list.end()) list.push_back(location);
}

void Graph::renumber_locations(std::span<const std::uint32_t> numbers) {
  for (std::uint32_t v = 0; v < value_count(); ++v)
    for (std::uint32_t& location : locations_[{v}]) location = numbers[location];
}

void Graph::name_value(ValueId v, std::string_view name) {
  if (name.empty() || !value_names_[v].empty()) return;
  std::string unique(name);
  while (!names_taken_.emplace(unique, 1).second) {
    const std::uint32_t suffix = ++names_taken_[std::string(name)];
    unique = fmt::format("{}_{}", name, suffix);
  }
  value_names_[v] = std::move(unique);
}

void Graph::set_body(NodeId id, Body body) {
  for (Attribute& attribute : nodes_[id.index].attributes)
    if (auto* own = std::get_if<Body>(&attribute)) *own = std::move(body);
}

ValueId Graph::add_parameter(std::string name, Type type, Role role, std::uint32_t index,
                             std::optional<std::string> value_name) {
  const NodeId id = append(Op::parameter_, {}, {}, {std::move(type)});
  const ValueId value = result(node(id));
  name_value(value, value_name.value_or(name));
  parameters_.push_back({std::move(name), role, index, value});
  return value;
}

NodeId Graph::append(Op op, std::span<const ValueId> operands, Attributes attributes,
                     std::vector<Type> results) {
  for (ValueId v : operands)
    MLPC_CHECK(v.index < value_types_.size(), "graph {}: an operand names a later value", name);
  const NodeId id{static_cast<std::uint32_t>(nodes_.size())};
  nodes_.push_back({op, static_cast<std::uint32_t>(value_types_.size()),
                    static_cast<std::uint32_t>(results.size()),
                    static_cast<std::uint32_t>(operand_pool_.size()),
                    static_cast<std::uint32_t>(operands.size()), std::move(attributes)});
  operand_pool_.insert(operand_pool_.end(), operands.begin(), operands.end());
  for (Type& type : results) {
    value_types_.push_back(std::move(type));
    producers_.push_back(id);
  }
  return id;
}

}  // namespace mlpc::ir
