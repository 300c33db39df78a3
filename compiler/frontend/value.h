#pragma once

#include <map>
#include <memory>
#include <optional>
#include <set>
#include <string>
#include <variant>
#include <vector>

#include "compiler/frontend/ast.h"
#include "ir/graph.h"

namespace mlpc::frontend {

struct RecurrentName;
struct Scope;
struct Target;
struct Value;

/// A compile-time number; `is_integer` decides whether it can be an extent.
struct Number {
  double value = 0;
  bool is_integer = false;
};

struct Tensor {
  ir::ValueId id;
};

/// An fn of a source, or a call with holes: leaky_relu(_, 0.1).
struct Function {
  const Stmt* definition = nullptr;
  const SourceFile* file = nullptr;
  Scope* scope = nullptr;        // where it was defined
  const Scope* bound = nullptr;  // arguments that a hole's call has given already
};

/// A function that the compiler knows.
struct Builtin {
  std::string name;
};

/// A layer or optimizer of a source, before its hyperparameters are given.
struct LayerDefinition {
  const Stmt* definition = nullptr;
  const SourceFile* file = nullptr;
  Scope* scope = nullptr;
};

/// A layer that was made: its parameters are fresh, and shared by all its applications.
struct MadeLayer {
  LayerDefinition layer;
  Scope* hyperparameters = nullptr;
  std::string owner;  // path of the definition that made it: "enc."
  std::string name;   // in the owner; the callee's, numbered, unless it is bound or named
  std::string turns;  // of the loops around it in the owner: "[0][2]"; "[*]" where turns are one body
  int number = 0;     // of an anonymous one: 1, 2, …; else 0
  int applications = 0;
  std::optional<Note> first_application;
  Target* home = nullptr;  // the graph that has its parameters

  std::string path() const { return owner + name + turns; }
};

/// What `param W ~ …` draws from, at initialisation.
struct Distribution {
  enum class Kind : std::uint8_t { constant, uniform, normal, bernoulli, orthogonal } kind = Kind::constant;
  double a = 0, b = 0;  // the constant; low and high; mean and deviation; probability
  friend bool operator==(const Distribution&, const Distribution&) = default;
};

struct List {
  std::vector<Value> items;
  std::size_t weight = 1;  // elements in it at any depth: values are copied, so there is a limit
};

/// What an index runs through: the time of a `recur`, or an index of index notation.
struct IndexVariable {
  std::string name;
  ir::Dim extent;
  Target* body = nullptr;  // of a `recur`: the graph of a step
  ir::ValueId turn;        // there: its number, i64[]
};

/// A number that depends on indices: 2 * i + u - 1. Terms stand in order of first occurrence; no coefficient
/// is 0.
struct Affine {
  std::vector<std::pair<const IndexVariable*, std::int64_t>> terms;
  ir::Dim constant;
};

/// What an expression of index notation is at every index: axis a runs through axes[a].
struct Indexed {
  ir::ValueId id;
  std::vector<const IndexVariable*> axes;
};

/// A name of a `recur` that has a value at each time, read as h[t-1].
struct Sequence {
  RecurrentName* name;
};

/// What came of something wrong that has been reported.
struct Poison {};

struct Value {
  std::variant<Poison, Number, ir::Dim, bool, std::string, Tensor, Function, Builtin, LayerDefinition,
               std::shared_ptr<MadeLayer>, Distribution, List, Affine, Indexed, Sequence>
      is;

  template <typename T>
  const T* as() const {
    return std::get_if<T>(&is);
  }
  static Value integer(std::int64_t n) { return {Number{static_cast<double>(n), true}}; }
  static Value real(double x) { return {Number{x, false}}; }
  static Value extent(const ir::Dim& d) { return d.is_constant() ? integer(*d.constant()) : Value{d}; }
};

/// What makes a name one of a `state` or `carry`.
struct StateBinding {
  std::uint32_t index;  // in the table
  bool is_carry;        // written by inference too
};

/// What a name means, and where it was given that meaning.
struct Binding {
  Value value;
  const SourceFile* file = nullptr;
  Span span;
  std::optional<StateBinding> state;
  Target* graph = nullptr;  // under construction when it was bound: its tensors are of that one
};

/// Names and what encloses them. All scopes live as long as the elaborator, which owns them.
struct Scope {
  Scope* parent = nullptr;
  std::map<std::string, Binding> names;
  std::optional<ir::Shape> batch;  // what `..` stands for in this definition
  bool is_turn = false;            // of a loop's body: what it assigns to may be bound outside
  std::set<std::string> missing;   // names that were looked up in vain, and said to be

  Binding* find(const std::string& name) {
    for (Scope* s = this; s; s = s->parent)
      if (const auto found = s->names.find(name); found != s->names.end()) return &found->second;
    return nullptr;
  }
};

}  // namespace mlpc::frontend
