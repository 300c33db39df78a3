#pragma once

#include <deque>
#include <functional>
#include <map>
#include <memory>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "compiler/frontend/frontend.h"
#include "compiler/frontend/random.h"
#include "compiler/frontend/target.h"
#include "compiler/frontend/value.h"
#include "ir/error.h"
#include "ir/program.h"

namespace mlpc::frontend {

/// Thrown where a statement cannot go on. The diagnostic has been added; Silent follows from an earlier one.
struct Failure {};

struct Notation;

/// Another value for a while.
template <typename T>
class Temporarily {
 public:
  Temporarily(T& slot, T value) : slot_(slot), before_(std::exchange(slot, std::move(value))) {}
  Temporarily(const Temporarily&) = delete;
  ~Temporarily() { slot_ = std::move(before_); }

 private:
  T& slot_;
  T before_;
};

/// The arguments of a call, evaluated.
struct Call {
  struct Item {
    std::string name;  // empty: positional
    Span span;
    Value value;
    const Expr* expr = nullptr;  // as written; null for the value of a pipe
    Span name_span = {};
  };
  std::vector<Item> items;
  Span span;
  Span callee;
};

/// Turns statements into graphs. One elaborator serves the whole program: the model's body is elaborated once
/// with `training` false and once with it true, the optimizer once a parameter.
class Elaborator {
 public:
  Elaborator(ir::Program& program, const FrontendOptions& options, Diagnostics& diagnostics);

  // ---- What is being built ----

  ir::ValueId parameter(ir::Role role, std::uint32_t index, const std::string& name, const ir::Type& type);
  /// A value of the graph at hand, or of one around it: then a const of the bodies in between.
  ir::ValueId imported(ir::ValueId v, Target* from);
  Value imported(Value v, Target* from);
  /// A state or slot at this place; what can change in a body is handed on from step to step.
  ir::ValueId state_now(ir::Role role, std::uint32_t index, const std::string& path, const ir::Type& type,
                        bool can_change);
  /// The number of the turn, i64[], of all loops around: as if they were one.
  ir::ValueId turn_number();
  /// What random numbers of a type are drawn from at this place; those along a free leading extent belong to
  /// samples, which a shard counts from its row_offset.
  Draw draw(const ir::Type& drawn);
  /// A relation of extents that holds, or that the plan will find true; false if it never holds.
  bool require(ir::DimCheck::Relation relation, const ir::Dim& left, const ir::Dim& right, Span span);

  /// The definition whose body is being elaborated.
  struct Frame {
    std::string path;                         // of its parameters: "enc."
    std::map<std::string, int> anonymous;     // layers of that name so far
    std::set<std::string> layers;             // names that are taken
    std::string turns;                        // of the loops around the statement at hand: "[0][2]"
    std::string applications;                 // which application of each layer around it this is: "1.2."
    Target* home = nullptr;                   // the graph that has its parameters
    const Note* first_application = nullptr;  // of the layer, where this is a later one
    enum class Kind : std::uint8_t { file, model, layer, optimizer, function } kind = Kind::model;
    std::string slot_owner;  // of an optimizer: the parameter's path
    ir::Shape slot_shape;
  };

  Scope* new_scope(Scope* parent) {
    scopes_.push_back({parent, {}, std::nullopt, false});
    return &scopes_.back();
  }

  // ---- Statements (statements.cpp) ----
  void define_all(const Block& block, const SourceFile& file, Scope* scope);
  /// Runs statements; the value of `return`, if one was met.
  std::optional<Value> run(const Block& block, Scope* scope);
  void bind(Scope& scope, const std::string& name, Span span, Value value, bool is_new);
  void require_new(const Scope& scope, const std::string& name, Span span);

  // ---- Expressions (expressions.cpp) ----
  Value eval(const Expr& e, Scope* scope);
  Value call_value(const Value& callee, Call call);  // calls.cpp
  Value apply_layer(const std::shared_ptr<MadeLayer>& layer, const Call& call);
  std::shared_ptr<MadeLayer> make_layer(const LayerDefinition& layer, Call call);
  /// Binding a layer that was made here, or `as`, names it.
  void name_layer(MadeLayer& layer, const std::string& name, Span span);
  Value call_builtin(const std::string& name, Call& call);  // builtins.cpp
  static const std::vector<std::string>& builtin_names();
  static bool is_builtin(const std::string& name);

