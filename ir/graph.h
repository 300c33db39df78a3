#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <unordered_map>
#include <variant>
#include <vector>

#include "ir/body.h"
#include "ir/type.h"

namespace mlpc::ir {

enum class Op : std::uint8_t {
#define X(name) name##_,
#include "ir/ops.def"
#undef X
};

/// A value: one result of one node. Dense in its graph, so that side tables are vectors (`ValueMap`).
struct ValueId {
  std::uint32_t index = UINT32_MAX;
  friend auto operator<=>(ValueId, ValueId) = default;
};
struct NodeId {
  std::uint32_t index = UINT32_MAX;
  friend auto operator<=>(NodeId, NodeId) = default;
};

using Integers = std::vector<std::int64_t>;

/// One attribute of a node. Its kind (the variant's index) and name are stated by the op's record.
using Attribute = std::variant<std::int64_t, Integers, Shape, ElementType, Constant, std::string, Body>;
using Attributes = std::vector<Attribute>;

struct Node {
  Op op;
  std::uint32_t first_result, result_count;    // values first_result …
  std::uint32_t first_operand, operand_count;  // slice of the graph's operand pool: growth cannot dangle
  Attributes attributes;                       // in the record's order
};

/// What a graph's parameter or result is to the compiled model. `index` of Parameter and Result points into
/// the table that the role names (program.h); for scalars it is unused.
enum class Role : std::uint8_t {
  input,       // Program::inputs
  param,       // Program::params; as a result: its new value
  state,       // Program::state; as a result: its new value
  slot,        // Program::slots; as a result: its new value
  grad,        // gradient of params[index]
  seed,        // i64[]
  step,        // i64[]: steps done so far, over all epochs
  steps,       // i64[]: steps in all
  epoch,       // i64[]
  row_offset,  // i64[]: global index of the first row
  loss_bar,    // cotangent of the total loss, a scalar of the model's type
  accumulate,  // bool[]: add to the gradients that are there
  residual,    // what the linear graph needs of the primal one; `index` is its number
  tangent,     // of params[index], in the linear graph, and in `jvp` and `hvp`
  turn,        // of a body, from here on: i64[], the turn's number
  constant,    // operand of the scan, the same in every turn
  loop,        // loop value; as a result: its value for the next turn
  sequence,    // the turn's element of a sequence
  stacked,     // results only, from here on: the turn's element of a result
  output,      // `index` unused, the name tells; and the next four
  loss_total,
  loss_term,
  metric,
  clip_norm,
};
std::string_view name_of(Role role);
std::optional<Role> role_named(std::string_view name);

/// Facts about values live beside the graph, not in it.
template <typename T>
class ValueMap {
 public:
  ValueMap() = default;
  explicit ValueMap(std::size_t count, T initial = {}) : entries_(count, std::move(initial)) {}
  /// Grows on demand: values are appended while maps exist.
  T& operator[](ValueId v) {
    if (v.index >= entries_.size()) entries_.resize(v.index + 1);
    return entries_[v.index];
  }
  const T& at(ValueId v) const {
    static const T none{};
    return v.index < entries_.size() ? entries_[v.index] : none;
  }

 private:
  std::vector<T> entries_;
};

/// A graph is a value: an append-only vector of nodes. A node names only earlier values, so storage order is
/// topological and cycles cannot be written. Nodes are made by `Builder`, which checks types and interns.
class Graph {
 public:
  struct Parameter {
    std::string name;
    Role role;
    std::uint32_t index;
    ValueId value;
  };
  struct Result {
    std::string name;
    Role role;
    std::uint32_t index;
    ValueId value;
  };
  using LocationList = std::vector<std::uint32_t>;  // indexes of Program::locations

  std::string name;
  std::vector<Result> results;

  const std::vector<Parameter>& parameters() const { return parameters_; }
  std::size_t node_count() const { return nodes_.size(); }
  std::size_t value_count() const { return value_types_.size(); }
  const Node& node(NodeId id) const { return nodes_[id.index]; }
  const Node& producer(ValueId v) const { return nodes_[producers_[v.index].index]; }
  NodeId producer_id(ValueId v) const { return producers_[v.index]; }
  const Type& type(ValueId v) const { return value_types_[v.index]; }
  std::span<const ValueId> operands(const Node& n) const {
    return {operand_pool_.data() + n.first_operand, n.operand_count};
  }
  static ValueId result(const Node& n, std::size_t i = 0) {
    return {n.first_result + static_cast<std::uint32_t>(i)};
  }

  /// Where the user wrote a value (several places: values are interned and fused), and what it was called.
  /// A name is unique in its graph; the text form prints `%name`, or `%index` where there is none.
  const LocationList& locations(ValueId v) const { return locations_.at(v); }
  void add_location(ValueId v, std::uint32_t location);
  /// Each location by another number.
  void renumber_locations(std::span<const std::uint32_t> numbers);
  const std::string& value_name(ValueId v) const { return value_names_.at(v); }
  /// Names a value. A name that is taken gets `_2`, `_3`, …; a value keeps its first name.
  void name_value(ValueId v, std::string_view name);
  /// Text beside an op in dumps (`J(h, z) = diag(z > 0)`); never read by a pass, skipped by the parser.
  const std::string& comment(ValueId v) const { return comments_.at(v); }
  void set_comment(ValueId v, std::string text) { comments_[v] = std::move(text); }
  /// Puts another body, of the same signature, in the place of a node's own.
  void set_body(NodeId id, Body body);

  /// The value is called like the parameter, unless `value_name` says otherwise.
  ValueId add_parameter(std::string name, Type type, Role role, std::uint32_t index = 0,
                        std::optional<std::string> value_name = std::nullopt);
  /// Appends without checking or interning: for Builder and the text parser, which do both.
  NodeId append(Op op, std::span<const ValueId> operands, Attributes attributes, std::vector<Type> results);

 private:
  std::vector<Node> nodes_;
  std::vector<ValueId> operand_pool_;
  std::vector<Type> value_types_;
  std::vector<NodeId> producers_;
  std::vector<Parameter> parameters_;
  ValueMap<LocationList> locations_;
  ValueMap<std::string> value_names_;
  ValueMap<std::string> comments_;
  std::unordered_map<std::string, std::uint32_t> names_taken_;  // name -> last suffix given
};

struct BodySignature {
  ValueId turn;
  std::vector<ValueId> consts, loops, sequences;  // parameters
  std::vector<ValueId> next, stacked;             // results
};

/// The body that a node runs; null for all ops but `scan`.
const Body* body_of(const Node& node);
/// Nodes of a graph, those of its bodies counted wherever they run.
std::int64_t expanded_node_count(const Graph& graph);

}  // namespace mlpc::ir

template <>
struct std::hash<mlpc::ir::ValueId> {
  std::size_t operator()(mlpc::ir::ValueId v) const noexcept { return v.index; }
};
