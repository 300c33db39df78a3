#include "compiler/frontend/equal_turns.h"
#include "compiler/frontend/expressions.h"
#include "compiler/frontend/statements.h"

// Repetition at compile time: `for` and `repeat`, turn by turn. A turn makes its layers afresh: `[turn]`
// follows their names.

namespace mlpc::frontend {

namespace {

constexpr std::int64_t kMostTurns = 1 << 14;  // elaborated one by one, in all

/// What a loop's variable runs through.
struct Range {
  std::int64_t count;
  std::int64_t first = 0;       // of a range of numbers
  const List* items = nullptr;  // or these
  Value at(std::int64_t turn) const {
    return items ? items->items[static_cast<std::size_t>(turn)] : Value::integer(first + turn);
  }
};

/// Names of layers start anew at each turn, as the text does.
class Turns {
 public:
  Turns(Elaborator& el, Span span, std::int64_t count, const List* items = nullptr)
      : el_(el), frame_(*el.frame), before_(*el.frame), recorder_(el, span, items) {
    if ((el.turns += count) > kMostTurns)
      el.fail_at("too-large", span,
                 fmt::format("with the {} turns of this loop, the program has {}; the most is {}", count,
                             el.turns, kMostTurns));
    el.running.push_back({count, 0, nullptr, {}});
  }
  Turns(const Turns&) = delete;
  ~Turns() {
    frame_.turns = before_.turns;
    el_.running.pop_back();
  }
  void begin(std::int64_t turn) {
    recorder_.begin_turn();
    el_.running.back().number = turn;
    frame_.anonymous = before_.anonymous;
    frame_.layers = before_.layers;
    frame_.turns = fmt::format("{}[{}]", before_.turns, turn);
  }

 private:
  Elaborator& el_;
  Elaborator::Frame& frame_;
  const Elaborator::Frame before_;
  TurnRecorder recorder_;
};

void collect_assigned(const Block& body, std::set<std::string>& out) {
  for (const Stmt& s : body) {
    for (const ExprPtr& t : s.targets)
      if (t->kind == Expr::Kind::name) out.insert(t->text);
    if (s.kind == Stmt::Kind::loop || s.kind == Stmt::Kind::branch) collect_assigned(s.body, out);
    if (s.kind == Stmt::Kind::branch) collect_assigned(s.otherwise, out);
  }
}

}  // namespace

std::set<std::string> assigned_names(const Block& body) {
  std::set<std::string> out;
  collect_assigned(body, out);
  return out;
}

void run_loop(Elaborator& el, const Stmt& s, Scope* scope) {
  Value list;  // owns the items
  Range range{0};
  if (s.value->kind == Expr::Kind::range) {
    const Expr &first = *s.value->operands[0], &last = *s.value->operands[1];
    range.first = el.integer(el.eval(first, scope), first.span, "the loop's first turn");
    range.count = std::max<std::int64_t>(
        0, el.integer(el.eval(last, scope), last.span, "the loop's end") - range.first);
  } else {
    list = el.eval(*s.value, scope);
    range.items = list.as<List>();
    if (!range.items)
      el.fail_at(
          "bad-value", s.value->span,
          fmt::format("a loop runs through a range, as 0..n, or a list; this is {}", el.describe(list)));
    range.count = static_cast<std::int64_t>(range.items->items.size());
  }
  Turns turns(el, s.span, range.count, range.items);
  for (std::int64_t turn = 0; turn < range.count; ++turn) {
    turns.begin(turn);
    Scope* body = el.new_scope(scope);
    body->is_turn = true;
    body->names[s.name] = {range.at(turn), el.file, s.name_span, std::nullopt, el.target};
    if (el.run(s.body, body)) el.fail_at("not-here", s.span, "`return` cannot stand in the body of a loop");
  }
}

bool is_repeat(const Expr& e) {
  return e.kind == Expr::Kind::call && e.operands[0]->kind == Expr::Kind::name &&
         e.operands[0]->text == "repeat";
}

Value run_repeat(Elaborator& el, const Expr& e, Call::Item x, Scope* scope) {
  if (e.arguments.size() != 2 || !e.arguments[0].name.empty() || !e.arguments[1].name.empty())
    el.fail_at("missing-argument", e.span,
               "`repeat` takes two arguments, a number of turns and what is applied in each");
  const Expr &times = *e.arguments[0].value, &body = *e.arguments[1].value;
  const std::int64_t count = el.integer(el.eval(times, scope), times.span, "the number of turns");
  if (count < 0)
    el.fail_at("bad-value", times.span,
               fmt::format("the number of turns is {}; it cannot be negative", count));
  Turns turns(el, e.span, count);
  for (std::int64_t turn = 0; turn < count; ++turn) {
    turns.begin(turn);
    const Value f = el.eval(body, scope);
    require_made(el, f, body);
    x.value = el.call_value(f, {{x}, e.span, body.span});
  }
  return x.value;
}

}  // namespace mlpc::frontend
