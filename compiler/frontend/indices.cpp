#include "compiler/frontend/indices.h"

#include <algorithm>

#include "compiler/frontend/ast_walk.h"

namespace mlpc::frontend {

using ir::Dim;
using ir::ElementType;
using ir::Integers;
using ir::Op;
using ir::Shape;
using ir::ValueId;

std::optional<Affine> affine_of(const Value& v) {
  if (const auto* a = v.as<Affine>()) return *a;
  if (const auto* d = v.as<Dim>()) return Affine{{}, *d};
  const auto* n = v.as<Number>();
  if (!n || !n->is_integer) return std::nullopt;
  return Affine{{}, Dim(static_cast<std::int64_t>(n->value))};
}

Affine operator+(Affine a, const Affine& b) {
  for (const auto& [variable, coefficient] : b.terms) {
    const auto known = std::ranges::find(a.terms, variable, [](const auto& term) { return term.first; });
    if (known == a.terms.end())
      a.terms.emplace_back(variable, coefficient);
    else if ((known->second += coefficient) == 0)
      a.terms.erase(known);
  }
  a.constant = a.constant + b.constant;
  return a;
}

Affine operator*(Affine a, std::int64_t factor) {
  if (factor == 0) return {};
  for (auto& [variable, coefficient] : a.terms) coefficient *= factor;
  a.constant = a.constant * Dim(factor);
  return a;
}

bool is_indexed(const Value& v) {
  const auto is_free = [](const auto& term) { return !term.first->body; };
  const auto* a = v.as<Affine>();
  return v.as<Indexed>() || (a && std::ranges::any_of(a->terms, is_free));
}

namespace {

constexpr std::int64_t kLargestCoefficient = std::int64_t{1} << 31;

bool is_small(const Affine& a) {
  return std::ranges::all_of(a.terms, [](const auto& term) {
    return term.second > -kLargestCoefficient && term.second < kLargestCoefficient;
  });
}

/// a op b as an Affine again; nullopt where it is none.
std::optional<Value> linear(const std::string& op, const Value& a, const Value& b) {
  const std::optional<Affine> x = affine_of(a), y = affine_of(b);
  if (!x || !y || !is_small(*x) || !is_small(*y)) return std::nullopt;
  const auto value = [](Affine result) {
    return result.terms.empty() ? Value::extent(result.constant) : Value{std::move(result)};
  };
  if (op == "+") return value(*x + *y);
  if (op == "-") return value(*x + *y * -1);
  if (op != "*") return std::nullopt;
  const auto factor = [](const Affine& f) { return f.terms.empty() ? f.constant.constant() : std::nullopt; };
  if (const auto n = factor(*y); n && *n > -kLargestCoefficient && *n < kLargestCoefficient)
    return value(*x * *n);
  if (const auto n = factor(*x); n && *n > -kLargestCoefficient && *n < kLargestCoefficient)
    return value(*y * *n);
  return std::nullopt;
}

std::optional<ElementType> element_of(Elaborator& el, const Value& v) {
  if (const auto* t = v.as<Tensor>()) return el.type(t->id).element;
  if (const auto* i = v.as<Indexed>()) return el.type(i->id).element;
  return std::nullopt;
}

/// The number that an Affine is at each of its indices.
Indexed numbers(Elaborator& el, const Affine& a, ElementType type) {
  Indexed out{{}, {}};
  for (const auto& [variable, coefficient] : a.terms)
    if (!variable->body) out.axes.push_back(variable);
  const Shape shape = extents_of(out.axes);
  ir::Builder& b = el.b();
  const auto add = [&](ValueId v, const Integers& axes, std::int64_t coefficient) {
    const ValueId term = b.broadcast(v, shape, axes);
    out.id = b.add(out.id, b.mul(term, b.full(el.type(term), static_cast<double>(coefficient))));
  };
  out.id = b.broadcast(b.value(Op::dim_, {}, {Shape{a.constant}, type}), shape, {});
  for (const auto& [variable, coefficient] : a.terms) {
    if (variable->body) {
      add(b.convert(el.imported(variable->turn, variable->body), type), {}, coefficient);
      continue;
    }
    const auto axis = std::ranges::find(out.axes, variable) - out.axes.begin();
    add(b.value(Op::iota_, {}, {Shape{variable->extent}, std::int64_t{0}, type}), {axis}, coefficient);
  }
  return out;
}

}  // namespace

ValueId number_at(Elaborator& el, const Affine& a, Span span, ElementType type) {
  if (is_indexed({a}))
    el.fail_at("bad-index", span, "an index has a value only in the statement that it belongs to");
  return numbers(el, a, type).id;
}

IndexVariables indices_of(std::span<const Value> values) {
  IndexVariables out;
  const auto add = [&](const IndexVariable* v) {
    if (std::ranges::find(out, v) == out.end()) out.push_back(v);
  };
  for (const Value& v : values) {
    if (const auto* indexed = v.as<Indexed>()) std::ranges::for_each(indexed->axes, add);
    if (const auto* a = v.as<Affine>())
      for (const auto& [variable, coefficient] : a->terms)
        if (!variable->body) add(variable);
  }
  return out;
}

Shape extents_of(const IndexVariables& variables) {
  Shape out;
  for (const IndexVariable* v : variables) out.push_back(v->extent);
  return out;
}

Value spread(Elaborator& el, const Value& v, const IndexVariables& variables, Span span) {
  const auto* known = v.as<Indexed>();
  if (!known) {
    if (const auto* t = v.as<Tensor>(); t && el.type(t->id).rank() > 0)
      el.fail_at("bad-index", span,
                 fmt::format("in index notation a tensor is read at indices, as x[i, j]; this is all of {}",
                             el.describe(v)));
    return v;
  }
  Integers order, axes;  // the value's axes in the order of `variables`, and where they are there
  for (std::size_t axis = 0; axis < variables.size(); ++axis) {
    const auto found = std::ranges::find(known->axes, variables[axis]);
    if (found == known->axes.end()) continue;
    order.push_back(found - known->axes.begin());
    axes.push_back(static_cast<std::int64_t>(axis));
  }
  ValueId id = known->id;
  if (!std::ranges::is_sorted(order)) id = el.b().transpose(id, order);
  if (axes.size() < variables.size()) id = el.b().broadcast(id, extents_of(variables), axes);
  return {Tensor{id}};
}

std::optional<Value> index_binary(Elaborator& el, const std::string& op, const Value& a, const Value& b,
                                  const Expr* ea, const Expr* eb, Span span) {
  if (!a.as<Affine>() && !b.as<Affine>() && !is_indexed(a) && !is_indexed(b)) return std::nullopt;
  if (a.as<Poison>() || b.as<Poison>()) return Value{Poison{}};
  if (std::optional<Value> v = linear(op, a, b)) return v;
  // Numbers from here on, of the other operand's type.
  Value operands[] = {a, b};
  for (std::size_t k = 0; k < 2; ++k) {
    const auto* number = operands[k].as<Affine>();
    if (!number) continue;
    const ElementType type = element_of(el, operands[1 - k]).value_or(el.program.element);
    operands[k] = is_indexed(operands[k]) ? Value{numbers(el, *number, type)}
                                          : Value{Tensor{number_at(el, *number, span, type)}};
  }
  const IndexVariables variables = indices_of(operands);
  if (variables.empty()) return el.binary(op, operands[0], operands[1], ea, eb, span);
  const Value result = el.binary(op, spread(el, operands[0], variables, ea ? ea->span : span),
                                 spread(el, operands[1], variables, eb ? eb->span : span), ea, eb, span);
  return Value{Indexed{el.tensor(result, span), variables}};
}

const IndexVariable* index_named_in(const Expr& e, Scope& scope) {
  const IndexVariable* out = nullptr;
  for_each_expression(e, [&](const Expr& part) {
    const Binding* binding = part.kind == Expr::Kind::name && !out ? scope.find(part.text) : nullptr;
    const auto* a = binding ? binding->value.as<Affine>() : nullptr;
    if (a && !a->terms.empty()) out = a->terms.front().first;
  });
  return out;
}

}  // namespace mlpc::frontend
