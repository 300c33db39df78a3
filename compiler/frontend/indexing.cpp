#include "compiler/frontend/expressions.h"

// What stands in brackets: parts of a tensor's axes, or of a list.

namespace mlpc::frontend {

using ir::Shape;
using ir::ValueId;

namespace {

/// A position in a list, counted from the end where it is negative.
std::int64_t list_position(Elaborator& el, const Expr& e, Scope* scope, std::int64_t length) {
  const std::int64_t n = el.integer(el.eval(e, scope), e.span, "a position");
  const std::int64_t at = n < 0 ? n + length : n;
  if (at < 0 || at > length)
    el.fail_at("bad-index", e.span, fmt::format("position {} of a list of {}", n, length));
  return at;
}

/// items[0], items[-1], items[1:]
Value part_of_list(Elaborator& el, const List& list, const Expr& e, Scope* scope) {
  const auto length = static_cast<std::int64_t>(list.items.size());
  const Subscript& s = e.subscripts.front();
  if (e.subscripts.size() != 1 || s.step ||
      (s.kind != Subscript::Kind::index && s.kind != Subscript::Kind::slice))
    el.fail_at("bad-index", e.span, "a list has one axis: items[0], items[1:]");
  if (s.kind == Subscript::Kind::index) {
    const std::int64_t at = list_position(el, *s.begin, scope, length);
    if (at == length) el.fail_at("bad-index", s.span, fmt::format("position {} of a list of {}", at, length));
    return list.items[static_cast<std::size_t>(at)];
  }
  const std::int64_t begin = s.begin ? list_position(el, *s.begin, scope, length) : 0;
  const std::int64_t end = s.end ? list_position(el, *s.end, scope, length) : length;
  if (end < begin) el.fail_at("bad-index", s.span, fmt::format("from {} to {}", begin, end));
  return {List{{list.items.begin() + begin, list.items.begin() + end}, list.weight}};
}

/// x[.., _], x[:, _, :]: whole axes and new ones.
Value part_of_tensor(Elaborator& el, const Value& base, const Expr& e) {
  const ValueId x = el.tensor(base, e.operands[0]->span);
  const Shape from = el.type(x).shape;
  std::size_t named = 0;
  for (const Subscript& s : e.subscripts)
    named += s.kind != Subscript::Kind::ellipsis && s.kind != Subscript::Kind::new_axis;
  if (named > from.size())
    el.fail_at("bad-index", e.span, fmt::format("{} axes are indexed, of {}", named, el.type(x).text()));
  Shape to;
  std::size_t axis = 0;
  bool has_ellipsis = false;
  for (const Subscript& s : e.subscripts) {
    switch (s.kind) {
      case Subscript::Kind::new_axis:
        to.push_back(1);
        break;
      case Subscript::Kind::all:
        to.push_back(from[axis++]);
        break;
      case Subscript::Kind::ellipsis:
        if (has_ellipsis) el.fail_at("bad-index", s.span, "`..` stands twice");
        has_ellipsis = true;
        for (std::size_t i = 0; i < from.size() - named; ++i) to.push_back(from[axis++]);
        break;
      case Subscript::Kind::index:
      case Subscript::Kind::slice:
        el.fail_at("not-supported-yet", s.span,
                   "parts of an axis are not supported yet: only `:`, `..` and `_`");
    }
  }
  while (axis < from.size()) to.push_back(from[axis++]);
  return {Tensor{el.b().reshape(x, to)}};
}

}  // namespace

Value subscripted(Elaborator& el, const Expr& e, Scope* scope) {
  const Value base = el.eval(*e.operands[0], scope);
  if (base.as<Poison>()) return base;
  if (e.subscripts.empty()) el.fail_at("bad-index", e.span, "there is nothing in the brackets");
  if (const auto* list = base.as<List>()) return part_of_list(el, *list, e, scope);
  return part_of_tensor(el, base, e);
}

}  // namespace mlpc::frontend
