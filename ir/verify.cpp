#include "ir/verify.h"

#include <algorithm>
#include <unordered_set>

#include "ir/error.h"
#include "ir/op.h"
#include "ir/target.h"

namespace mlpc::ir {
namespace {

std::string value_text(const Graph& graph, ValueId v) {
  return graph.value_name(v).empty() ? fmt::format("%{}", v.index) : "%" + graph.value_name(v);
}

/// A name that C and the text form can take.
bool is_identifier(std::string_view name) {
  const auto is_part = [](char c) { return std::isalnum(static_cast<unsigned char>(c)) || c == '_'; };
  return !name.empty() && std::ranges::all_of(name, is_part) &&
         !std::isdigit(static_cast<unsigned char>(name[0]));
}

constexpr std::int64_t kMostRows = 1 << 20;  // of a table

class ProgramVerifier {
 public:
  explicit ProgramVerifier(const Program& program) : p_(program) {}

  void header() const {
    if (!is_identifier(p_.model)) fail("`{}` is no name of a model", p_.model);
    if (!is_float(p_.element)) fail("the model's type is {}", name_of(p_.element));
    if (p_.dims.size() > 16) fail("{} free dims; a plan has room for 16", p_.dims.size());
    tensors("param", p_.params);
    tensors("state", p_.state);
    tensors("slot", p_.slots);
    for (const InputInfo& input : p_.inputs) {
      shape(input.name, input.type.shape);
      if (input.index_bound < 0) fail("input `{}` has the bound {}", input.name, input.index_bound);
      if (input.index_bound > 0 && !is_integer(input.type.element))
        fail("input `{}` is bounded, but no integer", input.name);
    }
    for (const DimCheck& check : p_.checks) {
      shape("a check", {check.left, check.right});
      location(check.location);
    }
  }

  void graph(const Graph& g) {
    nodes(g);
    for (const Graph::Parameter& p : g.parameters()) role(g, p.role, p.index, p.name, g.type(p.value));
    for (const Graph::Result& r : g.results) {
      if (r.value.index >= g.value_count()) fail("graph {}: result `{}` is no value", g.name, r.name);
      role(g, r.role, r.index, r.name, g.type(r.value));
    }
    expanded_nodes_ += expanded_node_count(g);
    if (expanded_nodes_ > kMostNodes)
      fail("more than {} nodes, those of bodies counted wherever they run", kMostNodes);
  }

 private:
  void shape(std::string_view what, const Shape& shape) const {
    for (const Dim& dim : shape)
      for (const std::string& name : dim.names())
        if (std::ranges::find(p_.dims, name) == p_.dims.end())
          fail("{}: `{}` is no dim of the model", what, name);
  }

  void location(std::uint32_t index) const {
    if (index >= std::max<std::size_t>(1, p_.locations.size())) fail("there is no location {}", index);
  }

  void tensors(std::string_view kind, const std::vector<TensorInfo>& list) const {
    std::int64_t end = 0, rows = 0;
    for (const TensorInfo& t : list) {
      if (!t.type.element_count().is_constant()) fail("{} `{}` has a free extent", kind, t.path);
      for (const Dim& d : t.type.shape)
        if (*d.constant() < 0) fail("{} `{}` has a negative extent", kind, t.path);
      rows += row_count(kind, t);
      if (rows > kMostRows) fail("more than {} {}s, rows of stacks counted", kMostRows, kind);
      if (t.offset < end || t.offset % 64 != 0)
        fail("{} `{}` overlaps the one before, or is not aligned", kind, t.path);
      location(t.location);
      end = buffer_bytes({t});
    }
  }

  static std::int64_t row_count(std::string_view kind, const TensorInfo& t) {
    std::int64_t rows = 1;
    const std::size_t axes = stacked_axes(t.path);
    if (axes > t.type.rank()) fail("{} `{}` has {} axes of turns, of {}", kind, t.path, axes, t.type.rank());
    for (std::size_t axis = 0; axis < axes; ++axis)
      if (__builtin_mul_overflow(rows, *t.type.shape[axis].constant(), &rows) || rows > kMostRows)
        fail("{} `{}` has more than {} rows", kind, t.path, kMostRows);
    return rows;
  }

