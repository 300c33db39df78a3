#include "ir/ops/indexing.h"

#include <algorithm>

#include "ir/ops/common.h"

// Rows that integers name: reading them, adding to them, and the same as a matrix of zeros and ones.

namespace mlpc::ir::ops {
namespace {

constexpr AttributeSpec kScatterAttributes[] = {{"extent", Kind::shape}};
constexpr AttributeSpec kOneHotAttributes[] = {{"extent", Kind::shape}, {"type", Kind::element_type}};

void require_ids(const Type& type) {
  if (!is_integer(type.element)) fail("the ids are {}, no integers", type.text());
}

const Dim& extent_of(const Attributes& a) {
  const Shape& extent = std::get<Shape>(a[0]);
  if (extent.size() != 1) fail("`extent` has {} entries, not one", extent.size());
  if (surely_negative(extent[0])) fail("the extent is {}", extent[0].text());
  return extent[0];
}

std::vector<Type> gather_type(Types x, const Attributes&) {
  if (x[0].rank() == 0) fail("{} has no rows", x[0].text());
  require_ids(x[1]);
  Type result{x[0].element, x[1].shape};
  result.shape.insert(result.shape.end(), x[0].shape.begin() + 1, x[0].shape.end());
  return {result};
}

std::vector<Type> scatter_type(Types x, const Attributes& a) {
  require_ids(x[0]);
  require_number(x[1]);
  const Shape &ids = x[0].shape, &updates = x[1].shape;
  if (updates.size() < ids.size() || !std::equal(ids.begin(), ids.end(), updates.begin()))
    fail("the ids are {}, the rows {}", x[0].text(), x[1].text());
  Type result{x[1].element, {extent_of(a)}};
  result.shape.insert(result.shape.end(), updates.begin() + static_cast<std::ptrdiff_t>(ids.size()),
                      updates.end());
  return {result};
}

std::vector<Type> one_hot_type(Types x, const Attributes& a) {
  require_ids(x[0]);
  const Type result{std::get<ElementType>(a[1]), x[0].shape};
  require_number(result);
  Shape shape = result.shape;
  shape.push_back(extent_of(a));
  return {{result.element, shape}};
}

/// Calls f(row of the table, row of all ids' rows) for each id, in order; a table without rows has none.
template <typename F>
void for_each_row(const HostTensor& ids, std::int64_t rows, F f) {
  if (rows == 0) return;
  for (std::size_t i = 0; i < ids.values.size(); ++i)
    f(static_cast<std::size_t>(std::clamp<double>(ids.values[i], 0, static_cast<double>(rows - 1))), i);
}

std::vector<HostTensor> gather_reference(const ReferenceContext& c, Operands x) {
  const HostTensor &table = *x[0], &ids = *x[1];
  HostTensor out{c.result_shapes[0], std::vector<double>(element_count(c.result_shapes[0]), 0)};
  const std::size_t width = ids.values.empty() ? 0 : out.values.size() / ids.values.size();
  for_each_row(ids, table.shape[0], [&](std::size_t row, std::size_t i) {
    for (std::size_t j = 0; j < width; ++j) out.values[i * width + j] = table.values[row * width + j];
  });
  return {std::move(out)};
}

std::vector<HostTensor> scatter_reference(const ReferenceContext& c, Operands x) {
  const HostTensor &ids = *x[0], &updates = *x[1];
  HostTensor out{c.result_shapes[0], std::vector<double>(element_count(c.result_shapes[0]), 0)};
  const std::size_t width = ids.values.empty() ? 0 : updates.values.size() / ids.values.size();
  for_each_row(ids, out.shape[0], [&](std::size_t row, std::size_t i) {
    for (std::size_t j = 0; j < width; ++j) {
      double& sum = out.values[row * width + j];
      sum = wrapped(c.result_types[0].element, sum + updates.values[i * width + j]);
    }
  });
  return {std::move(out)};
}

}  // namespace

ValueId is_class(Builder& b, ValueId ids, const Shape& shape) {
  if (b.type(ids).element == ElementType::u8) ids = b.convert(ids, ElementType::i32);
  const std::size_t rank = shape.size() - 1;
  const ValueId classes =
      b.value(Op::iota_, {}, {shape, static_cast<std::int64_t>(rank), b.type(ids).element});
  return b.compare(Op::eq_, b.broadcast(ids, shape, first_axes(rank)), classes);
}

const OpDef gather_ = {
    .name = "gather",
    .summary = "the rows of a table that the ids name, clamped into it; zeros where it has no rows",
    .arity = 2,
    .type_rule = gather_type,
    .derivative =
        Linear{1,
               [](Builder& b, const NodeView& n, std::size_t, std::span<const MaybeValue> y) -> MaybeValue {
                 return b.scatter_add(n.operand(1), *y[0], n.operand_types[0].shape[0]);
               }},
    .jacobian = [](const NodeView&, std::size_t, std::span<const std::string> x,
                   std::string_view) { return fmt::format("rows({})", x[1]); },
    .lowering = LayoutLowering{},
    .reference = gather_reference};

const OpDef scatter_add_ = {
    .name = "scatter_add",
    .summary = "each row of the updates added to the row that its id names, clamped, in the order of the ids",
    .arity = 2,
    .attributes = kScatterAttributes,
    .type_rule = scatter_type,
    .derivative =
        Linear{2,
               [](Builder& b, const NodeView& n, std::size_t, std::span<const MaybeValue> y) -> MaybeValue {
                 return b.gather(*y[0], n.operand(0));
               }},
    .jacobian = [](const NodeView&, std::size_t, std::span<const std::string> x,
                   std::string_view) { return fmt::format("rows({})ᵀ", x[0]); },
    .lowering = ScatterLowering{},
    .reference = scatter_reference};

const OpDef one_hot_ = {
    .name = "one_hot",
    .summary = "1 at the class that is the id, else 0; zeros for an id that is no class",
    .arity = 1,
    .attributes = kOneHotAttributes,
    .type_rule = one_hot_type,
    .derivative = NotDifferentiable{},
    .lowering = CompositeLowering{[](Builder& b, const NodeView& n) -> std::vector<ValueId> {
      const Type& type = n.result_types[0];
      return {b.convert(is_class(b, n.operand(0), type.shape), type.element)};
    }},
    .reference = [](const ReferenceContext& c, Operands x) -> std::vector<HostTensor> {
      HostTensor out{c.result_shapes[0], {}};
      const std::int64_t classes = out.shape.back();
      for (double id : x[0]->values)
        for (std::int64_t i = 0; i < classes; ++i) out.values.push_back(id == static_cast<double>(i) ? 1 : 0);
      return {std::move(out)};
    }};

}  // namespace mlpc::ir::ops
