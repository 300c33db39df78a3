#include <algorithm>
#include <cmath>

#include "compiler/frontend/indices.h"
#include "ir/error.h"

// Arithmetic of values: numbers at compile time, tensors in the graph, literals taking the tensor's type.

namespace mlpc::frontend {

using ir::Dim;
using ir::ElementType;
using ir::Op;
using ir::Shape;
using ir::ValueId;

namespace {

bool is_exact(double x) { return std::abs(x) <= 0x1p53; }

}  // namespace

std::string Elaborator::describe(const Value& v) const {
  if (const auto* t = v.as<Tensor>()) return target ? target->graph.type(t->id).text() : "a tensor";
  if (const auto* n = v.as<Number>()) return fmt::format("the number {}", n->value);
  if (const auto* d = v.as<Dim>()) return fmt::format("the dim {}", d->text());
  if (const auto* c = v.as<bool>()) return *c ? "`true`" : "`false`";
  if (const auto* s = v.as<std::string>())
    return s->size() < 30 ? fmt::format("the string \"{}\"", *s) : "a string";
  if (const auto* f = v.as<Function>()) return fmt::format("the function `{}`", f->definition->name);
  if (const auto* f = v.as<Builtin>()) return fmt::format("the function `{}`", f->name);
  if (v.as<LayerDefinition>()) return "a layer that has not been made";
  if (v.as<std::shared_ptr<MadeLayer>>()) return "a layer";
  if (v.as<Distribution>()) return "a distribution";
  if (const auto* list = v.as<List>()) return fmt::format("a list of {}", list->items.size());
  if (v.as<Affine>()) return "an index";
  if (v.as<Indexed>()) return "an element of a tensor";
  if (v.as<Sequence>()) return "a value at each time";
  return "nothing";
}

std::string Elaborator::meaning_of(const std::string& name, const Binding& binding) const {
  const Value& v = binding.value;
  if (const auto* n = v.as<Number>()) return fmt::format("`{}` is {}", name, n->value);
  if (v.as<Function>() || v.as<LayerDefinition>()) return fmt::format("`{}` is defined here", name);
  if (v.as<std::shared_ptr<MadeLayer>>()) return fmt::format("the layer `{}` is made here", name);
  return fmt::format("`{}` is {}", name, describe_bound(binding));
}

std::string Elaborator::describe_bound(const Binding& binding) const {
  const auto* t = binding.value.as<Tensor>();
  return t && binding.graph ? binding.graph->graph.type(t->id).text() : describe(binding.value);
}

void Elaborator::add_note(std::vector<Note>& notes, const Expr* e) {
  if (!e || e->kind != Expr::Kind::name || !current_scope) return;
  if (const Binding* binding = current_scope->find(e->text); binding && binding->file)
    notes.push_back(note_of(*binding, meaning_of(e->text, *binding)));
}

bool Elaborator::require(ir::DimCheck::Relation relation, const Dim& left, const Dim& right, Span span) {
  const Dim difference = left - right;
  const bool is_equality = relation == ir::DimCheck::Relation::equal;
  if (const auto d = difference.constant()) return is_equality ? *d == 0 : *d >= 0;
  const auto is_positive = [](const ir::DimTerm& term) { return term.coefficient > 0; };
  if (!is_equality && difference.added() >= 0 && std::ranges::all_of(difference.terms(), is_positive))
    return true;  // dims are not negative
  const auto is_known = [&](const ir::DimCheck& c) {
    return c.relation == relation && c.left == left && c.right == right;
  };
  if (std::ranges::none_of(program.checks, is_known))
    program.checks.push_back({relation, left, right, location(span)});
  return true;
}

double Elaborator::number(const Value& v, Span span, std::string_view what) {
  if (v.as<Poison>()) throw Failure{};
  if (const auto* n = v.as<Number>()) return n->value;
  fail_at("not-a-number", span,
          fmt::format("{} has to be a number known at compile time; this is {}", what, describe(v)));
}

std::int64_t Elaborator::integer(const Value& v, Span span, std::string_view what) {
  const double x = number(v, span, what);
  if (!v.as<Number>()->is_integer || !is_exact(x))
    fail_at("not-a-number", span, fmt::format("{} has to be an integer; this is {}", what, x));
  return static_cast<std::int64_t>(x);
}

Dim Elaborator::dim(const Value& v, Span span, std::string_view what) {
  if (const auto* d = v.as<Dim>()) return *d;
  const std::int64_t n = integer(v, span, what);
  if (n < 0) fail_at("bad-shape", span, fmt::format("{} is {}; extents cannot be negative", what, n));
  return n;
}

bool Elaborator::condition(const Value& v, Span span) {
  if (v.as<Poison>()) throw Failure{};
  if (const auto* c = v.as<bool>()) return *c;
  fail_at("not-a-condition", span,
          fmt::format("a condition has to be known at compile time; this is {}", describe(v)), {},
          v.as<Tensor>() ? "`where(c, a, b)` chooses element by element" : "");
}

ValueId Elaborator::tensor(const Value& v, Span span, std::optional<ElementType> literal) {
  if (v.as<Poison>()) throw Failure{};
  const ElementType type = literal.value_or(program.element);
  if (const auto* t = v.as<Tensor>()) return t->id;
  if (const auto* indexed = v.as<Indexed>(); indexed && indexed->axes.empty()) return indexed->id;
  if (const auto* affine = v.as<Affine>()) return number_at(*this, *affine, span, type);
  if (const auto* d = v.as<Dim>()) return b().value(Op::dim_, {}, {Shape{*d}, type});
  if (const auto* c = v.as<bool>()) return b().constant(ir::Constant::of_integer(ElementType::boolean, *c));
  if (const auto* n = v.as<Number>()) {
    if (!ir::is_float(type) && !n->is_integer)
      fail_at("type-mismatch", span, fmt::format("{} is not of the type {}", n->value, ir::name_of(type)));
    try {
      return b().constant(ir::Constant::of(type, n->value));
    } catch (const Error& e) {
      fail_at("type-mismatch", span, e.what());
    }
  }
  const bool is_layer = v.as<std::shared_ptr<MadeLayer>>() || v.as<LayerDefinition>();
  fail_at(
      "not-a-tensor", span, fmt::format("a tensor is needed; this is {}", describe(v)), {},
      is_layer ? "a layer is made by one call and applied by another: `dense(10)(x)`, `x |> dense(10)`" : "");
}

ValueId Elaborator::broadcast_to(ValueId v, const Shape& to) {
  const Shape from = type(v).shape;
  if (from == to) return v;
  Shape kept;
  ir::Integers axes;
  for (std::size_t i = 0; i < from.size(); ++i) {
    const std::size_t axis = to.size() - from.size() + i;
    if (from[i] == Dim(1) && to[axis] != Dim(1)) continue;  // repeated
    kept.push_back(from[i]);
    axes.push_back(static_cast<std::int64_t>(axis));
  }
  if (kept.size() != from.size()) v = b().reshape(v, kept);
  return b().broadcast(v, to, axes);
}

std::string Elaborator::mismatch_hint(const Shape& a, const Shape& b) {
  if (a.size() != b.size()) return "axes are matched from the last one; `x[:, _]` adds an axis of extent 1";
  for (std::size_t axis = 0; axis < a.size(); ++axis) {
    const Dim &x = a[axis], &y = b[axis];
    if (x == y || x == Dim(1) || y == Dim(1) || (x.is_constant() && y.is_constant())) continue;
    return fmt::format("`{}` and `{}` are two dims: where they are always equal, write the same name",
                       x.text(), y.text());
  }
  return "only an axis of extent 1 is repeated to fit another";
}

Shape Elaborator::common_shape(const Shape& x, const Shape& y, const std::function<void()>& mismatch) {
  const Shape& longer = x.size() >= y.size() ? x : y;
  const Shape& shorter = x.size() >= y.size() ? y : x;
  Shape out = longer;
  for (std::size_t i = 0; i < shorter.size(); ++i) {
    Dim& extent = out[longer.size() - shorter.size() + i];
    if (extent == shorter[i] || shorter[i] == Dim(1)) continue;
    if (extent == Dim(1))
      extent = shorter[i];
    else
      mismatch();
  }
  return out;
}

namespace {

std::optional<Op> tensor_op(const std::string& op) {
  static const std::map<std::string, Op> ops = {
      {"+", Op::add_},           {"-", Op::sub_},         {"*", Op::mul_}, {"/", Op::div_}, {"==", Op::eq_},
      {"!=", Op::ne_},           {"<", Op::lt_},          {"<=", Op::le_}, {">", Op::gt_},  {">=", Op::ge_},
      {"and", Op::logical_and_}, {"or", Op::logical_or_}, {"^", Op::pow_}, {"%", Op::mod_}, {"//", Op::div_}};
  const auto found = ops.find(op);
  return found == ops.end() ? std::nullopt : std::optional(found->second);
}

/// Compile-time arithmetic; nullopt where the operator is none of numbers.
std::optional<Value> compute(const std::string& op, const Number& a, const Number& b) {
  const bool integers = a.is_integer && b.is_integer;
  const auto result = [&](double x) { return Value{Number{x, integers}}; };
  if (op == "+") return result(a.value + b.value);
  if (op == "-") return result(a.value - b.value);
  if (op == "*") return result(a.value * b.value);
  if (op == "/") return Value::real(a.value / b.value);
  if (op == "//") return result(std::floor(a.value / b.value));
  if (op == "%") return result(a.value - b.value * std::floor(a.value / b.value));
  if (op == "^") return Value{Number{std::pow(a.value, b.value), integers && b.value >= 0}};
  if (op == "==") return Value{a.value == b.value};
  if (op == "!=") return Value{a.value != b.value};
  if (op == "<") return Value{a.value < b.value};
  if (op == "<=") return Value{a.value <= b.value};
  if (op == ">") return Value{a.value > b.value};
  if (op == ">=") return Value{a.value >= b.value};
  return std::nullopt;
}

/// Which of two operands is to be converted: integers to reals, else the narrower type.
std::string conversion_hint(const Elaborator& el, ElementType a, ElementType b, const Expr* ea,
                            const Expr* eb) {
  constexpr std::size_t kLongest = 24;  // operand that is repeated
  const auto is_less = [&](ElementType x, ElementType y) {
    return ir::is_float(x) == ir::is_float(y) ? ir::size_of(x) < ir::size_of(y) : ir::is_float(y);
  };
  const bool is_first = is_less(a, b);
  const Expr* operand = is_first ? ea : eb;
  const std::string_view text =
      operand ? std::string_view(el.file->text)
                    .substr(operand->span.begin, operand->span.end - operand->span.begin)
              : "";
  return fmt::format("tensors are not converted silently: write `{}({})`", ir::name_of(is_first ? b : a),
                     text.empty() || text.size() > kLongest ? "…" : text);
}

}  // namespace

Value Elaborator::binary(const std::string& op, const Value& x, const Value& y, const Expr* ex,
                         const Expr* ey, Span span) {
  if (x.as<Poison>() || y.as<Poison>()) return {Poison{}};
  if (std::optional<Value> v = index_binary(*this, op, x, y, ex, ey, span)) return *v;
  if (x.as<Number>() && y.as<Number>()) {
    const auto value = compute(op, *x.as<Number>(), *y.as<Number>());
    if (!value) fail_at("not-a-tensor", span, fmt::format("`{}` takes tensors, not numbers", op));
    const auto* n = value->as<Number>();
    const bool is_finite = std::isfinite(x.as<Number>()->value) && std::isfinite(y.as<Number>()->value);
    if (n && is_finite && !std::isfinite(n->value))
      fail_at(
          "bad-value", span,
          fmt::format("`{} {} {}` has no finite value", x.as<Number>()->value, op, y.as<Number>()->value));
    if (n && n->is_integer && !(is_exact(n->value) && std::trunc(n->value) == n->value))
      fail_at("bad-value", span, fmt::format("the result of `{}` is too large for an integer", op));
    return *value;
  }
  if (x.as<bool>() && y.as<bool>()) {
    if (op == "and") return {*x.as<bool>() && *y.as<bool>()};
    if (op == "or") return {*x.as<bool>() || *y.as<bool>()};
    if (op == "==") return {*x.as<bool>() == *y.as<bool>()};
    if (op == "!=") return {*x.as<bool>() != *y.as<bool>()};
  }
  if (x.as<std::string>() && y.as<std::string>() && (op == "==" || op == "!="))
    return {(*x.as<std::string>() == *y.as<std::string>()) == (op == "==")};
  const auto is_known = [](const Value& v) { return v.as<Number>() || v.as<bool>() || v.as<List>(); };
  if ((op == "==" || op == "!=") &&
      ((x.as<std::string>() && is_known(y)) || (y.as<std::string>() && is_known(x))))
    return {op == "!="};  // a text is no number
  if (!x.as<Tensor>() && !y.as<Tensor>()) {
    const bool are_dims = (x.as<Dim>() || x.as<Number>()) && (y.as<Dim>() || y.as<Number>());
    if (!are_dims)
      fail_at("not-a-tensor", span, fmt::format("`{}` of {} and {}", op, describe(x), describe(y)));
    const bool is_polynomial = op == "+" || op == "-" || op == "*" || op == "//";
    if (is_polynomial && op != "//") {
      const Dim a = dim(x, span, "an operand"), c = dim(y, span, "an operand");
      return Value::extent(op == "+" ? a + c : op == "-" ? a - c : a * c);
    }
    if (op == "//") {
      const std::int64_t divisor = integer(y, span, "the divisor");
      if (divisor < 1)
        fail_at("bad-value", span,
                fmt::format("the divisor of an extent is {}; it has to be at least 1", divisor));
      return Value::extent(Dim::floordiv(dim(x, span, "the dividend"), divisor));
    }
    if (op == "==" && x.as<Dim>() && y.as<Dim>() && *x.as<Dim>() == *y.as<Dim>()) return {true};
    if (op == "==" || op == "!=" || op == "<" || op == ">" || op == "<=" || op == ">=")
      fail_at("not-a-condition", span,
              fmt::format("whether {} {} {} is not known at compile time", describe(x), op, describe(y)));
  }
  if (op == "@") return {Tensor{matmul(tensor(x, span), tensor(y, span), ex, ey, span)}};
  const std::optional<Op> known = tensor_op(op);
  MLPC_CHECK(known, "there is no operator {}", op);
  // A literal takes the other's type.
  const auto element = [&](const Value& v) {
    return v.as<Tensor>() ? std::optional(type(v.as<Tensor>()->id).element) : std::nullopt;
  };
  ValueId a = tensor(x, ex ? ex->span : span, element(y)), c = tensor(y, ey ? ey->span : span, element(x));
  std::vector<Note> notes;
  add_note(notes, ex);
  add_note(notes, ey);
  if (type(a).element != type(c).element)
    fail_at("type-mismatch", span, fmt::format("`{}` of {} and {}", op, type(a).text(), type(c).text()),
            notes, conversion_hint(*this, type(a).element, type(c).element, ex, ey));
  if (const auto* n = y.as<Number>(); op == "^" && n && n->is_integer && n->value >= 1 && n->value <= 4) {
    ValueId power = a;
    for (int i = 1; i < static_cast<int>(n->value); ++i) power = b().mul(power, a);
    return {Tensor{power}};
  }
  const Shape result = common_shape(type(a).shape, type(c).shape, [&] {
    if (notes.size() < 2 && current_scope) note_names_in(notes, *file, span, *current_scope);
    fail_at("shape-mismatch", span, fmt::format("`{}` of {} and {}", op, type(a).text(), type(c).text()),
            notes, mismatch_hint(type(a).shape, type(c).shape));
  });
  a = broadcast_to(a, result);
  c = broadcast_to(c, result);
  try {
    const ValueId result = b().value(*known, {a, c});
    return {Tensor{op == "//" ? b().value(Op::floor_, {result}) : result}};
  } catch (const Error& e) {
    fail_at("type-mismatch", span, fmt::format("`{}`: {}", op, e.what()), notes,
            ir::is_float(type(a).element)
                ? ""
                : fmt::format("convert it first: `{}(…)`", ir::name_of(program.element)));
  }
}

Value Elaborator::negate(const Value& a, Span span) {
  if (a.as<Poison>()) return a;
  if (const auto* n = a.as<Number>()) return {Number{-n->value, n->is_integer}};
  if (const auto* affine = a.as<Affine>()) return {*affine * -1};
  if (const auto* indexed = a.as<Indexed>()) return {Indexed{b().neg(indexed->id), indexed->axes}};
  return {Tensor{b().neg(tensor(a, span))}};
}

ValueId Elaborator::matmul(ValueId a, ValueId c, const Expr* ea, const Expr* ec, Span span) {
  const ir::Type ta = type(a), tc = type(c);
  std::vector<Note> notes;
  add_note(notes, ea);
  add_note(notes, ec);
  if (ta.rank() == 0 || tc.rank() == 0 || (tc.rank() > 2 && ta.rank() != tc.rank()))
    fail_at("rank-mismatch", span, fmt::format("`@` of {} and {}", ta.text(), tc.text()), notes);
  const Dim columns = ta.shape.back(), rows = tc.rank() == 1 ? tc.shape[0] : tc.shape[tc.rank() - 2];
  if (columns != rows)
    fail_at("matmul-extent-mismatch", span,
            fmt::format("`@` contracts {} columns with {} rows: {} @ {}", columns.text(), rows.text(),
                        ta.text(), tc.text()),
            notes);
  if (ta.element != tc.element)
    fail_at("type-mismatch", span, fmt::format("`@` of {} and {}", ta.text(), tc.text()), notes,
            conversion_hint(*this, ta.element, tc.element, ea, ec));
  // Letters: batch dims A, B, …; rows i, contracted k, columns j.
  std::string batch;
  for (std::size_t i = 0; i + 2 < ta.rank(); ++i) batch += static_cast<char>('A' + i);
  if (tc.rank() > 2 && !std::equal(ta.shape.begin(), ta.shape.end() - 2, tc.shape.begin()))
    fail_at("shape-mismatch", span, fmt::format("`@` of {} and {}", ta.text(), tc.text()), notes);
  const std::string left = batch + (ta.rank() == 1 ? "k" : "ik"),
                    right = (tc.rank() > 2 ? batch : "") + (tc.rank() == 1 ? "k" : "kj");
  const std::string result = batch + (ta.rank() == 1 ? "" : "i") + (tc.rank() == 1 ? "" : "j");
  const ValueId operands[] = {a, c};
  return b().einsum(fmt::format("{},{}->{}", left, right, result), operands);
}

ValueId Elaborator::reduce(Op op, ValueId x, const ir::Integers& axes) {
  if (axes.empty()) return x;
  if (type(x).element == ElementType::boolean && op == Op::reduce_sum_) x = b().convert(x, program.element);
  return b().value(op, {x}, {axes});
}

ValueId Elaborator::mean(ValueId x, const ir::Integers& axes, Span span) {
  Dim count = 1;
  for (std::int64_t axis : axes) count = count * type(x).shape[static_cast<std::size_t>(axis)];
  const ElementType element = type(x).element;
  if (!ir::is_float(element) && element != ElementType::boolean)
    fail_at("type-mismatch", span, fmt::format("the mean of {} would not be an integer", type(x).text()), {},
            fmt::format("convert it first: `{}(…)`", ir::name_of(program.element)));
  const ValueId total = reduce(Op::reduce_sum_, x, axes);
  const ValueId n = tensor(Value::extent(count), {}, type(total).element);
  return b().div(total, broadcast_to(n, type(total).shape));
}

Shape Elaborator::shape(const Value& v, Span span) {
  Shape out;
  const auto* list = v.as<List>();
  if (!list)
    fail_at("bad-shape", span,
            fmt::format("a shape has to be a list of extents, as [B, 10]; this is {}", describe(v)));
  for (const Value& item : list->items) {
    if (const auto* n = item.as<Number>(); n && n->value == -1)
      fail_at("bad-shape", span, "an extent is -1; extents cannot be negative", {},
              "write it out: none is worked out from the others");
    out.push_back(dim(item, span, "an extent"));
  }
  return out;
}

}  // namespace mlpc::frontend
