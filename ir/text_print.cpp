#include "ir/text_print.h"

#include <unordered_map>

#include "ir/error.h"
#include "ir/op.h"
#include "ir/text.h"

namespace mlpc::ir {
namespace detail {

std::string quoted(std::string_view text) {
  std::string out = "\"";
  for (char c : text) {
    if (c == '"' || c == '\\') out += '\\';
    if (c == '\n')
      out += "\\n";
    else
      out += c;
  }
  return out + "\"";
}

std::string text_of(const Constant& constant) {
  // Any other NaN than the quiet one keeps its bits.
  const double value = constant.as_double();
  if (value != value && Constant::of(constant.type, value) != constant)
    return fmt::format("{}(bits {})", name_of(constant.type), constant.bits);
  return fmt::format("{}({})", name_of(constant.type), constant.text());
}

std::string shape_text(const Shape& shape) {
  std::string out = "[";
  for (std::size_t i = 0; i < shape.size(); ++i) out += (i ? ", " : "") + shape[i].text();
  return out + "]";
}

namespace {

std::string location_suffix(std::uint32_t location) { return fmt::format(" @{}", location); }

std::string tensors(std::string_view kind, const std::vector<TensorInfo>& list) {
  std::string out;
  for (const TensorInfo& t : list)
    out += fmt::format("{} {} : {} offset {} init {}{}\n", kind, quoted(t.path), t.type.text(), t.offset,
                       quoted(t.initialiser), location_suffix(t.location));
  return out;
}

}  // namespace

std::string print_header(const Program& p) {
  std::string out = fmt::format("model {} : {}\nsource {}\ntarget {}\n", p.model, name_of(p.element),
                                quoted(p.source_hash), quoted(p.target));
  for (const std::string& dim : p.dims) out += fmt::format("dim {}\n", dim);
  out += tensors("param", p.params) + tensors("state", p.state) + tensors("slot", p.slots);
  for (const InputInfo& input : p.inputs) {
    out += fmt::format("input {} : {}", quoted(input.name), input.type.text());
    out += input.index_bound > 0 ? fmt::format(" bound {}\n", input.index_bound) : "\n";
  }
  out += fmt::format("train {}\n", quoted(p.train));
  for (const DimCheck& check : p.checks)
    out += fmt::format("check {} {} {}{}\n", check.left.text(),
                       check.relation == DimCheck::Relation::equal ? "==" : ">=", check.right.text(),
                       location_suffix(check.location));
  return out;
}

std::string print_locations(const Program& p) {
  std::string out;
  for (std::size_t i = 0; i < p.locations.size(); ++i) {
    const SourceLocation& l = p.locations[i];
    out += fmt::format("loc {} {}:{}:{}", i, quoted(l.file), l.line, l.column);
    out += l.application.empty() ? "\n" : fmt::format(" as {}\n", quoted(l.application));
  }
  return out;
}

}  // namespace detail

namespace {

using detail::quoted;

std::string value_text(const Graph& graph, ValueId v) {
  const std::string& name = graph.value_name(v);
  return name.empty() ? fmt::format("%{}", v.index) : "%" + name;
}

std::string attribute_text(const Attribute& attribute, const BodyTable& table) {
  struct Visitor {
    const BodyTable& bodies;
    std::string operator()(std::int64_t v) const { return fmt::format("{}", v); }
    std::string operator()(const Integers& v) const {
      std::string out = "[";
      for (std::size_t i = 0; i < v.size(); ++i) out += fmt::format("{}{}", i ? ", " : "", v[i]);
      return out + "]";
    }
    std::string operator()(const Shape& v) const { return detail::shape_text(v); }
    std::string operator()(ElementType v) const { return std::string(name_of(v)); }
    std::string operator()(const Constant& v) const { return detail::text_of(v); }
    std::string operator()(const std::string& v) const { return quoted(v); }
    std::string operator()(const Body& v) const { return bodies.name(v); }
  };
  return std::visit(Visitor{table}, attribute);
}

std::string parameter_text(const Graph& graph, ValueId v) {
  for (const Graph::Parameter& p : graph.parameters())
    if (p.value == v) return fmt::format("parameter {} {} {}", name_of(p.role), p.index, quoted(p.name));
  MLPC_CHECK(false, "graph {}: a parameter node without a parameter", graph.name);
}

std::string node_line(const Graph& graph, const Node& node, const BodyTable& bodies) {
  std::string results, types;
  std::vector<std::string> operands;
  for (ValueId v : graph.operands(node)) operands.push_back(value_text(graph, v));
  const ValueId first = Graph::result(node);
  for (std::uint32_t r = 0; r < node.result_count; ++r) {
    const ValueId v = Graph::result(node, r);
    results += (r ? ", " : "") + value_text(graph, v);
    types += (r ? ", " : "") + graph.type(v).text();
  }
  std::string line = fmt::format(
      "  {} = {} : {}", results,
      node.op == Op::parameter_ ? parameter_text(graph, first) : call_text(node, operands, bodies), types);
  for (std::uint32_t location : graph.locations(first)) line += fmt::format(" @{}", location);
  if (const std::string& comment = graph.comment(first); !comment.empty()) line += "  // " + comment;
  return line + "\n";
}

std::string print_graph(const Graph& graph, std::string_view name, const BodyTable& bodies) {
  std::string out = fmt::format("graph {} {{\n", name);
  for (std::uint32_t i = 0; i < graph.node_count(); ++i) out += node_line(graph, graph.node({i}), bodies);
  for (const Graph::Result& r : graph.results)
    out += fmt::format("  return {} {} {} {}\n", name_of(r.role), r.index, quoted(r.name),
                       value_text(graph, r.value));
  return out + "}\n";
}

}  // namespace

std::string BodyTable::name(const Body& body) const { return fmt::format("body.{}", numbers_.at(body)); }

void BodyTable::add_bodies(const Graph& graph) {
  for (std::uint32_t i = 0; i < graph.node_count(); ++i) add_body(graph.node({i}));
}

void BodyTable::add_body(const Node& node) {
  const Body* body = body_of(node);
  if (!body || numbers_.contains(*body)) return;
  add_bodies(body->graph());
  numbers_.emplace(*body, bodies_.size());
  bodies_.push_back(*body);
}

std::string call_text(const Node& node, std::span<const std::string> operands, const BodyTable& bodies) {
  const OpDef& record = def(node.op);
  std::string before, after;  // strings stand before the operands
  for (std::size_t i = 0; i < node.attributes.size(); ++i) {
    const std::string text = attribute_text(node.attributes[i], bodies);
    if (record.attributes[i].kind == AttributeSpec::Kind::string)
      before += (before.empty() ? "" : ", ") + text;
    else
      after += fmt::format("{}{}={}", after.empty() ? "; " : ", ", record.attributes[i].name, text);
  }
  for (const std::string& operand : operands) before += (before.empty() ? "" : ", ") + operand;
  return fmt::format("{}({}{})", record.name, before, after);
}

std::string print_bodies(const BodyTable& bodies, std::size_t first) {
  std::string out;
  for (std::size_t i = first; i < bodies.bodies().size(); ++i) {
    const Body& body = bodies.bodies()[i];
    out += print_graph(body.graph(), bodies.name(body), bodies);
  }
  return out;
}

std::string print(const Graph& graph) {
  BodyTable bodies;
  bodies.add_bodies(graph);
  return print_graph(graph, graph.name, bodies);
}

std::string print(const Program& program) {
  std::string out = fmt::format("mlpc.graph {} {}\n", detail::kGraphVersion, name_of(program.stage));
  out += detail::print_header(program);
  BodyTable bodies;
  for (const Graph& graph : program.graphs) {
    const std::size_t first = bodies.bodies().size();
    bodies.add_bodies(graph);
    out += print_bodies(bodies, first);
    out += print_graph(graph, graph.name, bodies);
  }
  return out + detail::print_locations(program);
}

TextKind kind_of_text(std::string_view text) {
  if (text.starts_with("mlpc.graph ")) return TextKind::graph;
  if (text.starts_with("mlpc.kernels ")) return TextKind::kernels;
  return TextKind::source;
}

}  // namespace mlpc::ir
