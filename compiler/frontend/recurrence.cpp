#include "compiler/frontend/recurrence.h"

#include <algorithm>
#include <deque>

#include "compiler/frontend/ast_walk.h"
#include "compiler/frontend/bodies.h"
#include "compiler/frontend/expressions.h"
#include "compiler/frontend/indices.h"
#include "compiler/frontend/statements.h"
#include "ir/error.h"
#include "ir/ops/scan.h"

namespace mlpc::frontend {

using ir::Dim;
using ir::ElementType;
using ir::Integers;
using ir::Role;
using ir::Shape;
using ir::ValueId;

namespace {

/// The one subscript of h[t], h[t-1], h[-1]; null where there are others.
const Expr* only_subscript(const Expr& e) {
  const bool is_one = e.kind == Expr::Kind::index && e.operands[0]->kind == Expr::Kind::name &&
                      e.subscripts.size() == 1 && e.subscripts[0].kind == Subscript::Kind::index;
  return is_one ? e.subscripts[0].begin.get() : nullptr;
}

bool mentions(const Expr& e, const std::string& name) {
  bool out = false;
  for_each_expression(e,
                      [&](const Expr& part) { out |= part.kind == Expr::Kind::name && part.text == name; });
  return out;
}

const Sequence* sequence_of(const Expr& e, Scope& scope) {
  const Binding* binding = e.kind == Expr::Kind::index && e.operands[0]->kind == Expr::Kind::name
                               ? scope.find(e.operands[0]->text)
                               : nullptr;
  return binding ? binding->value.as<Sequence>() : nullptr;
}

/// k of h[-k]; 0 where it is none.
std::int64_t steps_before_first(const Expr& e) {
  const Expr* at = only_subscript(e);
  if (!at || at->kind != Expr::Kind::unary || at->text != "-") return 0;
  const Expr& n = *at->operands[0];
  const std::optional<Number> k = n.kind == Expr::Kind::number ? parse_number(n.text) : std::nullopt;
  return k && k->is_integer && k->value < 1e6 ? static_cast<std::int64_t>(k->value) : 0;
}

void collect(const Block& body, const std::string& time, std::vector<const Expr*>& out) {
  for (const Stmt& s : body) {
    for (const ExprPtr& t : s.targets) {
      const Expr* at = only_subscript(*t);
      const auto is_it = [&](const Expr* e) { return e->operands[0]->text == t->operands[0]->text; };
      if (at && mentions(*at, time) && std::ranges::none_of(out, is_it)) out.push_back(t.get());
    }
    if (s.kind != Stmt::Kind::branch) continue;
    collect(s.body, time, out);
    collect(s.otherwise, time, out);
  }
}

/// One `recur`, while it is elaborated.
class Recurrence {
 public:
  Recurrence(Elaborator& el, const Stmt& s, Scope* scope)
      : el_(el), s_(s), around_(scope), scope_(el.new_scope(scope)), body_("body") {
    body_.outer = el.target;
    const Expr& range = *s.value;
    if (range.kind != Expr::Kind::range)
      el.fail_at("bad-recurrence", range.span, "`recur` runs through a range, as 0..T");
    const Expr &first = *range.operands[0], &last = *range.operands[1];
    const Dim begin = el.dim(el.eval(first, scope), first.span, "the first time"),
              end = el.dim(el.eval(last, scope), last.span, "the end of time");
    if (!el.require(ir::DimCheck::Relation::at_least, end, begin, range.span))
      el.fail_at("bad-recurrence", range.span,
                 fmt::format("the range from {} to {} ends before it begins", begin.text(), end.text()));
    time_ = {s.name, end - begin, &body_, {}};
    time_.turn = body_.graph.add_parameter(s.name, {ElementType::i64, {}}, Role::turn);
    const Affine now{{{&time_, 1}}, begin};
    scope_->names[s.name] = {{now}, el.file, s.name_span, std::nullopt, &body_};
    std::vector<const Expr*> targets;
    collect(s.body, s.name, targets);
    for (const Expr* t : targets) {
      const std::string& name = t->operands[0]->text;
      names_.push_back({name, t->operands[0]->span, now, {}, {}, {}, std::nullopt});
      scope_->names[name] = {{Sequence{&names_.back()}}, el.file, t->operands[0]->span, std::nullopt, &body_};
    }
    if (names_.empty())
      el.fail_at("bad-recurrence", s.span,
                 fmt::format("nothing is assigned at `[{}]`, so nothing would be left of the steps", s.name),
                 {}, fmt::format("write `h[{}] = …`", s.name));
  }