  /// Bodies have been looked at for roles and nesting when they were made.
  void nodes(const Graph& g) {
    for (std::uint32_t i = 0; i < g.node_count(); ++i) {
      node(g, g.node({i}));
      if (const Body* body = body_of(g.node({i})); body && bodies_.insert(*body).second) nodes(body->graph());
    }
  }

  void node(const Graph& g, const Node& n) const {
    const ValueId first = Graph::result(n);
    for (std::uint32_t r = 0; r < n.result_count; ++r)
      shape(value_text(g, first), g.type(Graph::result(n, r)).shape);
    for (std::uint32_t l : g.locations(first)) location(l);
    if (n.op == Op::parameter_) return;
    if (p_.stage != Stage::graph && asks_for_derivative(n.op))
      fail("graph {}: {}: `{}` is expanded before stage {}", g.name, value_text(g, first), def(n.op).name,
           name_of(p_.stage));
    std::vector<Type> results;
    for (std::uint32_t r = 0; r < n.result_count; ++r) results.push_back(g.type(Graph::result(n, r)));
    try {
      check_node_types(def(n.op), g, g.operands(n), n.attributes, results);
    } catch (const Error& e) {
      fail("graph {}: {}: {}", g.name, value_text(g, first), e.what());
    }
  }

  const std::vector<TensorInfo>* table(Role role) const {
    if (role == Role::param || role == Role::grad || role == Role::tangent) return &p_.params;
    if (role == Role::state) return &p_.state;
    if (role == Role::slot) return &p_.slots;
    return nullptr;
  }

  void role(const Graph& g, Role role, std::uint32_t index, std::string_view name, const Type& type) const {
    const auto where = [&] { return fmt::format("graph {}: {} `{}`", g.name, name_of(role), name); };
    if (role >= Role::turn && role <= Role::stacked) fail("{} stands outside of a body", where());
    if (const std::vector<TensorInfo>* tensors = table(role)) {
      if (index >= tensors->size()) fail("{} has the index {}, of {}", where(), index, tensors->size());
      if ((*tensors)[index].type != type)
        fail("{} is {}, its table says {}", where(), type.text(), (*tensors)[index].type.text());
    }
    if (role == Role::input && (index >= p_.inputs.size() || p_.inputs[index].type != type))
      fail("{} is not input {} of the table", where(), index);
    const bool is_integer_scalar = role == Role::seed || role == Role::step || role == Role::steps ||
                                   role == Role::epoch || role == Role::row_offset;
    if (is_integer_scalar && type != Type{ElementType::i64, {}})
      fail("{} is {}, not i64[]", where(), type.text());
    if (role == Role::loss_bar && type != Type{ElementType::f64, {}})
      fail("{} is {}, not f64[]", where(), type.text());
    if (role == Role::accumulate && type != Type{ElementType::boolean, {}})
      fail("{} is {}, not bool[]", where(), type.text());
  }

  static constexpr std::int64_t kMostNodes = std::int64_t{1} << 24;
  const Program& p_;
  std::unordered_set<Body> bodies_;
  std::int64_t expanded_nodes_ = 0;
};

}  // namespace

void check_node_types(const OpDef& record, const Graph& graph, std::span<const ValueId> operands,
                      const Attributes& attributes, std::span<const Type> results) {
  check_arity(record, operands.size());
  std::vector<Type> types;
  for (ValueId v : operands) types.push_back(graph.type(v));
  const std::vector<Type> expected = record.type_rule(types, attributes);
  if (expected.size() != results.size()) fail("`{}` has {} results", record.name, expected.size());
  for (std::size_t i = 0; i < results.size(); ++i)
    if (expected[i] != results[i])
      fail("`{}` gives {}, not {}", record.name, expected[i].text(), results[i].text());
}

void verify(const Program& program) {
  ProgramVerifier verifier(program);
  verifier.header();
  for (const Graph& graph : program.graphs) verifier.graph(graph);
}

}  // namespace mlpc::ir
