#include <array>
#include <cmath>
#include <numbers>

#include "ir/ops/common.h"

// Elementwise functions that the target has no instruction for and that are no series of their own: remainder
// and rounding, integer powers, the angle of a point.

namespace mlpc::ir::ops {
namespace {

constexpr std::uint32_t kBoth = 3;

/// From this magnitude on a float has no fraction: 2^23 or 2^52.
Scalar first_without_fraction(KernelBuilder& b, ElementType type) {
  return b.constant(type, type == ElementType::f32 ? 0x1p23 : 0x1p52);
}

Scalar is_less(KernelBuilder& b, Scalar x, Scalar y) { return b.compare(ScalarOp::lt_, x, y); }
Scalar is_nan(KernelBuilder& b, Scalar x) { return b.compare(ScalarOp::ne_, x, x); }
Scalar both(KernelBuilder& b, Scalar x, Scalar y) { return b.binary(ScalarOp::and_, x, y); }
Scalar either(KernelBuilder& b, Scalar x, Scalar y) { return b.binary(ScalarOp::or_, x, y); }
/// Whether 0 lies between x and y.
Scalar are_opposite(KernelBuilder& b, Scalar x, Scalar y) {
  const Scalar zero = b.constant(x.type, 0);
  return either(b, both(b, is_less(b, x, zero), is_less(b, zero, y)),
                both(b, is_less(b, zero, x), is_less(b, y, zero)));
}

}  // namespace

/// |x| + 2^52 has no room for a fraction, so the addition itself rounds, and ties go to even.
const OpDef round_ = {
    .name = "round",
    .summary = "the nearest integer, at a tie the even one; derivative 0",
    .arity = 1,
    .type_rule = same_float_type,
    .derivative = NotDifferentiable{},
    .lowering = ElementwiseLowering{[](KernelBuilder& b, const NodeView&, std::span<const Scalar> x) {
      const Scalar large = first_without_fraction(b, x[0].type), magnitude = b.abs(x[0]);
      const Scalar rounded = b.binary(ScalarOp::copysign_, b.sub(b.add(magnitude, large), large), x[0]);
      return b.select(is_less(b, magnitude, large), rounded, x[0]);
    }},
    .reference = map_unary<std::nearbyint>};

namespace {

/// a - b ⌊a/b⌋ where b is finite: in one rounding, once more by b where the quotient was rounded up to an
/// integer, with the sign of b where it is 0. a/b without a fraction leaves nothing.
Scalar emit_remainder(KernelBuilder& k, Scalar a, Scalar b) {
  const Scalar zero = k.constant(a.type, 0);
  const Scalar quotient = k.div(a, b);
  const Scalar rest = k.fma(k.neg(k.unary(ScalarOp::floor_, quotient)), b, a);
  const Scalar on_side = k.select(are_opposite(k, rest, b), k.add(rest, b), rest);
  const Scalar is_nothing = either(k, k.compare(ScalarOp::eq_, on_side, zero),
                                   both(k, is_less(k, first_without_fraction(k, a.type), k.abs(quotient)),
                                        is_less(k, k.abs(a), k.constant(a.type, HUGE_VAL))));
  return k.select(both(k, is_nothing, k.compare(ScalarOp::ne_, b, zero)),
                  k.binary(ScalarOp::copysign_, zero, b), on_side);
}

/// b = ±∞: a itself on b's side of 0, else b.
Scalar emit_float_mod(KernelBuilder& k, Scalar a, Scalar b) {
  const Scalar infinity = k.constant(a.type, HUGE_VAL);
  const Scalar is_unbounded =
      both(k, k.compare(ScalarOp::eq_, k.abs(b), infinity), is_less(k, k.abs(a), infinity));
  const Scalar signed_a = k.binary(ScalarOp::copysign_, a, b);
  return k.select(is_unbounded, k.select(are_opposite(k, a, b), b, signed_a), emit_remainder(k, a, b));
}

Scalar emit_integer_mod(KernelBuilder& k, Scalar a, Scalar b) {
  const Scalar rest = k.sub(a, k.mul(k.div(a, b), b));
  return k.select(are_opposite(k, rest, b), k.add(rest, b), rest);
}

/// By C's remainder, which is exact and has the sign of a.
double float_mod(double a, double b) {
  // What the rounded quotient cannot tell apart from an integer.
  if (std::isfinite(a) && std::isfinite(b) && b != 0 && std::abs(a / b) > 0x1p52) return std::copysign(0, b);
  const double rest = std::fmod(a, b);
  if (rest == 0) return std::copysign(0, b);
  return (rest < 0) != (b < 0) && !std::isnan(rest) ? rest + b : rest;
}

double integer_mod(double a, double b) { return b == 0 ? a : a - b * std::floor(a / b); }

}  // namespace

const OpDef mod_ = {
    .name = "mod",
    .summary =
        "a - b ⌊a/b⌋, of the sign of b; by ±inf a where that has b's sign, else b; by 0 NaN, of integers "
        "a; 0 where a/b is too large to have a fraction",
    .arity = 2,
    .type_rule = same_number_type,
    .derivative = Pointwise{kBoth,
                            [](Builder& b, const NodeView& n, std::size_t k) {
                              if (k == 0) return b.full(n.operand_types[0], 1);
                              return b.neg(b.value(Op::floor_, {b.div(n.operand(0), n.operand(1))}));
                            },
                            0b10},
    .jacobian =
        [](const NodeView&, std::size_t k, std::span<const std::string> x, std::string_view) {
          return k == 0 ? std::string("I") : fmt::format("diag(-⌊{} / {}⌋)", x[0], x[1]);
        },
    .lowering = ElementwiseLowering{[](KernelBuilder& b, const NodeView&, std::span<const Scalar> x) {
      return is_float(x[0].type) ? emit_float_mod(b, x[0], x[1]) : emit_integer_mod(b, x[0], x[1]);
    }},
    .is_dear = true,
    .reference =
        [](const ReferenceContext& c, Operands x) {
          const ElementType type = c.result_types[0].element;
          return map_elements(x, [&](std::size_t i) {
            const double a = x[0]->values[i], b = x[1]->values[i];
            return is_float(type) ? float_mod(a, b) : wrapped(type, integer_mod(a, b));
          });
        }};

namespace {

constexpr AttributeSpec kExponent[] = {{"exponent", Kind::integer}};
constexpr std::int64_t kMostExponent = std::int64_t{1} << 32;

std::int64_t exponent_of(const Attributes& a) { return std::get<std::int64_t>(a[0]); }

/// xⁿ, with the powers that need no op written without it, so that derivatives of polynomials end.
ValueId power(Builder& b, ValueId x, std::int64_t n) {
  if (n == 0) return b.full_like(x, 1);
  return n == 1 ? x : b.value(Op::ipow_, {x}, {n});
}

/// ẏ = n xⁿ⁻¹ ẋ, which for n = 0 is 0, and for n < 0 can be infinite: there 0 absorbs.
std::vector<MaybeValue> ipow_jvp(Builder& b, const NodeView& n, std::span<const MaybeValue> tangents) {
  const std::int64_t exponent = exponent_of(n.attributes);
  if (exponent == 0) return {std::nullopt};
  const ValueId x = n.operand(0);
  const ValueId factor = b.full_like(x, static_cast<double>(exponent));
  const ValueId partial = b.mul(factor, power(b, x, exponent - 1));
  return {exponent < 0 ? b.scale(partial, *tangents[0]) : b.mul(partial, *tangents[0])};
}

}  // namespace

/// By squaring: at most 2 log₂|n| products, whose roundings add up to about |n| units in the last place.
const OpDef ipow_ = {
    .name = "ipow",
    .summary = "x to an integer power, by products; 1 for exponent 0 whatever x is",
    .arity = 1,
    .attributes = kExponent,
    .type_rule = [](Types x, const Attributes& a) -> std::vector<Type> {
      if (std::abs(exponent_of(a) / 2) > kMostExponent / 2)
        fail("the exponent {} is too large", exponent_of(a));
      return same_float_type(x, a);
    },
    .derivative = Jvp{ipow_jvp},
    .jacobian =
        [](const NodeView& n, std::size_t, std::span<const std::string> x, std::string_view) {
          const std::int64_t exponent = exponent_of(n.attributes);
          return fmt::format("diag({} {}^{})", exponent, x[0], exponent - 1);
        },
    .lowering = ElementwiseLowering{[](KernelBuilder& b, const NodeView& n, std::span<const Scalar> x) {
      const std::int64_t exponent = exponent_of(n.attributes);
      const Scalar one = b.constant(x[0].type, 1);
      std::optional<Scalar> product;
      Scalar square = x[0];
      for (std::int64_t rest = std::abs(exponent); rest > 0; rest /= 2) {
        if (rest % 2 == 1) product = product ? b.mul(*product, square) : square;
        if (rest > 1) square = b.mul(square, square);
      }
      if (!product) return one;
      return exponent < 0 ? b.div(one, *product) : *product;
    }},
    .reference =
        [](const ReferenceContext& c, Operands x) {
          const auto exponent = static_cast<double>(exponent_of(c.attributes));
          return map_elements(x, [&](std::size_t i) { return std::pow(x[0]->values[i], exponent); });
        }};

namespace {

// atan z for |z| ≤ 0.66 is z + z s P(s)/Q(s) with s = z² in f64, and z + z s R(s) for |z| ≤ tan(π/8) in f32
// (Moshier, "Methods and Programs for Mathematical Functions", 1989: Cephes). Lowest coefficient first.
constexpr std::array kP = {-6.485021904942025371773e1, -1.228866684490136173410e2, -7.500855792314704667340e1,
                           -1.615753718733365076637e1, -8.750608600031904122785e-1};
constexpr std::array kQ = {1.945506571482613964425e2, 4.853903996359136964868e2, 4.328810604912902668951e2,
                           1.650270098316988542046e2, 2.485846490142306297962e1, 1.0};
constexpr std::array kR = {-3.33329491539e-1, 1.99777106478e-1, -1.38776856032e-1, 8.05374449538e-2};

template <std::size_t n>
Scalar polynomial(KernelBuilder& b, Scalar x, const std::array<double, n>& coefficients) {
  Scalar sum = b.constant(x.type, coefficients[n - 1]);
  for (std::size_t i = n - 1; i-- > 0;) sum = b.fma(sum, x, b.constant(x.type, coefficients[i]));
  return sum;
}

/// atan t for 0 ≤ t ≤ 1: from tan(π/8) on it is π/4 + atan((t - 1)/(t + 1)).
Scalar emit_arctangent(KernelBuilder& b, Scalar t) {
  const Scalar one = b.constant(t.type, 1), zero = b.constant(t.type, 0);
  const Scalar is_upper = is_less(b, b.constant(t.type, std::numbers::sqrt2 - 1), t);
  const Scalar z = b.select(is_upper, b.div(b.sub(t, one), b.add(t, one)), t);
  const Scalar s = b.mul(z, z);
  const Scalar series =
      t.type == ElementType::f32 ? polynomial(b, s, kR) : b.div(polynomial(b, s, kP), polynomial(b, s, kQ));
  const Scalar base = b.select(is_upper, b.constant(t.type, std::numbers::pi / 4), zero);
  return b.add(base, b.fma(b.mul(z, s), series, z));
}

/// By the octant: the ratio of the smaller to the larger coordinate, then reflections.
Scalar emit_atan2(KernelBuilder& b, const NodeView&, std::span<const Scalar> operands) {
  const Scalar y = operands[0], x = operands[1];
  const Scalar zero = b.constant(y.type, 0), one = b.constant(y.type, 1);
  const Scalar height = b.abs(y), width = b.abs(x);
  const Scalar is_steep = is_less(b, width, height);
  const Scalar low = b.select(is_steep, width, height), high = b.select(is_steep, height, width);
  // Equal ones may both be 0, or infinite.
  const Scalar at_diagonal = b.select(b.compare(ScalarOp::eq_, high, zero), zero, one);
  const Scalar ratio = b.select(b.compare(ScalarOp::eq_, low, high), at_diagonal, b.div(low, high));
  const Scalar octant = emit_arctangent(b, ratio);
  const Scalar quadrant = b.select(is_steep, b.sub(b.constant(y.type, std::numbers::pi / 2), octant), octant);
  const Scalar is_left = is_less(b, b.binary(ScalarOp::copysign_, one, x), zero);
  const Scalar angle = b.select(is_left, b.sub(b.constant(y.type, std::numbers::pi), quadrant), quadrant);
  const Scalar any_nan = either(b, is_nan(b, x), is_nan(b, y));
  return b.select(any_nan, b.add(x, y), b.binary(ScalarOp::copysign_, angle, y));
}

}  // namespace

/// Within 4 units in the last place; the partials are singular at the origin, where a tangent of 0 absorbs.
const OpDef atan2_ = {
    .name = "atan2",
    .summary = "the angle of the point (x, y), of operands y and x, in -π … π; signed zeros as in C",
    .arity = 2,
    .type_rule = same_float_type,
    .derivative = Pointwise{kBoth,
                            [](Builder& b, const NodeView& n, std::size_t k) {
                              const ValueId y = n.operand(0), x = n.operand(1);
                              const ValueId square = b.add(b.mul(y, y), b.mul(x, x));
                              return k == 0 ? b.div(x, square) : b.neg(b.div(y, square));
                            },
                            kBoth},
    .jacobian =
        [](const NodeView&, std::size_t k, std::span<const std::string> x, std::string_view) {
          return fmt::format("diag({} / ({}² + {}²))", k == 0 ? x[1] : "-" + x[0], x[0], x[1]);
        },
    .lowering = ElementwiseLowering{emit_atan2},
    .is_dear = true,
    .reference = map_binary<std::atan2>};

}  // namespace mlpc::ir::ops
