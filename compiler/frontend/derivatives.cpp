#include "compiler/frontend/derivatives.h"

#include <algorithm>
#include <array>

#include "compiler/frontend/arguments.h"
#include "compiler/frontend/ast_walk.h"
#include "ir/error.h"

// grad, jvp, vjp and jacobian: operations of the graph, by the marked value of a name. The autodiff pass
// expands them.

namespace mlpc::frontend {

using ir::Op;
using ir::ValueId;
using Values = std::vector<ValueId>;

// ---- Which names are targets ----

namespace {

bool is_derivative(std::string_view name) {
  constexpr std::array<std::string_view, 4> kNames = {"grad", "jvp", "vjp", "jacobian"};
  return std::ranges::find(kNames, name) != kNames.end();
}

void add_names(const Expr& e, std::set<std::string>& out) {
  if (e.kind == Expr::Kind::name) out.insert(e.text);
  if (e.kind == Expr::Kind::list)
    for (const ExprPtr& item : e.operands) add_names(*item, out);
}

/// Formals of every fn of that name, layers' inputs too.
std::map<std::string, std::set<std::string>> formals_by_name(const std::vector<const Block*>& blocks) {
  std::map<std::string, std::set<std::string>> out;
  const std::function<void(const Block&)> collect = [&](const Block& block) {
    for (const Stmt& s : block) {
      if (s.kind == Stmt::Kind::fn || s.kind == Stmt::Kind::layer)
        for (const auto* formals : {&s.formals, &s.inputs})
          for (const Formal& formal : *formals) out[s.name].insert(formal.name);
      collect(s.body);
      collect(s.otherwise);
    }
  };
  for (const Block* block : blocks) collect(*block);
  return out;
}

/// The name of what is called in the end: `f` of f(x), l()(x) and x |> l().
const std::string& callee_of(const Expr& e) {
  const Expr* callee = &e;
  while (callee->kind == Expr::Kind::call || callee->kind == Expr::Kind::named)
    callee = callee->operands[0].get();
  return callee->text;
}

}  // namespace

std::set<std::string> derivative_targets(const std::vector<const Block*>& blocks) {
  std::set<std::string> out;
  const auto each = [&](const std::function<void(const Expr&)>& f) {
    for (const Block* block : blocks) for_each_expression(*block, f);
  };
  each([&](const Expr& e) {
    if (e.kind != Expr::Kind::call || !is_derivative(callee_of(e))) return;
    for (const Argument& a : e.arguments) add_names(*a.value, out);
  });
  if (out.empty()) return out;
  const auto formals = formals_by_name(blocks);
  const auto passes_to_target = [&](const std::string& callee) {
    const auto found = formals.find(callee);
    if (found == formals.end()) return !callee.empty() && !Elaborator::is_builtin(callee);  // who knows
    return std::ranges::any_of(found->second, [&](const std::string& f) { return out.contains(f); });
  };
  for (std::size_t before = 0; before != out.size();) {
    before = out.size();
    each([&](const Expr& e) {
      if (e.kind == Expr::Kind::call && passes_to_target(callee_of(e)))
        for (const Argument& a : e.arguments) add_names(*a.value, out);
      if (e.kind == Expr::Kind::binary && e.text == "|>" && passes_to_target(callee_of(*e.operands[1])))
        add_names(*e.operands[0], out);
    });
  }
  return out;
}

ValueId bound_value(Elaborator& el, const std::string& name, ValueId v, bool is_formal) {
  if (!el.derivative_targets.contains(name) || !ir::is_float(el.type(v).element)) return v;
  const std::int64_t id = ++el.marks;
  if (is_formal) el.formal_marks.insert(id);
  return el.b().value(Op::mark_, {v}, {id});
}

// ---- The expressions ----

namespace {

bool depends_on(const ir::Graph& graph, ValueId y, ValueId x) {
  if (x.index > y.index) return false;
  std::vector<bool> reached(y.index + 1, false);
  reached[y.index] = true;
  for (std::size_t i = graph.producer_id(y).index + 1; i-- > 0;) {
    const ir::Node& node = graph.node({static_cast<std::uint32_t>(i)});
    bool is_reached = false;
    for (std::uint32_t r = node.first_result; r < node.first_result + node.result_count && r <= y.index; ++r)
      is_reached |= reached[r];
    if (is_reached)
      for (ValueId v : graph.operands(node)) reached[v.index] = true;
  }
  return reached[x.index];
}

/// What a target's name stands for in y: its binding or, where y was computed before it was passed to this
/// fn, what was passed.
ValueId binding_in(const Elaborator& el, ValueId y, ValueId target) {
  const ir::Graph& graph = el.target->graph;
  for (ValueId binding = target;;) {
    if (depends_on(graph, y, binding)) return binding;
    const ir::Node& node = graph.producer(binding);
    if (node.op != Op::mark_ || !el.formal_marks.contains(std::get<std::int64_t>(node.attributes[0])))
      return target;
    binding = graph.operands(node)[0];
  }
}

/// The targets of a derivative, as written: a name, or a list of names.
struct Targets {
  Values values;
  bool is_list;
  Value result(const Values& derivatives) const {
    if (!is_list) return {Tensor{derivatives[0]}};
    List out;
    for (ValueId v : derivatives) out.items.push_back({Tensor{v}});
    out.weight += out.items.size();
    return {std::move(out)};
  }
};

[[noreturn]] void refuse_target(Elaborator& el, Span span) {
  el.fail_at("bad-derivative", span,
             "a derivative is with respect to a name or a list of names; this is another expression", {},
             "give the value a name first, `u = …`, and compute with that name");
}

ValueId target(Elaborator& el, const Value& v, const Expr& e, ValueId y) {
  if (e.kind != Expr::Kind::name) refuse_target(el, e.span);
  if (v.as<Poison>()) throw Failure{};
  const auto* tensor = v.as<Tensor>();
  if (!tensor)
    el.fail_at("not-a-tensor", e.span,
               fmt::format("a derivative is with respect to tensors; `{}` is {}", e.text, el.describe(v)));
  if (!ir::is_float(el.type(tensor->id).element))
    el.fail_at("type-mismatch", e.span,
               fmt::format("a derivative is with respect to f32 or f64; `{}` is {}", e.text, el.describe(v)));
  return binding_in(el, y, tensor->id);
}

Targets targets(Elaborator& el, Arguments& a, ValueId y) {
  const Call::Item& item = a.need(1, "x");
  const auto* items = item.value.as<List>();
  if (!item.expr ||
      (item.expr->kind == Expr::Kind::list && items->items.size() != item.expr->operands.size()))
    refuse_target(el, item.span);
  if (item.expr->kind != Expr::Kind::list) return {{target(el, item.value, *item.expr, y)}, false};
  if (items->items.empty()) el.fail_at("bad-derivative", item.span, "the list of names is empty");
  Targets out{{}, true};
  for (std::size_t i = 0; i < items->items.size(); ++i)
    out.values.push_back(target(el, items->items[i], *item.expr->operands[i], y));
  return out;
}

/// The first argument.
ValueId differentiable(Elaborator& el, const Call::Item& item) {
  const ValueId y = el.tensor(item.value, item.span);
  if (!ir::is_float(el.type(y).element))
    el.fail_at("type-mismatch", item.span,
               fmt::format("only f32 and f64 have derivatives; this is {}", el.describe({Tensor{y}})));
  return y;
}

/// A direction: it has the type of what it belongs to; a number stands for all its elements.
ValueId direction(Elaborator& el, const Value& v, Span span, ValueId of, std::string_view what) {
  const ir::Type wanted = el.type(of);
  const ValueId d = el.tensor(v, span, wanted.element);
  if (!v.as<Number>() && el.type(d) != wanted)
    el.fail_at("shape-mismatch", span,
               fmt::format("{} is {}; it has to be {}", what, el.type(d).text(), wanted.text()));
  return el.broadcast_to(d, wanted.shape);
}

Values made(Elaborator& el, Op op, const Values& operands) {
  const ir::Node& node = el.target->graph.node(el.b().make(op, operands));
  Values out;
  for (std::uint32_t r = 0; r < node.result_count; ++r) out.push_back(ir::Graph::result(node, r));
  return out;
}

/// grad(s, x), grad(s, [x, w])
Value grad(Elaborator& el, Arguments& a) {
  const Call::Item& s = a.need(0, "s");
  Values operands = {differentiable(el, s)};
  if (const ir::Type type = el.type(operands[0]); type.rank() != 0)
    el.fail_at("bad-derivative", s.span,
               fmt::format("`grad` takes the derivative of a scalar; this is {}", type.text()), {},
               "`sum(…)` makes a scalar of it; `jacobian` and `vjp` take tensors");
  const Targets x = targets(el, a, operands[0]);
  operands.insert(operands.end(), x.values.begin(), x.values.end());
  return x.result(made(el, Op::grad_, operands));
}

/// jvp(y, x, v): J v, of y's shape. v is a list where x is one.
Value jvp(Elaborator& el, Arguments& a) {
  Values operands = {differentiable(el, a.need(0, "y"))};
  const Targets x = targets(el, a, operands[0]);
  const Call::Item& v = a.need(2, "v");
  operands.insert(operands.end(), x.values.begin(), x.values.end());
  const auto* list = v.value.as<List>();
  if (x.is_list && (!list || list->items.size() != x.values.size()))
    el.fail_at("bad-derivative", v.span,
               fmt::format("{} names need a list of as many tangents; this is {}", x.values.size(),
                           el.describe(v.value)));
  for (std::size_t i = 0; i < x.values.size(); ++i)
    operands.push_back(
        direction(el, x.is_list ? list->items[i] : v.value, v.span, x.values[i], "the tangent"));
  return {Tensor{made(el, Op::jvp_, operands)[0]}};
}

/// vjp(y, x, c): Jᵀ c, of x's shape.
Value vjp(Elaborator& el, Arguments& a) {
  const ValueId y = differentiable(el, a.need(0, "y"));
  const Targets x = targets(el, a, y);
  const Call::Item& c = a.need(2, "c");
  Values operands = {y, direction(el, c.value, c.span, y, "the cotangent")};
  operands.insert(operands.end(), x.values.begin(), x.values.end());
  return x.result(made(el, Op::vjp_, operands));
}

/// jacobian(y, x), of shape y.shape ++ x.shape
Value jacobian(Elaborator& el, Arguments& a) {
  const ValueId y = differentiable(el, a.need(0, "y"));
  const Targets x = targets(el, a, y);
  Values derivatives;
  for (ValueId v : x.values) derivatives.push_back(el.b().value(Op::jacobian_, {y, v}));
  return x.result(derivatives);
}

}  // namespace

const Rules& derivative_rules() {
  static const Rules table = {{"grad", grad}, {"jvp", jvp}, {"vjp", vjp}, {"jacobian", jacobian}};
  return table;
}

}  // namespace mlpc::frontend
