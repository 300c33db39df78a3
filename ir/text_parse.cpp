#include <algorithm>
#include <charconv>
#include <unordered_map>
#include <unordered_set>

#include "ir/error.h"
#include "ir/op.h"
#include "ir/text.h"
#include "ir/text_print.h"
#include "ir/text_reader.h"
#include "ir/verify.h"

namespace mlpc::ir {
namespace {

using detail::Reader;

/// A value without a name is written by its number.
bool is_number(std::string_view name) {
  return std::ranges::all_of(name, [](char c) { return c >= '0' && c <= '9'; });
}

/// The bodies so far, by number. Equal ones share their memory, so that comparing them stays cheap.
class Bodies {
 public:
  void add(Graph graph) {
    const Body body(std::move(graph));
    list_.push_back(*shared_.insert(body).first);
  }
  static constexpr std::string_view kPrefix = "body.";
  std::string next_name() const { return fmt::format("{}{}", kPrefix, list_.size()); }
  const Body* find(std::string_view name) const {
    std::size_t number = 0;
    if (!name.starts_with(kPrefix)) return nullptr;
    name.remove_prefix(kPrefix.size());
    const auto [end, code] = std::from_chars(name.data(), name.data() + name.size(), number);
    const bool is_there = code == std::errc{} && end == name.data() + name.size() && number < list_.size();
    return is_there ? &list_[number] : nullptr;
  }

 private:
  std::vector<Body> list_;
  std::unordered_set<Body> shared_;
};

class GraphParser {
 public:
  GraphParser(Reader& reader, Graph& graph, const Bodies& bodies)
      : r_(reader), graph_(graph), bodies_(bodies) {}

  void run() {
    r_.expect("{");
    while (r_.at_value()) node();
    while (r_.accept("return")) result();
    r_.expect("}");
  }

 private:
  ValueId operand() {
    const std::string name = r_.value_name();
    const auto found = values_.find(name);
    if (found == values_.end()) r_.error(fmt::format("no value `%{}` comes before", name));
    return found->second;
  }

  Role role() {
    const std::string name = r_.word();
    const std::optional<Role> found = role_named(name);
    if (!found) r_.error(fmt::format("`{}` is no role", name));
    return *found;
  }

  Attribute attribute(AttributeSpec::Kind kind) {
    switch (kind) {
      case AttributeSpec::Kind::integer:
        return r_.integer();
      case AttributeSpec::Kind::integers: {
        Integers out;
        for (const Dim& d : r_.shape()) {
          if (!d.constant()) r_.error("expected integers");
          out.push_back(*d.constant());
        }
        return out;
      }
      case AttributeSpec::Kind::shape:
        return r_.shape();
      case AttributeSpec::Kind::element_type:
        return r_.element_type();
      case AttributeSpec::Kind::constant:
        return r_.constant();
      case AttributeSpec::Kind::string:
        return r_.string();
      case AttributeSpec::Kind::body: {
        const std::string name = r_.word();
        const Body* body = bodies_.find(name);
        if (!body) r_.error(fmt::format("no body `{}` comes before", name));
        return *body;
      }
    }
    r_.error("no such attribute");
  }

  void node() {
    std::vector<std::string> names = {r_.value_name()};
    while (r_.accept(",")) names.push_back(r_.value_name());
    r_.expect("=");
    if (r_.accept("parameter"))
      parameter(names);
    else
      call(names);
    for (std::size_t i = 0; i < names.size(); ++i) define(names[i], values_from(names.size())[i]);
    const ValueId first = values_from(names.size()).front();
    while (r_.accept("@")) graph_.add_location(first, r_.index());
  }

  std::vector<ValueId> values_from(std::size_t count) const {
    std::vector<ValueId> out;
    for (std::size_t i = graph_.value_count() - count; i < graph_.value_count(); ++i)
      out.push_back({static_cast<std::uint32_t>(i)});
    return out;
  }

  void define(const std::string& name, ValueId v) {
    if (is_number(name) ? name != std::to_string(v.index) : false)
      r_.error(fmt::format("`%{}` is value {}", name, v.index));
    if (!values_.emplace(name, v).second) r_.error(fmt::format("`%{}` is there already", name));
    if (!is_number(name)) graph_.name_value(v, name);
  }

