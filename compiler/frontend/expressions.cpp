#include "compiler/frontend/expressions.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <cmath>
#include <limits>

#include "compiler/frontend/foreign.h"
#include "compiler/frontend/index_notation.h"
#include "compiler/frontend/recurrence.h"
#include "ir/error.h"

namespace mlpc::frontend {

using ir::Op;
using ir::Shape;
using ir::ValueId;

namespace {

constexpr int kDeepest = 400;                // calls and nested expressions
constexpr std::size_t kMostNodes = 1 << 20;  // of one graph

constexpr std::size_t kMostSteps = 1 << 21;     // expressions evaluated, in all
constexpr std::size_t kHeaviestList = 1 << 12;  // elements

bool makes_nodes(const Expr& e) {
  return e.kind == Expr::Kind::unary || e.kind == Expr::Kind::binary || e.kind == Expr::Kind::call ||
         e.kind == Expr::Kind::index || e.kind == Expr::Kind::member;
}

struct DepthGuard {
  explicit DepthGuard(int& depth) : depth_(depth) { ++depth_; }
  ~DepthGuard() { --depth_; }
  int& depth_;
};

}  // namespace

namespace {

/// Whether two neighbouring letters changed places.
bool is_swapped(std::string name, const std::string& other) {
  for (std::size_t i = 0; i + 1 < name.size(); ++i) {
    std::swap(name[i], name[i + 1]);
    if (name == other) return true;
    std::swap(name[i], name[i + 1]);
  }
  return false;
}

std::string lower_case(std::string text) {
  for (char& c : text)
    if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
  return text;
}

}  // namespace

std::optional<Number> parse_number(std::string_view text) {
  double value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  const bool is_integer = text.find_first_of(".eE") == std::string_view::npos;
  if (error != std::errc{} || end != text.data() + text.size() || (is_integer && std::abs(value) > 0x1p53) ||
      !std::isfinite(value))
    return std::nullopt;
  return Number{value, is_integer};
}

std::string guess_of(const std::string& misspelt, const std::vector<std::string>& names) {
  const std::string name = lower_case(misspelt);
  std::string best;
  std::size_t least = std::min(name.size(), std::max<std::size_t>(1, name.size() / 3) + 1);
  for (const std::string& known : names) {
    const std::string candidate = lower_case(known);
    if (candidate.size() > 40 || name.size() > 40) continue;
    if (is_swapped(name, candidate)) return fmt::format("did you mean `{}`?", known);
    // batch_size: batch
    if (best.empty() && candidate.size() * 2 >= name.size() && name.starts_with(candidate + "_"))
      best = known;
    std::vector<std::size_t> row(candidate.size() + 1);  // Levenshtein, one row at a time
    for (std::size_t j = 0; j <= candidate.size(); ++j) row[j] = j;
    for (std::size_t i = 1; i <= name.size(); ++i) {
      std::size_t diagonal = row[0];
      row[0] = i;
      for (std::size_t j = 1; j <= candidate.size(); ++j) {
        const std::size_t change = diagonal + (name[i - 1] != candidate[j - 1]);
        diagonal = row[j];
        row[j] = std::min({row[j] + 1, row[j - 1] + 1, change});
      }
    }
    if (row.back() < least) {
      least = row.back();
      best = known;
    }
  }
  return best.empty() ? "" : fmt::format("did you mean `{}`?", best);
}

void Elaborator::unknown_name(const std::string& name, Span span, Scope& scope, std::string hint) {
  for (const Scope* s = &scope; s; s = s->parent)
    if (s->missing.contains(name)) throw Failure{};  // one error a name
  scope.missing.insert(name);
  std::vector<std::string> names = builtin_names();
  for (Scope* s = &scope; s; s = s->parent)
    for (const auto& [known, binding] : s->names) names.push_back(known);
  for (const std::string& better : {guess_of(name, names), hint_for_name(name), hint_for_keyword(name)})
    if (!better.empty()) hint = better;
  fail_at("unknown-name", span, fmt::format("`{}` is not defined here", name), {}, std::move(hint));
}

std::string enumerated(const std::vector<std::string>& names) {
  constexpr std::size_t kMost = 8;
  std::string out;
  for (std::size_t i = 0; i < names.size() && i < kMost; ++i)
    out += fmt::format("{}`{}`", i == 0 ? "" : i + 1 == names.size() ? " and " : ", ", names[i]);
  return names.size() > kMost ? out + ", …" : out;
}

namespace {

/// Whether what the names around mean has to do with the error.
bool concerns_values(DiagnosticId id) {
  constexpr std::array<std::string_view, 8> kOthers = {
      "not-here", "missing-argument", "unknown-argument", "too-many-arguments",
      "too-deep", "too-large",        "bad-parameter",    "unknown-name"};
  return std::ranges::find(kOthers, id.text()) == kOthers.end();
}

}  // namespace

void Elaborator::fail_at(DiagnosticId id, Span span, std::string text, std::vector<Note> notes,
                         std::string hint) {
  report(id, span, std::move(text), std::move(notes), std::move(hint));
  throw Failure{};
}

void Elaborator::report(DiagnosticId id, Span span, std::string text, std::vector<Note> notes,
                        std::string hint) {
  // The chain of calls that led here, innermost first. The library is right: what shows there is shown where
  // the innermost of the user's calls is.
  constexpr std::size_t kMostNotes = 8;
  const SourceFile* place = file;
  Scope* scope = current_scope;
  bool has_notes = !notes.empty();
  auto site = call_sites.rbegin();
  if (file && file->is_library) {
    while (site != call_sites.rend() && site->note.file->is_library) ++site;
    if (site != call_sites.rend()) {
      const Note inside{file, span, "in the library, it shows here"};
      std::erase_if(notes, [](const Note& n) { return n.file->is_library; });
      place = site->note.file;
      span = site->note.span;
      scope = site->scope;
      has_notes = has_notes && !notes.empty();
      if (!has_notes && scope && concerns_values(id)) note_names_in(notes, *place, site->arguments, *scope);
      notes.insert(notes.begin(), inside);
      ++site;
    }
  }
  const bool has_meanings = concerns_values(id);
  if (!has_notes && has_meanings && place && scope) {
    note_names_in(notes, *place, span, *scope);
    if (place == file && place == context.file) note_names_in(notes, *place, context.span, *scope);
  }
  for (; site != call_sites.rend() && notes.size() < kMostNotes; ++site) {
    const Note& call = site->note;
    const bool is_known = std::ranges::any_of(  // of a function that calls itself
        notes, [&](const Note& n) { return n.file == call.file && n.span.begin == call.span.begin; });
    if (call.file->is_library || is_known) continue;
    notes.push_back(call);
    if (has_meanings && site->scope) note_names_in(notes, *call.file, site->arguments, *site->scope);
  }
  diagnostics.add({id, place, span, std::move(text), std::move(notes), std::move(hint)});
}

std::uint32_t Elaborator::location(Span span) {
  const Place place = place_of(*file, span.begin);
  return location({file->name, place.line, place.column, application});
}

std::uint32_t Elaborator::location(const ir::SourceLocation& l) {
  // Locations come in order: the one wanted is mostly the last.
  for (std::size_t i = program.locations.size(); i-- > 0 && i + 64 > program.locations.size();) {
    const ir::SourceLocation& k = program.locations[i];
    if (k.line == l.line && k.column == l.column && k.file == l.file && k.application == l.application)
      return static_cast<std::uint32_t>(i);
  }
  program.locations.push_back(l);
  return static_cast<std::uint32_t>(program.locations.size() - 1);
}

namespace {

bool holds_tensor(const Value& v) {
  const auto* list = v.as<List>();
  return v.as<Tensor>() || v.as<Indexed>() || (list && std::ranges::any_of(list->items, holds_tensor));
}

Value name_value(Elaborator& el, const Expr& e, Scope& scope) {
  if (const Binding* binding = scope.find(e.text)) {
    if (const auto* sequence = binding->value.as<Sequence>()) refuse_bare(el, *sequence, e.span);
    if (binding->graph == el.target || !holds_tensor(binding->value)) return binding->value;
    if (el.target->is_inside(binding->graph)) return el.imported(binding->value, binding->graph);
    el.fail_at(
        "not-here", e.span,
        fmt::format("`{}` is computed by the model; here, only what is known at compile time can be used",
                    e.text),
        {el.note_of(*binding, "it is defined here")});
  }
  if (Elaborator::is_builtin(e.text)) return {Builtin{e.text}};
  el.unknown_name(e.text, e.span, scope);
}

Call evaluated(Elaborator& el, const Expr& e, Scope* scope, std::size_t& holes) {
  Call call{{}, e.span, e.operands[0]->span};
  for (const Argument& a : e.arguments) {
    if (a.value->kind == Expr::Kind::hole) {
      ++holes;
      call.items.push_back({"_", a.span, {Poison{}}, nullptr, a.span});
      continue;
    }
    Value v = el.eval(*a.value, scope);
    if (v.as<Poison>()) throw Failure{};
    const Span name_span{a.span.begin, static_cast<std::uint32_t>(a.span.begin + a.name.size())};
    call.items.push_back({a.name, a.value->span, std::move(v), a.value.get(), name_span});
  }
  return call;
}

/// leaky_relu(_, 0.1): the function of the hole, which has to be the first argument.
Value with_hole(Elaborator& el, const Value& callee, Call call, Span span) {
  const auto* f = callee.as<Function>();
  if (!f || call.items.empty() || call.items[0].name != "_")
    el.fail_at("not-callable", span,
               "`_` stands for the first argument of an fn, as in `leaky_relu(_, 0.1)`");
  Function out = *f;
  Scope* bound = el.new_scope(nullptr);
  if (f->bound) bound->names = f->bound->names;
  const auto& formals = f->definition->formals;
  for (std::size_t i = 1; i < call.items.size(); ++i) {
    if (call.items[i].name == "_")
      el.fail_at("not-callable", call.items[i].span, "a second `_`: it stands for the first argument only");
    const std::string name = !call.items[i].name.empty() ? call.items[i].name
                             : i < formals.size()        ? formals[i].name
                                                         : "";
    if (name.empty())
      el.fail_at("too-many-arguments", call.items[i].span,
                 fmt::format("`{}` takes {} {}, not {}", f->definition->name, formals.size(),
                             formals.size() == 1 ? "argument" : "arguments", call.items.size()));
    bound->names[name] = {call.items[i].value, el.file, call.items[i].span, std::nullopt, el.target};
  }
  out.bound = bound;
  return {std::move(out)};
}

Value call_expression(Elaborator& el, const Expr& e, Scope* scope) {
  if (is_repeat(*e.operands[0])) {
    std::size_t holes = 0;
    Call x = evaluated(el, e, scope, holes);
    if (x.items.size() != 1 || holes > 0)
      el.fail_at("missing-argument", e.span, "`repeat(n, f)` is applied to one value: x |> repeat(n, f)");
    return run_repeat(el, *e.operands[0], std::move(x.items[0]), scope);
  }
  if (is_repeat(e))
    el.fail_at("not-here", e.span, "`repeat` has to be applied where it is written", {},
               "write `x |> repeat(n, f)`");
  Value callee = el.eval(*e.operands[0], scope);
  std::size_t holes = 0;
  Call call = evaluated(el, e, scope, holes);
  if (holes > 0) return with_hole(el, callee, std::move(call), e.span);
  if (const auto* layer = callee.as<LayerDefinition>()) return {el.make_layer(*layer, std::move(call))};
  return el.call_value(callee, std::move(call));
}

/// x |> f, x |> f(a), x |> layer(h): the value is the first argument, or what the layer that is made is
/// applied to.
Value pipe(Elaborator& el, const Expr& e, Scope* scope) {
  Value x = el.eval(*e.operands[0], scope);
  if (x.as<Poison>()) return x;
  const Expr* right = e.operands[1].get();
  std::string given_name;
  if (right->kind == Expr::Kind::named) {
    given_name = right->text;
    right = right->operands[0].get();
  }
  Call first{{{"", e.operands[0]->span, std::move(x), e.operands[0].get()}}, e.span, right->span};
  if (is_repeat(*right)) return run_repeat(el, *right, std::move(first.items[0]), scope);
  if (right->kind != Expr::Kind::call) {
    const Value f = el.eval(*right, scope);
    require_made(el, f, *right);
    return el.call_value(f, std::move(first));
  }
  Value callee = el.eval(*right->operands[0], scope);
  std::size_t holes = 0;
  Call call = evaluated(el, *right, scope, holes);
  if (holes > 0) return el.call_value(with_hole(el, callee, std::move(call), right->span), std::move(first));
  if (const auto* layer = callee.as<LayerDefinition>()) {
    const auto made = el.make_layer(*layer, std::move(call));
    if (!given_name.empty()) el.name_layer(*made, given_name, e.operands[1]->span);
    return el.call_value({made}, std::move(first));
  }
  if (callee.as<std::shared_ptr<MadeLayer>>() && call.items.empty())
    el.fail_at("missing-argument", right->span,
               "the layer is applied twice: by `()` to nothing, and by the pipe", {},
               "leave out the last `()`");
  if (callee.as<Function>() || callee.as<Builtin>()) {
    call.items.insert(call.items.begin(), std::move(first.items[0]));
    return el.call_value(callee, std::move(call));
  }
  return el.call_value(el.call_value(callee, std::move(call)), std::move(first));
}

[[noreturn]] void refuse_member(Elaborator& el, const Expr& e, Scope* scope) {
  const Expr& base = *e.operands[0];
  const std::string what = el.describe(el.eval(base, scope));
  const std::string base_text = base.kind == Expr::Kind::name ? base.text : "…";
  const bool is_function = Elaborator::is_builtin(e.text) || scope->find(e.text);
  const std::string hint = e.text == "T" ? "write `transpose(…)`"
                           : is_function ? fmt::format("write `{}({})`", e.text, base_text)
                                         : hint_for_name(e.text);
  el.fail_at("unknown-name", e.span,
             fmt::format("`.{}` of {}: values have no parts with names", e.text, what), {}, hint);
}

Value member(Elaborator& el, const Expr& e, Scope* scope) {
  const Expr& base = *e.operands[0];
  const bool is_now = base.kind == Expr::Kind::name && base.text == "now" && !scope->find("now");
  if (!is_now) refuse_member(el, e, scope);
  static const std::map<std::string, ir::Role> roles = {
      {"step", ir::Role::step}, {"steps", ir::Role::steps}, {"epoch", ir::Role::epoch}};
  const auto role = roles.find(e.text);
  if (role == roles.end())
    el.fail_at("unknown-name", e.span,
               fmt::format("`now` has `step`, `steps` and `epoch`, not `{}`", e.text));
  if (el.frame->kind != Elaborator::Frame::Kind::optimizer)
    el.fail_at("not-here", e.span, "`now` is known only in `train`");
  const ValueId v = el.parameter(role->second, 0, e.text, {ir::ElementType::i64, {}});
  return {Tensor{el.b().convert(v, el.program.element)}};
}

Value number(Elaborator& el, const std::string& text, Span span) {
  const std::optional<Number> n = parse_number(text);
  if (!n) el.fail_at("bad-number", span, fmt::format("`{}` is too large", text));
  return {*n};
}

void add(Elaborator& el, List& list, Value v, Span span) {
  if (const auto* inner = v.as<List>()) list.weight += inner->weight;
  if (++list.weight > kHeaviestList)
    el.fail_at("too-large", span, fmt::format("the list has more than {} elements", kHeaviestList));
  list.items.push_back(std::move(v));
}

Value list(Elaborator& el, const Expr& e, Scope* scope) {
  List out;
  for (const ExprPtr& item : e.operands) {
    if (item->kind != Expr::Kind::hole) {
      add(el, out, el.eval(*item, scope), item->span);
      continue;
    }
    for (const ir::Dim& d : el.batch_dims(scope, item->span)) add(el, out, Value::extent(d), item->span);
  }
  return {std::move(out)};
}

Value evaluate(Elaborator& el, const Expr& e, Scope* scope) {
  switch (e.kind) {
    case Expr::Kind::number:
      return number(el, e.text, e.span);
    case Expr::Kind::string:
      return {e.text};
    case Expr::Kind::boolean:
      return {e.text == "true"};
    case Expr::Kind::infinity:
      return Value::real(std::numeric_limits<double>::infinity());
    case Expr::Kind::name:
      return name_value(el, e, *scope);
    case Expr::Kind::training:
      return {el.training};
    case Expr::Kind::unary: {
      const Value v = el.eval(*e.operands[0], scope);
      if (e.text == "-") return el.negate(v, e.span);
      if (v.as<Tensor>()) return {Tensor{el.b().value(Op::logical_not_, {v.as<Tensor>()->id})}};
      return {!el.condition(v, e.operands[0]->span)};
    }
    case Expr::Kind::binary: {
      if (e.text == "|>") return pipe(el, e, scope);
      if (is_index_sum(e, *scope)) return sum_over_indices(el, e, scope);
      const Value a = el.eval(*e.operands[0], scope), b = el.eval(*e.operands[1], scope);
      return el.binary(e.text, a, b, e.operands[0].get(), e.operands[1].get(), e.span);
    }
    case Expr::Kind::call:
      return call_expression(el, e, scope);
    case Expr::Kind::index:
      return subscripted(el, e, scope);
    case Expr::Kind::member:
      return member(el, e, scope);
    case Expr::Kind::list:
      return list(el, e, scope);
    case Expr::Kind::tuple:
      return list(el, e, scope);
    case Expr::Kind::conditional:
      return el.eval(*e.operands[el.condition(el.eval(*e.operands[0], scope), e.operands[0]->span) ? 1 : 2],
                     scope);
    case Expr::Kind::named: {
      Value v = el.eval(*e.operands[0], scope);
      const auto* layer = v.as<std::shared_ptr<MadeLayer>>();
      if (!layer || (*layer)->number == 0)
        el.fail_at("not-callable", e.span, "`as` names a layer where it is made, as in `dense(10) as head`");
      el.name_layer(**layer, e.text, e.span);
      return v;
    }
    case Expr::Kind::index_sum:
      return sum_over_indices(el, e, scope);
    case Expr::Kind::record:
    case Expr::Kind::range:
    case Expr::Kind::hole:
      break;
  }
  el.fail_at("bad-value", e.span,
             e.kind == Expr::Kind::hole    ? "`_` stands only for a missing argument of a call"
             : e.kind == Expr::Kind::range ? "a range stands only in a loop, or in a sum over an index"
                                           : "named numbers stand only in `train`: batch = {N: 256}");
}

}  // namespace

void require_made(Elaborator& el, const Value& v, const Expr& e) {
  if (v.as<LayerDefinition>())
    el.fail_at("layer-not-made", e.span,
               fmt::format("the layer `{}` is applied without having been made", e.text), {},
               fmt::format("write `{}()`", e.text));
}

Value Elaborator::eval(const Expr& e, Scope* scope) {
  const DepthGuard guard(depth);
  if (depth > kDeepest)
    fail_at("too-deep", e.span, "calls are nested too deeply: does a function call itself without end?");
  if (++steps > kMostSteps) {
    if (steps == kMostSteps + 1)
      fail_at("too-large", e.span, fmt::format("the program evaluates more than {} expressions", kMostSteps));
    throw Failure{};
  }
  const Temporarily inside(current_scope, scope);
  const std::size_t before = target ? target->graph.value_count() : 0;
  try {
    Value v = evaluate(*this, e, scope);
    if (target && makes_nodes(e)) {
      if (target->graph.value_count() > kMostNodes)
        fail_at("too-large", e.span, fmt::format("the graph has more than {} values", kMostNodes));
      for (std::size_t i = before; i < target->graph.value_count(); ++i) {
        const ValueId id{static_cast<std::uint32_t>(i)};
        if (target->graph.locations(id).empty()) target->graph.add_location(id, location(e.span));
      }
    }
    return v;
  } catch (const Error& error) {
    fail_at("bad-operand", e.span, error.what());  // an op's own rule
  }
}

}  // namespace mlpc::frontend
