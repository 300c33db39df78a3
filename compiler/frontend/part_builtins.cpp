#include <algorithm>

#include "compiler/frontend/arguments.h"
#include "ir/error.h"

// Parts of tensors, and tensors made of parts.

namespace mlpc::frontend {

using ir::Dim;
using ir::ElementType;
using ir::Integers;
using ir::Op;
using ir::Shape;
using ir::ValueId;

namespace {

/// Tensors of one type and rank: the positional arguments, or the items of the one list.
std::vector<ValueId> tensors(Elaborator& el, Arguments& a) {
  std::vector<Value> values;
  Span span = a.span();
  const std::size_t count = a.positional();
  for (std::size_t i = 0; i < count; ++i) {
    const Call::Item& item = a.need(i, "x");
    const auto* list = item.value.as<List>();
    if (list && count == 1) values = list->items;
    if (!list || count > 1) values.push_back(item.value);
    span = item.span;
  }
  if (values.empty())
    el.fail_at("missing-argument", a.span(), fmt::format("`{}` has no tensors to join", a.name()));
  std::vector<ValueId> out;
  std::optional<ElementType> element;
  for (const Value& v : values)
    if (const auto* t = v.as<Tensor>()) element = el.type(t->id).element;
  for (const Value& v : values) out.push_back(el.tensor(v, span, element));
  return out;
}

[[noreturn]] void refuse_join(Elaborator& el, Arguments& a, ValueId x, ValueId y) {
  const DiagnosticId id = el.type(x).element == el.type(y).element ? DiagnosticId("shape-mismatch")
                                                                   : DiagnosticId("type-mismatch");
  const std::string hint = a.name() == "stack"
                               ? "all parts have the same shape and type"
                               : "the parts may differ only in the extent of the axis that joins them";
  el.fail_at(id, a.span(), fmt::format("`{}` of {} and {}", a.name(), el.type(x).text(), el.type(y).text()),
             {}, hint);
}

Value joined(Elaborator& el, Arguments& a, const std::vector<ValueId>& parts, std::size_t axis) {
  const ir::Type first = el.type(parts[0]);
  for (ValueId part : parts) {
    ir::Type other = el.type(part);
    if (other.rank() != first.rank()) refuse_join(el, a, parts[0], part);
    other.shape[axis] = first.shape[axis];
    if (other != first) refuse_join(el, a, parts[0], part);
  }
  if (parts.size() == 1) return {Tensor{parts[0]}};
  return {Tensor{ir::Graph::result(
      el.target->graph.node(el.b().make(Op::concat_, parts, {static_cast<std::int64_t>(axis)})))}};
}

/// concat(a, b, …): one behind the other along an axis.
Value concat(Elaborator& el, Arguments& a) {
  const std::vector<ValueId> parts = tensors(el, a);
  return joined(el, a, parts, one_axis(el, a, el.type(parts[0]).rank()));
}

/// stack(a, b, …): beside each other, along a new axis.
Value stack(Elaborator& el, Arguments& a) {
  std::vector<ValueId> parts = tensors(el, a);
  const ir::Type type = el.type(parts[0]);
  const std::size_t axis = one_axis(el, a, type.rank() + 1);
  for (ValueId part : parts)
    if (el.type(part) != type) refuse_join(el, a, parts[0], part);
  Shape shape = type.shape;
  shape.insert(shape.begin() + static_cast<std::ptrdiff_t>(axis), 1);
  for (ValueId& part : parts) part = el.b().reshape(part, shape);
  return joined(el, a, parts, axis);
}

/// The extents of the parts that `split(x, 3)` or `split(x, [2, n])` makes of an axis.
std::vector<Dim> split_extents(Elaborator& el, const Call::Item& into, const Dim& n) {
  using enum ir::DimCheck::Relation;
  if (const auto* list = into.value.as<List>()) {
    std::vector<Dim> out;
    Dim total;
    for (const Value& v : list->items) {
      out.push_back(el.dim(v, into.span, "an extent"));
      total = total + out.back();
    }
    if (!el.require(equal, total, n, into.span))
      el.fail_at("bad-shape", into.span,
                 fmt::format("the parts have {} together, and the axis has {}", total.text(), n.text()));
    return out;
  }
  const std::int64_t count = el.integer(into.value, into.span, "the number of parts");
  constexpr std::int64_t kMostParts = 4096;
  if (count < 1 || count > kMostParts)
    el.fail_at("bad-value", into.span,
               fmt::format("the number of parts is {}; it has to be from 1 to {}", count, kMostParts));
  const Dim extent = Dim::floordiv(n, count);
  if (!el.require(equal, extent * Dim(count), n, into.span))
    el.fail_at("bad-shape", into.span,
               fmt::format("an axis of extent {} cannot be split into {} equal parts", n.text(), count));
  return std::vector<Dim>(static_cast<std::size_t>(count), extent);
}

/// split(x, n): n equal parts of an axis; split(x, [a, b]): parts of these extents.
Value split(Elaborator& el, Arguments& a) {
  const ValueId x = a.tensor(0, "x");
  const Call::Item& into = a.need(1, "parts");
  const std::size_t axis = one_axis(el, a, el.type(x).rank());
  Shape start(el.type(x).rank()), extents = el.type(x).shape;
  List out;
  for (const Dim& extent : split_extents(el, into, extents[axis])) {
    extents[axis] = extent;
    out.items.push_back({Tensor{el.b().slice(x, start, extents, Integers(extents.size(), 1))}});
    start[axis] = start[axis] + extent;
  }
  out.weight += out.items.size();
  return {std::move(out)};
}

/// pad(x, [[before, after], …]): zeros around, for each axis.
Value pad(Elaborator& el, Arguments& a) {
  const ValueId x = a.tensor(0, "x");
  const Call::Item& widths = a.need(1, "widths");
  const auto* axes = widths.value.as<List>();
  const std::size_t rank = el.type(x).rank();
  if (!axes || axes->items.size() != rank)
    el.fail_at("bad-shape", widths.span,
               fmt::format("`pad` of {} takes {} pairs, [[before, after], …]; this is {}", el.type(x).text(),
                           rank, el.describe(widths.value)));
  Shape before, after;
  for (const Value& pair : axes->items) {
    const auto* both = pair.as<List>();
    if (!both || both->items.size() != 2)
      el.fail_at("bad-shape", widths.span, "`pad` takes a pair for each axis, [before, after]");
    before.push_back(el.dim(both->items[0], widths.span, "the width before"));
    after.push_back(el.dim(both->items[1], widths.span, "the width after"));
  }
  const auto is_none = [](const Dim& width) { return width == Dim(0); };
  if (std::ranges::all_of(before, is_none) && std::ranges::all_of(after, is_none)) return {Tensor{x}};
  return {Tensor{el.b().pad(x, before, after)}};
}

/// flip(x, axis = 1)
Value flip(Elaborator& el, Arguments& a) {
  const ValueId x = a.tensor(0, "x");
  const Call::Item* axis = a.named("axis");
  if (!axis)
    el.fail_at("missing-argument", a.span(), "`flip` needs the axis that it reverses", {},
               "write `flip(x, axis = 1)`");
  Integers all;
  if (const auto* list = axis->value.as<List>())
    for (const Value& v : list->items) all.push_back(checked_axis(el, v, axis->span, el.type(x).rank()));
  else
    all.push_back(checked_axis(el, axis->value, axis->span, el.type(x).rank()));
  std::ranges::sort(all);
  if (std::ranges::adjacent_find(all) != all.end())
    el.fail_at("bad-axis", axis->span, "an axis is given twice");
  return {Tensor{el.b().flip(x, all)}};
}

/// gather(E, i): the rows of E that i names.
Value gather(Elaborator& el, Arguments& a) {
  const Call::Item &table = a.need(0, "E"), &index = a.need(1, "i");
  const ValueId rows = el.tensor(table.value, table.span);
  ValueId i = el.tensor(index.value, index.span, ElementType::i32);
  if (el.type(rows).rank() == 0)
    el.fail_at("rank-mismatch", table.span,
               fmt::format("`gather` takes rows; {} has none", el.type(rows).text()));
  if (!ir::is_integer(el.type(i).element))
    el.fail_at("type-mismatch", index.span,
               fmt::format("an index has to be an integer; this is {}", el.describe(index.value)), {},
               "integers are declared as such: `input w[B, T] : i32`");
  if (const auto n = el.type(rows).shape[0].constant()) note_bound(el, i, *n);
  if (el.type(i).element == ElementType::u8) i = el.b().convert(i, ElementType::i32);
  return {Tensor{el.b().gather(rows, i)}};
}

/// cumsum(x): running sums along an axis, each with its own element.
Value cumsum(Elaborator& el, Arguments& a) {
  const ValueId x = a.tensor(0, "x");
  const auto axis = static_cast<std::int64_t>(one_axis(el, a, el.type(x).rank()));
  return {Tensor{el.b().value(Op::cumsum_, {x}, {axis, std::int64_t{0}})}};
}

/// windows(x, 3, axis = 2, stride = 2, dilation = 1): the axis as two, positions and the places in each
/// window.
Value windows(Elaborator& el, Arguments& a) {
  const ValueId x = a.tensor(0, "x");
  const Call::Item& size = a.need(1, "size");
  const auto number = [&](std::string_view name, std::int64_t otherwise) {
    const Call::Item* item = a.named(name);
    if (!item) return otherwise;
    const std::int64_t n = el.integer(item->value, item->span, fmt::format("`{}`", name));
    if (n < 1)
      el.fail_at("bad-value", item->span, fmt::format("`{}` is {}; it has to be at least 1", name, n));
    return n;
  };
  const std::size_t axis = one_axis(el, a, el.type(x).rank());
  const std::int64_t k = el.integer(size.value, size.span, "the size of a window"),
                     stride = number("stride", 1), dilation = number("dilation", 1);
  const Dim n = el.type(x).shape[axis];
  if (k < 1)
    el.fail_at("bad-value", size.span, fmt::format("the size of a window is {}; it has to be at least 1", k));
  const Dim room = n - Dim(dilation) * Dim(k - 1) - 1;
  if (!el.require(ir::DimCheck::Relation::at_least, room, 0, size.span))
    el.fail_at("bad-shape", size.span,
               fmt::format("a window over {} elements does not fit into an axis of extent {}",
                           (n - room).text(), n.text()));
  return {Tensor{el.b().window(x, axis, {Dim::floordiv(room, stride) + 1, k}, stride, dilation)}};
}

}  // namespace

const Rules& part_rules() {
  static const Rules table = {{"concat", concat}, {"stack", stack},    {"split", split},
                              {"pad", pad},       {"flip", flip},      {"gather", gather},
                              {"cumsum", cumsum}, {"windows", windows}};
  return table;
}

}  // namespace mlpc::frontend