  void parameter(const std::vector<std::string>& names) {
    if (names.size() != 1) r_.error("a parameter has one value");
    const Role r = role();
    const std::uint32_t index = r_.index();
    std::string name = r_.string();
    r_.expect(":");
    graph_.add_parameter(std::move(name), r_.type(), r, index, is_number(names[0]) ? "" : names[0]);
  }

  void call(const std::vector<std::string>& names) {
    const std::string op_name = r_.word();
    const std::optional<Op> op = op_named(op_name);
    if (!op || *op == Op::parameter_) r_.error(fmt::format("`{}` is no op", op_name));
    const OpDef& record = def(*op);
    Attributes attributes(record.attributes.size());
    std::vector<ValueId> operands;
    arguments(record, attributes, operands);
    r_.expect(":");
    std::vector<Type> declared = {r_.type()};
    while (r_.accept(",")) declared.push_back(r_.type());
    if (declared.size() != names.size())
      r_.error(fmt::format("{} values have {} types", names.size(), declared.size()));
    check_types(record, operands, attributes, declared);
    graph_.append(*op, operands, std::move(attributes), std::move(declared));
  }

  void arguments(const OpDef& record, Attributes& attributes, std::vector<ValueId>& operands) {
    bool is_first = true;
    const auto separate = [&] {
      if (!is_first) r_.expect(",");
      is_first = false;
    };
    r_.expect("(");
    for (std::size_t i = 0; i < attributes.size(); ++i)
      if (record.attributes[i].kind == AttributeSpec::Kind::string) {
        separate();
        attributes[i] = r_.string();
      }
    while (!r_.at(")") && !r_.at(";")) {
      separate();
      operands.push_back(operand());
    }
    is_first = true;
    for (std::size_t i = 0; i < attributes.size(); ++i) {
      if (record.attributes[i].kind == AttributeSpec::Kind::string) continue;
      r_.expect(is_first ? ";" : ",");
      is_first = false;
      r_.expect(record.attributes[i].name);
      r_.expect("=");
      attributes[i] = attribute(record.attributes[i].kind);
    }
    r_.expect(")");
  }

  void check_types(const OpDef& record, const std::vector<ValueId>& operands, const Attributes& attributes,
                   const std::vector<Type>& declared) {
    try {
      check_node_types(record, graph_, operands, attributes, declared);
    } catch (const Error& e) {
      r_.error(e.what());
    }
  }

  void result() {
    Graph::Result result;
    result.role = role();
    result.index = r_.index();
    result.name = r_.string();
    result.value = operand();
    graph_.results.push_back(std::move(result));
  }

  Reader& r_;
  Graph& graph_;
  const Bodies& bodies_;
  std::unordered_map<std::string, ValueId> values_;
};

/// A graph of the program, or the next body.
void parse_graph(Reader& r, Program& program, Bodies& bodies) {
  Graph graph;
  graph.name = r.word();
  const bool is_body = graph.name.starts_with(Bodies::kPrefix);
  if (is_body && graph.name != bodies.next_name())
    r.error(fmt::format("the next body is `{}`", bodies.next_name()));
  GraphParser(r, graph, bodies).run();
  if (!is_body) {
    program.graphs.push_back(std::move(graph));
    return;
  }
  try {
    bodies.add(std::move(graph));
  } catch (const Error& e) {
    r.error(e.what());
  }
}

}  // namespace

Program parse_program(std::string_view text, std::string_view file) {
  Reader r(text, file);
  Program program;
  r.expect("mlpc.graph");
  if (r.integer() != detail::kGraphVersion)
    r.error(fmt::format("this mlpc reads version {} of graph text", detail::kGraphVersion));
  const std::string stage = r.word();
  bool is_stage = false;
  for (Stage s : {Stage::graph, Stage::linear, Stage::jacobian, Stage::joint})
    if (name_of(s) == stage) program.stage = s, is_stage = true;
  if (!is_stage) r.error(fmt::format("`{}` is no stage", stage));
  r.header(program);
  Bodies bodies;
  while (r.accept("graph")) parse_graph(r, program, bodies);
  r.locations(program);
  try {
    verify(program);
  } catch (const Error& e) {
    fail("{}: error: {}", file, e.what());
  }
  return program;
}

}  // namespace mlpc::ir