  // ---- Tensors (tensors.cpp) ----
  Value binary(const std::string& op, const Value& a, const Value& b, const Expr* ea, const Expr* eb,
               Span span);
  Value negate(const Value& a, Span span);
  ir::ValueId tensor(const Value& v, Span span, std::optional<ir::ElementType> literal = std::nullopt);
  ir::ValueId broadcast_to(ir::ValueId v, const ir::Shape& shape);
  /// What to do about shapes that have no common one.
  static std::string mismatch_hint(const ir::Shape& a, const ir::Shape& b);
  ir::Shape common_shape(const ir::Shape& a, const ir::Shape& b, const std::function<void()>& mismatch);
  ir::ValueId matmul(ir::ValueId a, ir::ValueId b, const Expr* ea, const Expr* eb, Span span);
  ir::ValueId reduce(ir::Op op, ir::ValueId x, const ir::Integers& axes);
  ir::ValueId mean(ir::ValueId x, const ir::Integers& axes, Span span);
  std::string describe(const Value& v) const;
  /// The same of what a name is bound to, which may be of another graph than the one at hand.
  std::string describe_bound(const Binding& binding) const;
  /// "`x` is f32[B, 128]", "`f` is defined here".
  std::string meaning_of(const std::string& name, const Binding& binding) const;
  const ir::Type& type(ir::ValueId v) { return target->graph.type(v); }
  ir::Builder& b() { return target->builder; }

  // ---- Numbers ----
  double number(const Value& v, Span span, std::string_view what);
  std::int64_t integer(const Value& v, Span span, std::string_view what);
  ir::Dim dim(const Value& v, Span span, std::string_view what);
  bool condition(const Value& v, Span span);
  ir::Shape shape(const Value& v, Span span);
  enum class Dims : std::uint8_t {
    known,
    declared,
    with_batch
  };  // what a shape may have besides: new names; `..`
  ir::Shape shape(const std::vector<ShapeItem>& items, Scope* scope, Dims dims);
  /// What `..` stands for in the definition at hand.
  const ir::Shape& batch_dims(Scope* scope, Span span);

  // ---- Errors ----
  void report(DiagnosticId id, Span span, std::string text, std::vector<Note> notes = {},
              std::string hint = {});
  /// Reports, and ends the statement at hand.
  [[noreturn]] void fail_at(DiagnosticId id, Span span, std::string text, std::vector<Note> notes = {},
                            std::string hint = {});
  /// The hint is given where no name is close.
  [[noreturn]] void unknown_name(const std::string& name, Span span, Scope& scope, std::string hint = {});
  Note note_of(const Binding& binding, const std::string& text) const {
    return {binding.file, binding.span, text};
  }
  /// Where the names in a piece of source were defined: what is wrong there may have been written here.
  void note_names_in(std::vector<Note>& notes, const SourceFile& source, Span span, Scope& scope) const;
  /// "`x` is f32[B, 128]", where the expression is a name.
  void add_note(std::vector<Note>& notes, const Expr* e);
  std::uint32_t location(Span span);
  std::uint32_t location(const ir::SourceLocation& l);

  ir::Program& program;
  const FrontendOptions& options;
  Diagnostics& diagnostics;
  const SourceFile* file = nullptr;  // of the code at hand
  Target* target = nullptr;
  Frame* frame = nullptr;
  Scope* current_scope = nullptr;
  struct Piece {
    const SourceFile* file = nullptr;
    Span span;
  } context;  // the call of a builtin, or the access, around what is wrong
  bool training = false;
  bool declares = true;   // the first elaboration of the body makes the tables; later ones find what it made
  std::size_t steps = 0;  // expressions evaluated so far
  int depth = 0;
  std::vector<Distribution> param_draws, state_draws, slot_draws;  // by table index
  std::string application;                                         // chain of layers: "fc1", for locations
  struct CallSite {
    Note note;
    Scope* scope;    // in which it stands
    Span arguments;  // their types are the formals'
  };
  std::vector<CallSite> call_sites;  // of layers and fns, outermost first
  std::int64_t turns = 0;            // of loops, elaborated one by one
  /// The turn of a loop: its number, known here or in a body.
  struct Turn {
    ir::Dim count;
    std::int64_t number = 0;
    Target* body = nullptr;
    ir::ValueId value;  // i64[]
  };
  std::vector<Turn> running;                 // the loops around the statement at hand, outermost first
  Notation* notation = nullptr;              // the statement of index notation at hand
  std::set<std::string> derivative_targets;  // names by which derivatives are taken (derivatives.h)
  std::int64_t marks = 0;                    // made so far
  std::set<std::int64_t> formal_marks;       // those of arguments of fns and layers
  struct Used {
    const SourceFile* file;
    Scope* scope;
  };
  std::function<Used(const Stmt&)> used;  // what a `use` brings in
  const Stmt* train = nullptr;
  Scope* train_scope = nullptr;

 private:
  std::deque<Scope> scopes_;
};

/// A decimal number, whole; nullopt if it is none, or an integer that is not exact.
std::optional<Number> parse_number(std::string_view text);
/// A hint: the closest of `names` to a misspelt one, capitals apart; empty if none is close.
std::string guess_of(const std::string& name, const std::vector<std::string>& names);
/// "`a`, `b` and `c`"; a long list ends in "…".
std::string enumerated(const std::vector<std::string>& names);

}  // namespace mlpc::frontend
