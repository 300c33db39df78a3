#include <algorithm>
#include <cmath>
#include <limits>

#include "ir/ops/common.h"
#include "ir/ops/cumulative.h"

namespace mlpc::ir::ops {
namespace {

constexpr AttributeSpec kAxes[] = {{"axes", Kind::integers}};

const Integers& axes_of(const Attributes& attributes) { return std::get<Integers>(attributes[0]); }

bool is_reduced(const Integers& axes, std::size_t axis) {
  return std::ranges::find(axes, static_cast<std::int64_t>(axis)) != axes.end();
}

Shape kept_shape(const Shape& shape, const Integers& axes) {
  for (std::size_t i = 0; i < axes.size(); ++i)
    if (axes[i] < (i ? axes[i - 1] + 1 : 0) || axes[i] >= static_cast<std::int64_t>(shape.size()))
      fail("the axes to reduce are not ascending axes of a tensor of rank {}", shape.size());
  Shape kept;
  for (std::size_t axis = 0; axis < shape.size(); ++axis)
    if (!is_reduced(axes, axis)) kept.push_back(shape[axis]);
  return kept;
}

std::vector<Type> reduced_type(Types x, const Attributes& a) {
  return {{x[0].element, kept_shape(x[0].shape, axes_of(a))}};
}

std::vector<Type> reduced_number_type(Types x, const Attributes& a) {
  require_number(x[0]);
  return reduced_type(x, a);
}

std::vector<Type> reduced_float_type(Types x, const Attributes& a) {
  require_float(x[0]);
  return reduced_type(x, a);
}

std::vector<Type> reduced_bool_type(Types x, const Attributes& a) {
  if (x[0].element != ElementType::boolean) fail("the operand is {}, not bool", x[0].text());
  return reduced_type(x, a);
}

Integers kept_axes(std::size_t rank, const Integers& axes) {
  Integers kept;
  for (std::size_t axis = 0; axis < rank; ++axis)
    if (!is_reduced(axes, axis)) kept.push_back(static_cast<std::int64_t>(axis));
  return kept;
}

/// A value of the result's shape, repeated along the reduced axes.
ValueId spread(Builder& b, const NodeView& n, ValueId y) {
  const Type& type = n.operand_types[0];
  return b.broadcast(y, type.shape, kept_axes(type.rank(), axes_of(n.attributes)));
}

/// Folds f over the reduced axes, in row-major order. An empty fold is `start`.
template <typename F>
std::vector<HostTensor> fold(const Integers& axes, Operands x, double start, F f) {
  std::vector<std::int64_t> shape;
  for (std::size_t axis = 0; axis < x[0]->shape.size(); ++axis)
    if (!is_reduced(axes, axis)) shape.push_back(x[0]->shape[axis]);
  HostTensor out{shape, std::vector<double>(element_count(shape), start)};
  std::size_t i = 0;
  for_each_index(x[0]->shape, [&](const std::vector<std::int64_t>& index) {
    std::vector<std::int64_t> kept;
    for (std::size_t axis = 0; axis < index.size(); ++axis)
      if (!is_reduced(axes, axis)) kept.push_back(index[axis]);
    double& accumulator = out.values[position(shape, kept)];
    accumulator = f(accumulator, x[0]->values[i++]);
  });
  return {std::move(out)};
}

template <double (*F)(double, double), double start>
std::vector<HostTensor> fold_reference(const ReferenceContext& c, Operands x) {
  const ElementType type = c.result_types[0].element;
  return fold(axes_of(c.attributes), x, start, [&](double a, double v) { return wrapped(type, F(a, v)); });
}

double larger(double a, double b) { return std::isnan(a) || a > b ? a : b; }
double smaller(double a, double b) { return std::isnan(a) || a < b ? a : b; }

/// Equal extrema share the derivative evenly: ẏ = Σ [x = y] ẋ / count.
std::vector<MaybeValue> extremum_jvp(Builder& b, const NodeView& n, std::span<const MaybeValue> tangents) {
  const ValueId x = n.operand(0);
  const ValueId hit = b.convert(b.compare(Op::eq_, x, spread(b, n, n.result())), b.type(x).element);
  const ValueId count = b.reduce_sum(hit, axes_of(n.attributes));
  const ValueId share =
      b.mul(hit, spread(b, n, b.div(b.full_like(count, 1), count)));  // one division for all
  return {b.reduce_sum(b.mul(share, *tangents[0]), axes_of(n.attributes))};
}

std::string extremum_text(const NodeView&, std::size_t, std::span<const std::string> x, std::string_view y) {
  return fmt::format("({} == {})ᵀ / count", x[0], y);
}

constexpr double kInfinity = std::numeric_limits<double>::infinity();

}  // namespace

const OpDef reduce_sum_ = {
    .name = "reduce_sum",
    .summary = "the sum over axes; 0 over nothing",
    .arity = 1,
    .attributes = kAxes,
    .type_rule = reduced_number_type,
    .derivative = Linear{1,
                         [](Builder& b, const NodeView& n, std::size_t,
                            std::span<const MaybeValue> y) -> MaybeValue { return spread(b, n, *y[0]); }},
    .jacobian = [](const NodeView&, std::size_t, std::span<const std::string>,
                   std::string_view) { return std::string("1ᵀ"); },
    .lowering = ReductionLowering{Reducer::sum},
    .reference = fold_reference<[](double a, double b) { return a + b; }, 0.0>};

namespace {

/// The operand, or what has its shape, with the reduced axes as one, the last.
ValueId reduced_last(Builder& b, const NodeView& n, ValueId x) {
  const Integers& reduced = axes_of(n.attributes);
  const Shape shape = b.type(x).shape;
  Integers order = kept_axes(shape.size(), reduced);
  Shape flat;
  for (std::int64_t axis : order) flat.push_back(shape[static_cast<std::size_t>(axis)]);
  Dim count = 1;
  for (std::int64_t axis : reduced) count = count * shape[static_cast<std::size_t>(axis)];
  flat.push_back(count);
  order.insert(order.end(), reduced.begin(), reduced.end());
  return b.reshape(b.transpose(x, order), flat);
}

/// ẏ = Σⱼ ẋⱼ Π_{i≠j} xᵢ: the product of all others is that of those before times that of those behind.
std::vector<MaybeValue> product_jvp(Builder& b, const NodeView& n, std::span<const MaybeValue> tangents) {
  const ValueId x = reduced_last(b, n, n.operand(0));
  const auto last = static_cast<std::int64_t>(b.type(x).rank()) - 1;
  const auto others = [&](bool reverse) {
    const ValueId running = b.value(Op::cumprod_, {x}, {last, std::int64_t{reverse}});
    return turn_before(b, running, static_cast<std::size_t>(last), reverse, 1);
  };
  const ValueId partial = b.mul(others(false), others(true));
  return {b.reduce_sum(b.mul(partial, reduced_last(b, n, *tangents[0])), {last})};
}

}  // namespace

const OpDef reduce_prod_ = {
    .name = "reduce_prod",
    .summary = "the product over axes; 1 over nothing; its derivative divides by nothing, zeros are ordinary",
    .arity = 1,
    .attributes = kAxes,
    .type_rule = reduced_number_type,
    .derivative = Jvp{product_jvp},
    .jacobian = [](const NodeView&, std::size_t, std::span<const std::string> x,
                   std::string_view) { return fmt::format("(Π of {} but each)ᵀ", x[0]); },
    .lowering = ReductionLowering{Reducer::prod},
    .reference = fold_reference<[](double a, double b) { return a * b; }, 1.0>};

const OpDef reduce_max_ = {
    .name = "reduce_max",
    .summary = "the greatest over axes, of 0 and -0 either; NaN if one is; -inf over nothing; ties share evenly",
    .arity = 1,
    .attributes = kAxes,
    .type_rule = reduced_float_type,
    .derivative = Jvp{extremum_jvp},
    .jacobian = extremum_text,
    .lowering = ReductionLowering{Reducer::max},
    .reference = fold_reference<larger, -kInfinity>};

const OpDef reduce_min_ = {
    .name = "reduce_min",
    .summary = "the smallest over axes, of 0 and -0 either; NaN if one is; inf over nothing; ties share evenly",
    .arity = 1,
    .attributes = kAxes,
    .type_rule = reduced_float_type,
    .derivative = Jvp{extremum_jvp},
    .jacobian = extremum_text,
    .lowering = ReductionLowering{Reducer::min},
    .reference = fold_reference<smaller, kInfinity>};

const OpDef reduce_any_ = {.name = "reduce_any",
                           .summary = "whether one is true over axes; false over nothing",
                           .arity = 1,
                           .attributes = kAxes,
                           .type_rule = reduced_bool_type,
                           .derivative = NotDifferentiable{},
                           .lowering = ReductionLowering{Reducer::any},
                           .reference = fold_reference<larger, 0.0>};

const OpDef reduce_all_ = {.name = "reduce_all",
                           .summary = "whether all are true over axes; true over nothing",
                           .arity = 1,
                           .attributes = kAxes,
                           .type_rule = reduced_bool_type,
                           .derivative = NotDifferentiable{},
                           .lowering = ReductionLowering{Reducer::all},
                           .reference = fold_reference<smaller, 1.0>};

namespace {

constexpr AttributeSpec kAxis[] = {{"axis", Kind::integer}};

/// Position of the element along the axis that `beats` all before it; the first NaN beats all.
template <typename F>
std::vector<HostTensor> position_of(const ReferenceContext& c, const HostTensor& x, double start, F beats) {
  const auto axis = static_cast<std::size_t>(std::get<std::int64_t>(c.attributes[0]));
  HostTensor out{c.result_shapes[0], {}};
  for_each_index(out.shape, [&](const std::vector<std::int64_t>& index) {
    std::vector<std::int64_t> at = index;
    at.insert(at.begin() + static_cast<std::ptrdiff_t>(axis), 0);
    std::int64_t best = 0;
    double extremum = start;
    for (; at[axis] < x.shape[axis]; ++at[axis]) {
      const double v = x.values[position(x.shape, at)];
      if (std::isnan(extremum) || !(beats(v, extremum) || std::isnan(v))) continue;
      extremum = v;
      best = at[axis];
    }
    out.values.push_back(static_cast<double>(best));
  });
  return {std::move(out)};
}

std::vector<Type> position_type(Types x, const Attributes& a) {
  require_float(x[0]);
  return {{ElementType::i32, kept_shape(x[0].shape, {std::get<std::int64_t>(a[0])})}};
}

}  // namespace

const OpDef argmax_ = {
    .name = "argmax",
    .summary =
        "i32 position of the greatest along an axis; the first of equals, the first NaN, 0 over nothing",
    .arity = 1,
    .attributes = kAxis,
    .type_rule = position_type,
    .derivative = NotDifferentiable{},
    .lowering = ReductionLowering{Reducer::argmax},
    .reference = [](const ReferenceContext& c, Operands x) {
      return position_of(c, *x[0], -kInfinity, [](double v, double best) { return v > best; });
    }};

const OpDef argmin_ = {
    .name = "argmin",
    .summary =
        "i32 position of the smallest along an axis; the first of equals, the first NaN, 0 over nothing",
    .arity = 1,
    .attributes = kAxis,
    .type_rule = position_type,
    .derivative = NotDifferentiable{},
    .lowering = CompositeLowering{[](Builder& b, const NodeView& n) -> std::vector<ValueId> {
      return {b.value(Op::argmax_, {b.neg(n.operand(0))}, n.attributes)};
    }},
    .reference = [](const ReferenceContext& c, Operands x) {
      return position_of(c, *x[0], kInfinity, [](double v, double best) { return v < best; });
    }};

/// log Σ eˣ = m + log Σ eˣ⁻ᵐ with m = max x, so that nothing overflows; m = 0 where the maximum is infinite.
/// The weights of its derivative, eˣ⁻ʸ, are softmax's own values, so that these are there; 0 where y is -inf.
const OpDef logsumexp_ = {
    .name = "logsumexp",
    .summary = "log Σ eˣ over axes; -inf over nothing",
    .arity = 1,
    .attributes = kAxes,
    .type_rule = reduced_float_type,
    .derivative = Jvp{[](Builder& b, const NodeView& n,
                         std::span<const MaybeValue> tangents) -> std::vector<MaybeValue> {
      const ValueId y = n.result();
      const ValueId softmax = b.exp(b.sub(n.operand(0), spread(b, n, y)));
      const ValueId is_nothing = spread(b, n, b.compare(Op::eq_, y, b.full_like(y, -kInfinity)));
      const ValueId weights = b.where(is_nothing, b.full_like(softmax, 0), softmax);
      return {b.reduce_sum(b.mul(weights, *tangents[0]), axes_of(n.attributes))};
    }},
    .jacobian = [](const NodeView&, std::size_t, std::span<const std::string> x,
                   std::string_view) { return fmt::format("softmax({})ᵀ", x[0]); },
    .lowering = CompositeLowering{[](Builder& b, const NodeView& n) -> std::vector<ValueId> {
      const ValueId x = n.operand(0);
      const Integers& axes = axes_of(n.attributes);
      const ValueId shift = finite_or_zero(b, b.value(Op::reduce_max_, {x}, {axes}));
      const ValueId sum = b.reduce_sum(b.exp(b.sub(x, spread(b, n, shift))), axes);
      return {b.add(b.log(sum), shift)};
    }},
    .reference =
        [](const ReferenceContext& c, Operands x) {
          return fold(axes_of(c.attributes), x, -kInfinity, [](double a, double v) {
            const double m = larger(a, v), d = smaller(a, v);
            if (std::isnan(a) || std::isnan(v)) return a + v;
            return std::isinf(m) ? m : m + std::log1p(std::exp(d - m));
          });
        }};

}  // namespace mlpc::ir::ops
