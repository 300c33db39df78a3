#include <algorithm>

#include "compiler/frontend/arguments.h"
#include "compiler/frontend/rearrange.h"
#include "ir/error.h"

// Axes: their order, their extents, and parts of them.

namespace mlpc::frontend {

using ir::Dim;
using ir::Integers;
using ir::Op;
using ir::Shape;
using ir::ValueId;

std::int64_t checked_axis(Elaborator& el, const Value& v, Span span, std::size_t rank) {
  const std::int64_t axis = el.integer(v, span, "an axis"), n = static_cast<std::int64_t>(rank);
  const std::string all = rank == 0   ? "no axes"
                          : rank == 1 ? "axis 0 only"
                          : rank == 2 ? "axes 0 and 1"
                                      : fmt::format("axes 0 to {}", rank - 1);
  if (axis < -n || axis >= n)
    el.fail_at("bad-axis", span, fmt::format("there is no axis {}: the tensor has {}", axis, all));
  return axis < 0 ? axis + n : axis;
}

/// `axis = 1`, `axis = [0, -1]`, or all of them; `last` where none means the last.
Integers axes(Elaborator& el, Arguments& a, ValueId x, bool last) {
  const std::size_t rank = el.type(x).rank();
  const Call::Item* item = a.named("axis");
  Integers out;
  if (!item) {
    if (last && rank == 0)
      el.fail_at("bad-axis", a.span(),
                 fmt::format("`{}` is over the last axis, and a tensor of rank 0 has none", a.name()));
    for (std::size_t axis = last ? rank - 1 : 0; axis < rank; ++axis)
      out.push_back(static_cast<std::int64_t>(axis));
    return out;
  }
  if (const auto* list = item->value.as<List>())
    for (const Value& v : list->items) out.push_back(checked_axis(el, v, item->span, rank));
  else
    out.push_back(checked_axis(el, item->value, item->span, rank));
  std::ranges::sort(out);
  if (std::ranges::adjacent_find(out) != out.end())
    el.fail_at("bad-axis", item->span, "an axis is given twice");
  return out;
}

std::size_t one_axis(Elaborator& el, Arguments& a, std::size_t rank) {
  const Call::Item* axis = a.named("axis");
  if (!axis && rank == 0)
    el.fail_at("bad-axis", a.span(),
               fmt::format("`{}` is over the last axis, and a tensor of rank 0 has none", a.name()));
  return axis ? static_cast<std::size_t>(checked_axis(el, axis->value, axis->span, rank)) : rank - 1;
}

namespace {

Value reshape(Elaborator& el, Arguments& a) {
  const ValueId x = a.tensor(0, "x");
  const Call::Item& to = a.need(1, "shape");
  const Shape shape = el.shape(to.value, to.span);
  const ir::Type result{el.type(x).element, shape};
  const Dim from_count = el.type(x).element_count(), to_count = result.element_count();
  if (from_count != to_count)
    el.fail_at("bad-reshape", to.span,
               fmt::format("{} has {} elements, and the new shape has {}", el.type(x).text(),
                           from_count.text(), to_count.text()));
  return {Tensor{el.b().reshape(x, shape)}};
}

Value transpose(Elaborator& el, Arguments& a) {
  const ValueId x = a.tensor(0, "x");
  const std::size_t rank = el.type(x).rank();
  if (rank < 2)
    el.fail_at("rank-mismatch", a.span(),
               fmt::format("`transpose` swaps the last two axes; this is {}", el.type(x).text()));
  Integers permutation(rank);
  for (std::size_t i = 0; i < rank; ++i) permutation[i] = static_cast<std::int64_t>(i);
  std::swap(permutation[rank - 1], permutation[rank - 2]);
  return {Tensor{el.b().transpose(x, permutation)}};
}

Value einsum(Elaborator& el, Arguments& a) {
  const Call::Item& spec = a.need(0, "spec");
  const auto* text = spec.value.as<std::string>();
  if (!text)
    el.fail_at(
        "bad-value", spec.span,
        fmt::format("the first argument of `einsum` is a pattern in quotes, as \"bik,kj->bij\"; this is {}",
                    el.describe(spec.value)));
  std::vector<ValueId> operands;
  for (std::size_t i = 1; i < a.positional(); ++i) operands.push_back(a.tensor(i, "operand"));
  return {Tensor{el.b().einsum(*text, operands)}};
}

/// rearrange(x, "b t (h d) -> b h t d", h = heads)
Value rearrange(Elaborator& el, Arguments& a) {
  const ValueId x = a.tensor(0, "x");
  const Call::Item& pattern = a.need(1, "pattern");
  const auto* text = pattern.value.as<std::string>();
  if (!text)
    el.fail_at(
        "bad-value", pattern.span,
        fmt::format(
            "the second argument of `rearrange` is a pattern in quotes, as \"b t d -> b d t\"; this is {}",
            el.describe(pattern.value)));
  const AxisPattern parsed = parse_pattern(el, *text, pattern.span);
  std::map<std::string, Dim> extents;
  for (const auto& group : parsed.from)
    for (const std::string& name : group)
      if (const Call::Item* given = a.named(name))
        extents.emplace(name, el.dim(given->value, given->span, fmt::format("`{}`", name)));
  return {Tensor{rearranged(el, x, parsed, extents, a.span())}};
}

}  // namespace

const Rules& layout_rules() {
  static const Rules table = {
      {"reshape", reshape}, {"transpose", transpose}, {"einsum", einsum}, {"rearrange", rearrange}};
  return table;
}

}  // namespace mlpc::frontend
