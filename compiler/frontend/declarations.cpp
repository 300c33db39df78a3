#include <algorithm>

#include "compiler/frontend/foreign.h"
#include "compiler/frontend/lexer.h"
#include "compiler/frontend/statements.h"
#include "ir/error.h"

// What a definition owns: inputs, parameters, state, results, constants.

namespace mlpc::frontend {

using ir::ElementType;
using ir::Role;
using ir::Shape;
using ir::ValueId;

namespace {

constexpr std::size_t kMostTensors = 1 << 13;  // parameters; states; slots
constexpr std::size_t kMostResults = 256;      // inputs; outputs, losses and metrics together

ElementType element_type(Elaborator& el, const Stmt& s) {
  if (s.text.empty()) return el.program.element;
  const auto type = ir::element_type_named(s.text);
  if (!type)
    el.fail_at("bad-input", s.text_span,
               fmt::format("`{}` is not an element type; there are f32, f64, i32, i64, u8 and bool", s.text),
               {}, hint_for_name(s.text));
  return *type;
}

/// The value that -D gives: a number, a boolean, or what a name means where the const is written.
Value defined(Elaborator& el, const Stmt& s, const std::string& text, Scope* scope) {
  if (const std::optional<Number> n = parse_number(text)) return {*n};
  if (text == "true" || text == "false") return {text == "true"};
  if (!is_identifier(text))
    el.fail_at("bad-define", s.name_span,
               fmt::format("-D {}={}: `{}` is neither a number nor a name", s.name, text, text));
  Expr name;
  name.kind = Expr::Kind::name;
  name.span = s.name_span;
  name.text = text;
  return el.eval(name, scope);
}

}  // namespace

void declare_input(Elaborator& el, const Stmt& s, Scope* scope) {
  if (el.frame->kind != Elaborator::Frame::Kind::model)
    el.fail_at("not-here", s.span, "an input belongs in a model");
  auto& inputs = el.program.inputs;
  auto index =
      static_cast<std::uint32_t>(std::ranges::find(inputs, s.name, &ir::InputInfo::name) - inputs.begin());
  const ir::Type type{element_type(el, s), el.shape(s.shape, scope, Elaborator::Dims::declared)};
  if (index == inputs.size()) {
    if (inputs.size() >= kMostResults)
      el.fail_at("too-large", s.span, fmt::format("the model has more than {} inputs", kMostResults));
    inputs.push_back({s.name, type, 0});
  }
  const ValueId v = el.parameter(Role::input, index, s.name, type);
  el.target->graph.add_location(v, el.location(s.name_span));
  el.bind(*scope, s.name, s.name_span, {Tensor{v}}, true);
}

namespace {

/// fan_in and fan_out of a parameter: rank 2 is [in, out], higher ranks are [out, in, window…].
std::pair<double, double> fans(const Shape& shape) {
  const auto extent = [&](std::size_t axis) { return static_cast<double>(*shape[axis].constant()); };
  if (shape.empty()) return {1, 1};
  if (shape.size() == 1) return {extent(0), extent(0)};
  if (shape.size() == 2) return {extent(0), extent(1)};
  double window = 1;
  for (std::size_t axis = 2; axis < shape.size(); ++axis) window *= extent(axis);
  return {extent(1) * window, extent(0) * window};
}

/// As `info` shows it: "he: normal(0, 0.05)", "0".
std::string text_of(const Distribution& d, const Value& from) {
  const auto* f = from.as<Function>();
  const std::string name = f ? f->definition->name + ": " : "";
  if (d.kind == Distribution::Kind::constant) return fmt::format("{}{}", name, d.a);
  if (d.kind == Distribution::Kind::orthogonal) return name + "orthogonal";
  if (d.kind == Distribution::Kind::bernoulli) return fmt::format("{}bernoulli({})", name, d.a);
  return fmt::format("{}{}({}, {})", name, d.kind == Distribution::Kind::normal ? "normal" : "uniform", d.a,
                     d.b);
}

Distribution initialiser(Elaborator& el, const Stmt& s, const Shape& shape, Value v) {
  if (!s.is_drawn) return {Distribution::Kind::constant, el.number(v, s.value->span, "an initial value"), 0};
  if (const auto* f = v.as<Function>()) {
    const auto has = [&](std::string_view name) {
      return std::ranges::find(f->definition->formals, name, &Formal::name) != f->definition->formals.end();
    };
    if (!has("fan_in") || !has("fan_out"))
      el.fail_at(
          "bad-initialiser", s.value->span,
          fmt::format("`{}` is not an initialiser: those are fns of fan_in and fan_out", f->definition->name),
          {}, "the library has `he`, `xavier`, `lecun`, …; `normal(0, 0.1)` and numbers initialise, too");
    const auto [in, out] = fans(shape);
    v = el.call_value(v, {{{"fan_in", s.value->span, Value::real(in), nullptr},
                           {"fan_out", s.value->span, Value::real(out), nullptr}},
                          s.value->span,
                          s.value->span});
  }
  if (const auto* builtin = v.as<Builtin>(); builtin && (builtin->name == "zeros" || builtin->name == "ones"))
    return {Distribution::Kind::constant, builtin->name == "ones" ? 1.0 : 0.0, 0};
  if (const auto* builtin = v.as<Builtin>(); builtin && builtin->name == "orthogonal")
    v = {Distribution{Distribution::Kind::orthogonal, 0, 0}};
  if (const auto* d = v.as<Distribution>()) {
    if (d->kind == Distribution::Kind::orthogonal && shape.size() < 2)
      el.fail_at("bad-initialiser", s.value->span,
                 fmt::format("only matrices can be orthogonal; `{}` has {}", s.name,
                             shape.empty() ? "no axes" : "one axis"));
    return *d;
  }
  if (const auto* n = v.as<Number>()) return {Distribution::Kind::constant, n->value, 0};
  el.fail_at(
      "bad-initialiser", s.value->span,
      fmt::format("`~` needs an initialiser, as `he` or `normal(0, 0.1)`; this is {}", el.describe(v)));
}

/// The entry of a table for a path: made by the first elaboration, found by later ones and by shared layers.
std::uint32_t table_entry(Elaborator& el, std::vector<ir::TensorInfo>& table,
                          std::vector<Distribution>& draws, const std::string& path, const ir::Type& type,
                          const Stmt& s, Scope* scope) {
  const auto found = std::ranges::find(table, path, &ir::TensorInfo::path);
  if (found != table.end()) {
    if (found->type != type)
      el.fail_at("extent-mismatch", s.span,
                 fmt::format("`{}` would be {} here, and is {} from an earlier application", path,
                             type.text(), found->type.text()),
                 el.frame->first_application ? std::vector<Note>{*el.frame->first_application}
                                             : std::vector<Note>{});
    return static_cast<std::uint32_t>(found - table.begin());
  }
  if (!el.declares)
    el.fail_at("bad-parameter", s.span, fmt::format("`{}` exists only while training", path), {},
               "parameters and state exist in every mode: move it out of the `if training`");
  if (table.size() >= kMostTensors)
    el.fail_at("too-large", s.span,
               fmt::format("the model has more than {} tensors of one kind", kMostTensors));
  const Value value = el.eval(*s.value, scope);
  draws.push_back(initialiser(el, s, type.shape, value));
  table.push_back({path, type, 0, text_of(draws.back(), value), el.location(s.name_span)});
  return static_cast<std::uint32_t>(table.size() - 1);
}

void require_constant(Elaborator& el, const Shape& shape, const Stmt& s) {
  for (std::size_t i = 0; i < shape.size(); ++i)
    if (!shape[i].is_constant())
      el.fail_at("bad-parameter", s.shape[i].span,
                 fmt::format("the extent {} of `{}` is not known at compile time", shape[i].text(), s.name),
                 {}, "the extents of parameters and state are numbers, as 784 or a `const`");
}

}  // namespace

void declare_param(Elaborator& el, const Stmt& s, Scope* scope) {
  if (el.frame->kind != Elaborator::Frame::Kind::model && el.frame->kind != Elaborator::Frame::Kind::layer)
    el.fail_at("not-here", s.span, "a param belongs in a model or a layer");
  const Shape shape = el.shape(s.shape, scope, Elaborator::Dims::known);
  require_constant(el, shape, s);
  const std::string path = el.frame->path + s.name + el.frame->turns;
  const ir::Type type{el.program.element, shape};
  const std::uint32_t index = table_entry(el, el.program.params, el.param_draws, path, type, s, scope);
  const ValueId v = el.parameter(Role::param, index, path, type);
  el.target->graph.add_location(v, el.location(s.name_span));
  el.bind(*scope, s.name, s.name_span, {Tensor{v}}, true);
}

void declare_state(Elaborator& el, const Stmt& s, Scope* scope) {
  using Kind = Elaborator::Frame::Kind;
  const bool has_owner =
      el.frame->kind == Kind::model || el.frame->kind == Kind::layer || el.frame->kind == Kind::optimizer;
  if (!has_owner) el.fail_at("not-here", s.span, "state belongs in a model, a layer or an optimizer");
  const bool is_slot = el.frame->kind == Elaborator::Frame::Kind::optimizer;
  const Shape shape =
      is_slot && s.shape.empty() ? el.frame->slot_shape : el.shape(s.shape, scope, Elaborator::Dims::known);
  require_constant(el, shape, s);
  const ir::Type type{el.program.element, shape};
  const std::string path =
      is_slot ? s.name + "/" + el.frame->slot_owner : el.frame->path + s.name + el.frame->turns;
  auto& table = is_slot ? el.program.slots : el.program.state;
  const std::uint32_t index =
      table_entry(el, table, is_slot ? el.slot_draws : el.state_draws, path, type, s, scope);
  const bool is_carry = s.kind == Stmt::Kind::carry;
  const ValueId now =
      el.state_now(is_slot ? Role::slot : Role::state, index, path, type, is_slot || el.training || is_carry);
  el.bind(*scope, s.name, s.name_span, {Tensor{now}}, true);
  scope->names[s.name].state = StateBinding{index, is_carry};
}

void update_state(Elaborator& el, const Stmt& s, Scope* scope) {
  Binding* binding = scope->find(s.name);
  if (!binding) el.unknown_name(s.name, s.name_span, *scope);
  if (!binding->state)
    el.fail_at("bad-value", s.name_span, fmt::format("`{}` is not a state, so `<-` cannot update it", s.name),
               {el.note_of(*binding, "it is defined here")});
  if (binding->graph != el.target)
    el.fail_at("not-here", s.span,
               fmt::format("`{}` is declared outside of this `recur`, and cannot be updated in it", s.name),
               {el.note_of(*binding, "it is declared here")});
  const bool is_slot = el.frame->kind == Elaborator::Frame::Kind::optimizer;
  if (!el.training && !is_slot && !binding->state->is_carry) return;
  const Value value = el.eval(*s.value, scope);
  const ir::Type wanted = el.type(binding->value.as<Tensor>()->id);
  ValueId v = el.tensor(value, s.value->span);
  const auto mismatch = [&] {
    el.fail_at("shape-mismatch", s.value->span,
               fmt::format("`{}` is {}, and its new value is {}", s.name, wanted.text(), el.type(v).text()));
  };
  if (el.type(v).element != wanted.element ||
      el.common_shape(el.type(v).shape, wanted.shape, mismatch) != wanted.shape)
    mismatch();
  v = el.broadcast_to(v, wanted.shape);
  if (!is_slot) v = el.b().value(ir::Op::stop_grad_, {v});
  el.target->new_state[binding->state->index] = v;
  binding->value = {Tensor{v}};
}

void declare_objective(Elaborator& el, const Stmt& s, Scope* scope) {
  if (el.frame->kind != Elaborator::Frame::Kind::model)
    el.fail_at("not-here", s.span, "outputs, losses and metrics belong in a model");
  if (scope->is_turn || el.target->outer)
    el.fail_at("not-here", s.span, "an output, loss or metric cannot stand in a loop");
  const Value value = el.eval(*s.value, scope);
  if (value.as<Poison>()) throw Failure{};
  const ValueId v = el.tensor(value, s.value->span);
  const Role role = s.kind == Stmt::Kind::output ? Role::output
                    : s.kind == Stmt::Kind::loss ? Role::loss_term
                                                 : Role::metric;
  if (role != Role::output && (el.type(v).rank() != 0 || !ir::is_float(el.type(v).element)))
    el.fail_at("loss-not-scalar", s.value->span,
               fmt::format("a {} has to be a scalar; this is {}",
                           s.kind == Stmt::Kind::loss ? "loss" : "metric", el.type(v).text()),
               {},
               el.type(v).rank() == 0 ? fmt::format("convert it: `{}(…)`", ir::name_of(el.program.element))
                                      : "`mean(…)` or `sum(…)` makes a scalar of it");
  for (const auto& other : el.target->objectives)
    if (other.name == s.name)
      el.fail_at("duplicate-name", s.name_span, fmt::format("two results are called `{}`", s.name));
  if (el.target->objectives.size() >= kMostResults)
    el.fail_at("too-large", s.span, fmt::format("the model has more than {} results", kMostResults));
  if (s.name == "loss")
    el.fail_at("duplicate-name", s.name_span, "`loss` is the name of the sum of all losses");
  el.target->objectives.push_back({role, s.name, v});
  el.bind(*scope, s.name, s.name_span, {Tensor{v}}, false);
}

void declare_constant(Elaborator& el, const Stmt& s, Scope* scope) {
  const auto define =
      std::ranges::find_if(el.options.defines, [&](const auto& d) { return d.first == s.name; });
  const bool is_defined = define != el.options.defines.end();
  Value v = is_defined ? defined(el, s, define->second, scope) : el.eval(*s.value, scope);
  if (v.as<Tensor>())
    el.fail_at("not-a-number", is_defined ? s.name_span : s.value->span,
               fmt::format("a const has to be known at compile time; this is {}", el.describe(v)));
  el.bind(*scope, s.name, s.name_span, std::move(v), true);
}

}  // namespace mlpc::frontend
