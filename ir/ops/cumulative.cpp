#include "ir/ops/cumulative.h"

#include <algorithm>
#include <cmath>

#include "ir/ops/common.h"

// Running values along an axis: each turn gives one, from the turn before and its own element. `reverse` runs
// from the last element to the first. Their derivatives are running values again, without a division, so that
// zeros and infinities stay where they are: all of them are linear recurrences.

namespace mlpc::ir::ops {
namespace {

constexpr AttributeSpec kAttributes[] = {{"axis", Kind::integer}, {"reverse", Kind::integer}};

std::size_t axis_of(const Attributes& a) { return static_cast<std::size_t>(std::get<std::int64_t>(a[0])); }
bool is_reverse(const Attributes& a) { return std::get<std::int64_t>(a[1]) != 0; }
Attributes reversed(const Attributes& a) { return {a[0], std::int64_t{is_reverse(a) ? 0 : 1}}; }

template <TypeRule elements>
std::vector<Type> running_type(Types x, const Attributes& a) {
  const std::int64_t axis = std::get<std::int64_t>(a[0]), reverse = std::get<std::int64_t>(a[1]);
  if (axis < 0 || axis >= static_cast<std::int64_t>(x[0].rank()))
    fail("axis {} of a tensor of rank {}", axis, x[0].rank());
  if (reverse != 0 && reverse != 1) fail("`reverse` is {}, not 0 or 1", reverse);
  return elements(x, a);
}

/// Calls f with the positions of the elements of each line along the axis, in the order of the turns.
template <typename F>
void for_each_line(const std::vector<std::int64_t>& shape, const Attributes& a, F f) {
  const std::size_t axis = axis_of(a);
  std::vector<std::int64_t> lines = shape;
  lines[axis] = std::min<std::int64_t>(lines[axis], 1);
  for_each_index(lines, [&](std::vector<std::int64_t> at) {
    std::vector<std::size_t> line;
    for (at[axis] = 0; at[axis] < shape[axis]; ++at[axis]) line.push_back(position(shape, at));
    if (is_reverse(a)) std::reverse(line.begin(), line.end());
    f(line);
  });
}

template <double (*F)(double, double), double start>
std::vector<HostTensor> running(const ReferenceContext& c, Operands x) {
  HostTensor out = *x[0];
  for_each_line(out.shape, c.attributes, [&](const std::vector<std::size_t>& line) {
    double value = start;
    for (std::size_t at : line)
      out.values[at] = value = wrapped(c.result_types[0].element, F(value, x[0]->values[at]));
  });
  return {std::move(out)};
}

ValueId recurrence(Builder& b, ValueId a, ValueId x, const Attributes& attributes) {
  return b.value(Op::recurrence_, {a, x}, attributes);
}

constexpr double kInfinity = HUGE_VAL;

}  // namespace

ValueId turn_before(Builder& b, ValueId x, std::size_t axis, bool reverse, double first) {
  const Type type = b.type(x);
  const ValueId moved = b.value(Op::previous_, {x}, {static_cast<std::int64_t>(axis), std::int64_t{reverse}});
  if (first == 0) return moved;
  const Dim turn = reverse ? type.shape[axis] - 1 : Dim(0);
  const ValueId number = b.value(Op::dim_, {}, {Shape{turn}, ElementType::i64});
  const ValueId turns =
      b.value(Op::iota_, {}, {type.shape, static_cast<std::int64_t>(axis), ElementType::i64});
  const ValueId is_first = b.compare(Op::eq_, turns, b.broadcast(number, type.shape, {}));
  return b.where(is_first, b.full(type, first), moved);
}

const OpDef cumsum_ = {
    .name = "cumsum",
    .summary = "the sum of the elements up to each one along the axis, itself included",
    .arity = 1,
    .attributes = kAttributes,
    .type_rule = running_type<same_number_type>,
    .derivative =
        Linear{1,
               [](Builder& b, const NodeView& n, std::size_t, std::span<const MaybeValue> y) -> MaybeValue {
                 return b.value(Op::cumsum_, {*y[0]}, reversed(n.attributes));
               }},
    .jacobian =
        [](const NodeView& n, std::size_t, std::span<const std::string>, std::string_view) {
          return std::string(is_reverse(n.attributes) ? "[i ≤ j]" : "[i ≥ j]");
        },
    .lowering = CumulativeLowering{0, [](KernelBuilder& b, Scalar so_far,
                                         std::span<const Scalar> x) { return b.add(so_far, x[0]); }},
    .reference = running<[](double a, double b) { return a + b; }, 0.0>};

/// ẏₜ = xₜ ẏₜ₋₁ + yₜ₋₁ ẋₜ
const OpDef cumprod_ = {
    .name = "cumprod",
    .summary = "the product of the elements up to each one along the axis, itself included",
    .arity = 1,
    .attributes = kAttributes,
    .type_rule = running_type<same_number_type>,
    .derivative = Jvp{[](Builder& b, const NodeView& n,
                         std::span<const MaybeValue> tangents) -> std::vector<MaybeValue> {
      const ValueId others = turn_before(b, n.result(), axis_of(n.attributes), is_reverse(n.attributes), 1);
      return {recurrence(b, n.operand(0), b.mul(others, *tangents[0]), n.attributes)};
    }},
    .jacobian =
        [](const NodeView& n, std::size_t, std::span<const std::string> x, std::string_view) {
          return fmt::format("[i {} j] Π of {} but its j", is_reverse(n.attributes) ? "≤" : "≥", x[0]);
        },
    .lowering = CumulativeLowering{1, [](KernelBuilder& b, Scalar so_far,
                                         std::span<const Scalar> x) { return b.mul(so_far, x[0]); }},
    .reference = running<[](double a, double b) { return a * b; }, 1.0>};

const OpDef previous_ = {
    .name = "previous",
    .summary = "of each element the one of the turn before along the axis; 0 in the first turn",
    .arity = 1,
    .attributes = kAttributes,
    .type_rule = running_type<same_number_type>,
    .derivative =
        Linear{1,
               [](Builder& b, const NodeView& n, std::size_t, std::span<const MaybeValue> y) -> MaybeValue {
                 return b.value(Op::previous_, {*y[0]}, reversed(n.attributes));
               }},
    .jacobian = [](const NodeView& n, std::size_t, std::span<const std::string>,
                   std::string_view) { return std::string(is_reverse(n.attributes) ? "Sᵀ" : "S"); },
    .lowering =
        CumulativeLowering{0, [](KernelBuilder&, Scalar, std::span<const Scalar> x) { return x[0]; }, true},
    .reference = [](const ReferenceContext& c, Operands x) -> std::vector<HostTensor> {
      HostTensor out = *x[0];
      for_each_line(out.shape, c.attributes, [&](const std::vector<std::size_t>& line) {
        for (std::size_t i = 0; i < line.size(); ++i)
          out.values[line[i]] = i == 0 ? 0 : x[0]->values[line[i - 1]];
      });
      return {std::move(out)};
    }};

/// ẏₜ = aₜ ẏₜ₋₁ + ȧₜ yₜ₋₁ + ḃₜ. In b it is linear: b̄ₜ = aₜ₊₁ b̄ₜ₊₁ + ȳₜ, the recurrence that runs the other
/// way.
const OpDef recurrence_ = {
    .name = "recurrence",
    .summary = "yₜ = aₜ yₜ₋₁ + bₜ along the axis, from 0 on, of operands a and b",
    .arity = 2,
    .attributes = kAttributes,
    .type_rule = running_type<same_float_type>,
    .derivative =
        Jvp{[](Builder& b, const NodeView& n,
               std::span<const MaybeValue> tangents) -> std::vector<MaybeValue> {
              MaybeValue input = tangents[1];
              if (tangents[0]) {
                const ValueId past =
                    turn_before(b, n.result(), axis_of(n.attributes), is_reverse(n.attributes), 0);
                const ValueId term = b.mul(past, *tangents[0]);
                input = input ? b.add(*input, term) : term;
              }
              return {recurrence(b, n.operand(0), *input, n.attributes)};
            },
            0b10,
            [](Builder& b, const NodeView& n, std::size_t, std::span<const MaybeValue> y) -> MaybeValue {
              const ValueId next =
                  turn_before(b, n.operand(0), axis_of(n.attributes), !is_reverse(n.attributes), 0);
              return recurrence(b, next, *y[0], reversed(n.attributes));
            }},
    .jacobian =
        [](const NodeView& n, std::size_t k, std::span<const std::string> x, std::string_view y) {
          const std::string inverse =
              fmt::format("(I - diag({}) S{})⁻¹", x[0], is_reverse(n.attributes) ? "ᵀ" : "");
          return k == 1 ? inverse
                        : fmt::format("{} diag(S{} {})", inverse, is_reverse(n.attributes) ? "ᵀ" : "", y);
        },
    .lowering = CumulativeLowering{0, [](KernelBuilder& b, Scalar so_far,
                                         std::span<const Scalar> x) { return b.fma(so_far, x[0], x[1]); }},
    .reference = [](const ReferenceContext& c, Operands x) -> std::vector<HostTensor> {
      HostTensor out = *x[0];
      for_each_line(out.shape, c.attributes, [&](const std::vector<std::size_t>& line) {
        double value = 0;
        for (std::size_t at : line) out.values[at] = value = x[0]->values[at] * value + x[1]->values[at];
      });
      return {std::move(out)};
    }};

namespace {

/// log(eᵃ + eᵇ) = m + log1p(e^-|a - b|) with m the greater; equal ones may both be infinite.
Scalar add_exponentials(KernelBuilder& k, Scalar a, std::span<const Scalar> x) {
  const Scalar b = x[0];
  const Scalar a_is_nan = k.compare(ScalarOp::ne_, a, a);
  const Scalar a_wins = k.binary(ScalarOp::or_, k.compare(ScalarOp::gt_, a, b), a_is_nan);
  const Scalar greater = k.select(a_wins, a, b);
  const Scalar sum = k.add(greater, k.log1p(k.exp(k.neg(k.abs(k.sub(a, b))))));
  const Scalar twice = k.add(a, k.constant(a.type, std::log(2.0)));
  return k.select(k.compare(ScalarOp::eq_, a, b), twice, sum);
}

/// ẏₜ = e^(yₜ₋₁ - yₜ) ẏₜ₋₁ + e^(xₜ - yₜ) ẋₜ: both weights are at most 1. Where y is infinite, 0 stands for
/// it, so that inf - inf is no NaN.
std::vector<MaybeValue> logcumsumexp_jvp(Builder& b, const NodeView& n,
                                         std::span<const MaybeValue> tangents) {
  const ValueId y = n.result();
  const ValueId past = turn_before(b, y, axis_of(n.attributes), is_reverse(n.attributes), -kInfinity);
  const ValueId shift = finite_or_zero(b, y);
  const ValueId weight = b.exp(b.sub(n.operand(0), shift));
  return {recurrence(b, b.exp(b.sub(past, shift)), b.mul(weight, *tangents[0]), n.attributes)};
}

}  // namespace

const OpDef logcumsumexp_ = {
    .name = "logcumsumexp",
    .summary = "log Σ eˣ of the elements up to each one along the axis, itself included",
    .arity = 1,
    .attributes = kAttributes,
    .type_rule = running_type<same_float_type>,
    .derivative = Jvp{logcumsumexp_jvp},
    .jacobian =
        [](const NodeView& n, std::size_t, std::span<const std::string> x, std::string_view y) {
          return fmt::format("[i {} j] exp({}ⱼ - {}ᵢ)", is_reverse(n.attributes) ? "≤" : "≥", x[0], y);
        },
    .lowering = CumulativeLowering{-kInfinity, add_exponentials},
    .reference = [](const ReferenceContext& c, Operands x) -> std::vector<HostTensor> {
      HostTensor out = *x[0];
      for_each_line(out.shape, c.attributes, [&](const std::vector<std::size_t>& line) {
        double greatest = -kInfinity;
        for (std::size_t end = 0; end < line.size(); ++end) {
          const double v = x[0]->values[line[end]];
          greatest = std::isnan(greatest) || greatest > v ? greatest : v;
          double sum = 0;
          for (std::size_t i = 0; i <= end; ++i) sum += std::exp(x[0]->values[line[i]] - greatest);
          out.values[line[end]] = std::isinf(greatest) ? greatest : greatest + std::log(sum);
        }
      });
      return {std::move(out)};
    }};

}  // namespace mlpc::ir::ops