  void run() {
    for (const Stmt& s : s_.body)
      if (is_initial_assignment(s, *scope_)) begin_with(s);
    el_.running.push_back({time_.extent, 0, &body_, time_.turn});
    el_.target = &body_;
    try {
      if (el_.run(s_.body, scope_))
        el_.fail_at("not-here", s_.span, "`return` cannot stand in the body of a `recur`");
    } catch (const Failure&) {
      leave();
      throw;
    }
    leave();
    close();
  }

 private:
  void leave() {
    el_.target = body_.outer;
    el_.running.pop_back();
  }

  void begin_with(const Stmt& s) {
    const std::vector<Value> values = unpacked(el_, s, el_.eval(*s.value, around_));
    for (std::size_t i = 0; i < s.targets.size(); ++i) {
      const Expr& t = *s.targets[i];
      RecurrentName& name = *sequence_of(t, *scope_)->name;
      const ValueId v = el_.tensor(values[i], s.value->span);
      if (!name.initial.emplace(steps_before_first(t), v).second)
        el_.fail_at("duplicate-name", t.span, fmt::format("`{}` is assigned twice", text_at(t.span)));
    }
  }

  std::string text_at(Span span) const { return el_.file->text.substr(span.begin, span.end - span.begin); }

  /// The scan, and the names as they are after it.
  void close() {
    std::vector<ir::Graph::Result>& results = body_.graph.results;
    for (const RecurrentName& name : names_) {
      if (!name.now)
        el_.fail_at("bad-recurrence", name.span,
                    fmt::format("`{}[{}]` is not assigned in the branch that is taken", name.name, s_.name));
      for (std::size_t k = 0; k < name.carried.size(); ++k) {
        const ValueId next = k == 0 ? *name.now : name.carried[k - 1];
        const ir::Type &wanted = body_.graph.type(name.carried[k]), &given = body_.graph.type(next);
        if (wanted != given)
          el_.fail_at("shape-mismatch", name.span,
                      fmt::format("`{0}[{1}]` is {2}, and `{0}[-{3}]` is {4}", name.name, s_.name,
                                  given.text(), k + 1, wanted.text()));
        results.push_back({name.name, Role::loop, name.loops[k], next});
      }
    }
    for (const auto& [index, loop] : body_.state_loops)
      results.push_back({fmt::format("state{}", index), Role::loop, loop, body_.new_state.at(index)});
    for (std::uint32_t i = 0; i < names_.size(); ++i)
      results.push_back({names_[i].name, Role::stacked, i, *names_[i].now});
    std::vector<ValueId> operands = body_.consts;
    operands.insert(operands.end(), body_.loops.begin(), body_.loops.end());
    operands.insert(operands.end(), body_.sequences.begin(), body_.sequences.end());
    const std::vector<ValueId> made =
        ir::ops::scan(el_.b(), {ir::Body(std::move(body_.graph)), time_.extent, false}, operands);
    for (const auto& [index, loop] : body_.state_loops) el_.target->new_state[index] = made[loop];
    for (std::size_t i = 0; i < names_.size(); ++i) after(names_[i], made[body_.loops.size() + i]);
  }

  /// Time becomes the second axis.
  void after(const RecurrentName& name, ValueId stacked) {
    const std::size_t rank = el_.type(stacked).rank();
    Integers order(rank);
    for (std::size_t axis = 0; axis < rank; ++axis) order[axis] = static_cast<std::int64_t>(axis);
    if (rank > 1) {
      std::swap(order[0], order[1]);
      stacked = el_.b().transpose(stacked, order);
    }
    el_.target->graph.add_location(stacked, el_.location(s_.span));
    el_.bind(*around_, name.name, name.span, {Tensor{stacked}}, false);
  }

