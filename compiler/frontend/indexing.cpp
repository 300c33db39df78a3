#include "compiler/frontend/expressions.h"
#include "compiler/frontend/index_notation.h"
#include "compiler/frontend/recurrence.h"

// What stands in brackets: parts of a tensor's axes, or of a list.

namespace mlpc::frontend {

using ir::Dim;
using ir::Shape;
using ir::ValueId;

namespace {

/// A position in a list, counted from the end where it is negative.
std::int64_t list_position(Elaborator& el, const Expr& e, Scope* scope, std::int64_t length) {
  const std::int64_t n = el.integer(el.eval(e, scope), e.span, "a position");
  const std::int64_t at = n < 0 ? n + length : n;
  if (at < 0 || at > length)
    el.fail_at("bad-index", e.span, fmt::format("position {} is outside a list of {}", n, length));
  return at;
}

/// items[0], items[-1], items[1:]
Value part_of_list(Elaborator& el, const List& list, const Expr& e, Scope* scope) {
  const auto length = static_cast<std::int64_t>(list.items.size());
  const Subscript& s = e.subscripts.front();
  if (e.subscripts.size() != 1 || s.step ||
      (s.kind != Subscript::Kind::index && s.kind != Subscript::Kind::slice))
    el.fail_at("bad-index", e.span, "a list has one axis, as in `items[0]` and `items[1:]`");
  if (s.kind == Subscript::Kind::index) {
    const std::int64_t at = list_position(el, *s.begin, scope, length);
    if (at == length)
      el.fail_at("bad-index", s.span, fmt::format("position {} is outside a list of {}", at, length));
    return list.items[static_cast<std::size_t>(at)];
  }
  const std::int64_t begin = s.begin ? list_position(el, *s.begin, scope, length) : 0;
  const std::int64_t end = s.end ? list_position(el, *s.end, scope, length) : length;
  if (end < begin)
    el.fail_at("bad-index", s.span, fmt::format("the part from {} to {} ends before it begins", begin, end));
  return {List{{list.items.begin() + begin, list.items.begin() + end}, list.weight}};
}

/// A position in an axis of extent n: a negative number counts from the end.
Dim position(Elaborator& el, const Expr& e, Scope* scope, const Dim& n) {
  const Value v = el.eval(e, scope);
  if (v.as<Poison>()) throw Failure{};
  if (const auto* d = v.as<Dim>()) return *d;
  if (v.as<Tensor>())
    el.fail_at("bad-index", e.span,
               fmt::format("a position has to be known at compile time; this is {}", el.describe(v)), {},
               "`gather(x, i)` takes the rows whose numbers a tensor holds");
  const std::int64_t at = el.integer(v, e.span, "a position");
  return at < 0 ? n + at : Dim(at);
}

/// What is taken of one axis: positions start, start + step, …
struct Part {
  Dim start = 0, extent = 0;
  std::int64_t step = 1;
};

Part one_position(Elaborator& el, const Subscript& s, Scope* scope, const Dim& n) {
  const Dim at = position(el, *s.begin, scope, n);
  using enum ir::DimCheck::Relation;
  if (!el.require(at_least, at, 0, s.span) || !el.require(at_least, n, at + 1, s.span))
    el.fail_at("bad-index", s.span,
               fmt::format("position {} is outside an axis of extent {}", at.text(), n.text()));
  return {at, 1, 1};
}

Part slice(Elaborator& el, const Subscript& s, Scope* scope, const Dim& n) {
  Part out;
  if (s.step) out.step = el.integer(el.eval(*s.step, scope), s.step->span, "the step of a slice");
  if (out.step < 1)
    el.fail_at("bad-index", s.step->span,
               fmt::format("the step of a slice is {}; it has to be at least 1", out.step), {},
               "`flip(x, axis = …)` reverses an axis");
  out.start = s.begin ? position(el, *s.begin, scope, n) : Dim(0);
  const Dim end = s.end ? position(el, *s.end, scope, n) : n;
  using enum ir::DimCheck::Relation;
  if (!el.require(at_least, out.start, 0, s.span) || !el.require(at_least, n, end, s.span) ||
      !el.require(at_least, end, out.start, s.span))
    el.fail_at("bad-index", s.span,
               fmt::format("the slice from {} to {} is not inside an axis of extent {}", out.start.text(),
                           end.text(), n.text()),
               {}, "slices are never cut to fit");
  const Dim count = end - out.start;
  out.extent = out.step == 1 ? count : Dim::ceildiv(count, out.step);
  return out;
}

}  // namespace

Value part_of_tensor(Elaborator& el, ValueId x, std::span<const Subscript* const> subscripts, const Expr& e,
                     Scope* scope) {
  const Shape from = el.type(x).shape;
  std::size_t named = 0;
  for (const Subscript* s : subscripts)
    named += s->kind != Subscript::Kind::ellipsis && s->kind != Subscript::Kind::new_axis;
  if (named > from.size())
    el.fail_at("bad-index", e.span,
               fmt::format("{} subscripts for the {} {} of {}", named, from.size(),
                           from.size() == 1 ? "axis" : "axes", el.type(x).text()));
  Shape start, extents, to;
  ir::Integers steps;
  const auto take = [&](const Part& part, bool is_kept) {
    start.push_back(part.start);
    extents.push_back(part.extent);
    steps.push_back(part.step);
    if (is_kept) to.push_back(part.extent);
  };
  const auto whole = [&] { take({0, from[start.size()], 1}, true); };
  bool has_ellipsis = false;
  for (const Subscript* s : subscripts) {
    switch (s->kind) {
      case Subscript::Kind::new_axis:
        to.push_back(1);
        break;
      case Subscript::Kind::all:
        whole();
        break;
      case Subscript::Kind::ellipsis:
        if (has_ellipsis) el.fail_at("bad-index", s->span, "`..` stands here a second time");
        has_ellipsis = true;
        for (std::size_t i = 0; i < from.size() - named; ++i) whole();
        break;
      case Subscript::Kind::index:
        take(one_position(el, *s, scope, from[start.size()]), false);
        break;
      case Subscript::Kind::slice:
        take(slice(el, *s, scope, from[start.size()]), true);
        break;
    }
  }
  while (start.size() < from.size()) whole();
  if (extents != from) x = el.b().slice(x, start, extents, steps);
  return {Tensor{to == el.type(x).shape ? x : el.b().reshape(x, to)}};
}

Value subscripted(Elaborator& el, const Expr& e, Scope* scope) {
  if (e.subscripts.empty()) el.fail_at("bad-index", e.span, "there is nothing in the brackets");
  if (std::optional<Value> v = at_time(el, e, scope)) return *v;
  if (std::optional<Value> v = at_indices(el, e)) return *v;
  const Value base = el.eval(*e.operands[0], scope);
  if (base.as<Poison>()) return base;
  if (const auto* list = base.as<List>()) return part_of_list(el, *list, e, scope);
  const Temporarily around(el.context, Elaborator::Piece{el.file, e.span});
  std::vector<const Subscript*> all;
  for (const Subscript& s : e.subscripts) all.push_back(&s);
  return part_of_tensor(el, el.tensor(base, e.operands[0]->span), all, e, scope);
}

}  // namespace mlpc::frontend
