#include <algorithm>
#include <unordered_map>

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

class GraphParser {
 public:
  GraphParser(Reader& reader, Graph& graph) : r_(reader), graph_(graph) {}

  void run() {
    graph_.name = r_.word();
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
  std::unordered_map<std::string, ValueId> values_;
};

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
  while (r.accept("graph")) GraphParser(r, program.graphs.emplace_back()).run();
  r.locations(program);
  try {
    verify(program);
  } catch (const Error& e) {
    fail("{}: error: {}", file, e.what());
  }
  return program;
}

}  // namespace mlpc::ir