  Elaborator& el_;
  const Stmt& s_;
  Scope* around_;
  Scope* scope_;
  Target body_;
  IndexVariable time_;
  std::deque<RecurrentName> names_;  // bindings point to them
};

/// What a name was k steps before this one.
ValueId earlier(Elaborator& el, RecurrentName& name, std::int64_t k, Span span) {
  Target& body = *name.time.terms[0].first->body;
  const std::string& time = name.time.terms[0].first->name;
  constexpr std::int64_t kMostSteps = 64;
  if (k > kMostSteps)
    el.fail_at("bad-recurrence", span, fmt::format("this is {} steps back; the most is {}", k, kMostSteps));
  while (static_cast<std::int64_t>(name.carried.size()) < k) {
    const auto step = static_cast<std::int64_t>(name.carried.size()) + 1;
    const auto first = name.initial.find(step);
    if (first == name.initial.end())
      el.fail_at("bad-recurrence", span,
                 fmt::format("`{0}[-{1}]` is not given, and the first step reads it as `{0}[{2}-{1}]`",
                             name.name, step, time),
                 {}, fmt::format("write `{}[-{}] = …` in the `recur`", name.name, step));
    name.loops.push_back(static_cast<std::uint32_t>(body.loops.size()));
    name.carried.push_back(hand_over(body, Role::loop, fmt::format("{}.before{}", name.name, step),
                                     first->second, body.outer->graph.type(first->second)));
  }
  return name.carried[static_cast<std::size_t>(k) - 1];
}

/// How many steps before this one a subscript is.
std::int64_t steps_back(Elaborator& el, const RecurrentName& name, const Expr& e, Scope* scope) {
  const std::string& time = name.time.terms[0].first->name;
  const Expr* at = only_subscript(e);
  if (!at)
    el.fail_at("bad-recurrence", e.span,
               fmt::format("in its `recur`, `{}` has one subscript, the time", name.name), {},
               fmt::format("second brackets take a part of the value: `{}[{}-1][:, 0]`", name.name, time));
  const std::optional<Affine> given = affine_of(el.eval(*at, scope));
  const std::optional<Affine> back = given ? std::optional(name.time + *given * -1) : std::nullopt;
  const std::optional<std::int64_t> steps =
      back && back->terms.empty() ? back->constant.constant() : std::nullopt;
  if (!steps || *steps < 0)
    el.fail_at(
        "bad-recurrence", at->span,
        fmt::format("a step can read `{0}[{1}]` and earlier values, as `{0}[{1}-1]`", name.name, time));
  return *steps;
}

Value value_of_sequence(Elaborator& el, RecurrentName& name, const Expr& e, Scope* scope) {
  Target& body = *name.time.terms[0].first->body;
  const std::int64_t steps = steps_back(el, name, e, scope);
  if (steps > 0) return {Tensor{el.imported(earlier(el, name, steps, e.span), &body)}};
  if (!name.now)
    el.fail_at("bad-recurrence", e.span, fmt::format("`{}` is read before it is assigned", name.name));
  return {Tensor{el.imported(*name.now, &body)}};
}

/// The axis that a subscript belongs to.
std::size_t axis_of(const std::vector<Subscript>& subscripts, std::size_t position, std::size_t rank) {
  std::size_t named = 0, axis = 0;
  for (const Subscript& s : subscripts)
    named += s.kind != Subscript::Kind::ellipsis && s.kind != Subscript::Kind::new_axis;
  for (std::size_t i = 0; i < position; ++i) {
    const Subscript::Kind kind = subscripts[i].kind;
    if (kind == Subscript::Kind::ellipsis)
      axis += rank - std::min(rank, named);
    else
      axis += kind != Subscript::Kind::new_axis;
  }
  return axis;
}

/// x along an axis, at each time: [T, …] in the graph around.
ValueId in_time_order(Elaborator& el, ValueId x, std::size_t axis, const Affine& at, Span span) {
  const ir::Type type = el.type(x);
  const auto [time, coefficient] = at.terms[0];
  const std::int64_t step = std::abs(coefficient);
  const Dim &length = time->extent, n = type.shape[axis];
  const Dim start = coefficient > 0 ? at.constant : at.constant - Dim(step) * (length - 1);
  const Dim end = step == 1 ? start + length : start + Dim(step) * (length - 1) + 1;
  using enum ir::DimCheck::Relation;
  if (!el.require(at_least, start, 0, span) || !el.require(at_least, n, end, span))
    el.fail_at("bad-index", span,
               fmt::format("the steps read positions {} to {} of an axis of extent {}", start.text(),
                           (end - 1).text(), n.text()));
  if (start != Dim(0) || step != 1 || n != length) {
    Shape from(type.rank()), extents = type.shape;
    Integers steps(type.rank(), 1);
    from[axis] = start;
    extents[axis] = length;
    steps[axis] = step;
    x = el.b().slice(x, from, extents, steps);
  }
  if (coefficient < 0) x = el.b().flip(x, {static_cast<std::int64_t>(axis)});
  Integers order = {static_cast<std::int64_t>(axis)};
  for (std::size_t i = 0; i < type.rank(); ++i)
    if (i != axis) order.push_back(static_cast<std::int64_t>(i));
  return axis == 0 ? x : el.b().transpose(x, order);
}

/// x[:, t] of a tensor from outside: this step's element of a sequence.
Value value_from_outside(Elaborator& el, const Expr& e, std::size_t position, const IndexVariable& time,
                         Scope* scope) {
  const Expr& base = *e.operands[0];
  const Subscript& subscript = e.subscripts[position];
  const Binding* binding = base.kind == Expr::Kind::name ? scope->find(base.text) : nullptr;
  Target& body = *time.body;
  if (!binding || !binding->value.as<Tensor>() || !body.outer->is_inside(binding->graph))
    el.fail_at("bad-recurrence", base.span,
               "only what has a name from outside of the `recur` can be read at a time", {},
               "give this a name before the `recur`");
  if (subscript.kind != Subscript::Kind::index)
    el.fail_at("bad-recurrence", subscript.span, "a slice cannot move with time; only one position can");
  const std::optional<Affine> at = affine_of(el.eval(*subscript.begin, scope));
  if (!at || at->terms.size() != 1 || at->terms[0].first != &time)
    el.fail_at("bad-recurrence", subscript.span,
               fmt::format("this subscript has to be as `{0}`, `{0}-1` or `2*{0}`", time.name));
  ValueId ordered;
  {
    const Around around(el, body);
    const ValueId x = el.imported(binding->value.as<Tensor>()->id, binding->graph);
    const std::size_t rank = el.type(x).rank(), axis = axis_of(e.subscripts, position, rank);
    if (axis >= rank)
      el.fail_at("bad-index", e.span,
                 fmt::format("{} subscripts for the axes of {}", e.subscripts.size(), el.type(x).text()));
    ordered = in_time_order(el, x, axis, *at, subscript.span);
    if (el.target->graph.locations(ordered).empty())
      el.target->graph.add_location(ordered, el.location(e.span));
  }
  const auto known = std::ranges::find(body.sequences, ordered);
  ValueId element;
  if (known == body.sequences.end()) {
    element = hand_over(body, Role::sequence, fmt::format("{}.{}", base.text, body.sequences.size()), ordered,
                        ir::ops::element_of(body.outer->graph.type(ordered)));
  } else {
    for (const ir::Graph::Parameter& p : body.graph.parameters())
      if (p.role == Role::sequence && p.index == known - body.sequences.begin()) element = p.value;
  }
  std::vector<const Subscript*> rest;
  for (std::size_t i = 0; i < e.subscripts.size(); ++i)
    if (i != position) rest.push_back(&e.subscripts[i]);
  return part_of_tensor(el, el.imported(element, &body), rest, e, scope);
}

}  // namespace

void run_recurrence(Elaborator& el, const Stmt& s, Scope* scope) { Recurrence(el, s, scope).run(); }

std::vector<std::string> names_over_time(const Stmt& recurrence) {
  std::vector<const Expr*> targets;
  collect(recurrence.body, recurrence.name, targets);
  std::vector<std::string> out;
  for (const Expr* t : targets) out.push_back(t->operands[0]->text);
  return out;
}

bool is_initial_assignment(const Stmt& s, Scope& scope) {
  return s.kind == Stmt::Kind::assign && std::ranges::all_of(s.targets, [&](const ExprPtr& t) {
           return steps_before_first(*t) > 0 && sequence_of(*t, scope);
         });
}

bool assign_at_time(Elaborator& el, const Expr& target, const Value& v, Scope* scope) {
  const Sequence* sequence = sequence_of(target, *scope);
  if (!sequence) return false;
  RecurrentName& name = *sequence->name;
  const std::string& time = name.time.terms[0].first->name;
  const bool is_now = only_subscript(target) && steps_back(el, name, target, scope) == 0;
  if (!is_now || el.target != name.time.terms[0].first->body)
    el.fail_at(
        "bad-recurrence", target.span,
        fmt::format("a step can assign to `{0}[{1}]` only; `{0}[-1]` is the value before the first step",
                    name.name, time));
  if (name.now)
    el.fail_at("duplicate-name", target.span, fmt::format("`{}[{}]` is assigned twice", name.name, time));
  name.now = el.tensor(v, target.span);
  el.target->graph.name_value(*name.now, el.frame->path + name.name);
  return true;
}

std::optional<Value> at_time(Elaborator& el, const Expr& e, Scope* scope) {
  if (const Sequence* sequence = sequence_of(e, *scope))
    return value_of_sequence(el, *sequence->name, e, scope);
  const IndexVariable* time = nullptr;
  std::size_t position = 0;
  for (std::size_t i = 0; i < e.subscripts.size(); ++i)
    for (const ExprPtr* part : {&e.subscripts[i].begin, &e.subscripts[i].end, &e.subscripts[i].step}) {
      const IndexVariable* found = *part ? index_named_in(**part, *scope) : nullptr;
      if (!found || !found->body) continue;
      if (time && position != i)
        el.fail_at("bad-recurrence", e.subscripts[i].span,
                   fmt::format("`{}` stands in a second subscript", time->name));
      time = found;
      position = i;
    }
  if (!time) return std::nullopt;
  return value_from_outside(el, e, position, *time, scope);
}

void refuse_bare(Elaborator& el, const Sequence& sequence, Span span) {
  const RecurrentName& name = *sequence.name;
  el.fail_at("bad-recurrence", span,
             fmt::format("`{0}` has a value at each time; in its `recur` it is read as `{0}[{1}-1]`",
                         name.name, name.time.terms[0].first->name));
}

}  // namespace mlpc::frontend
