#include <cmath>
#include <limits>
#include <numbers>

#include "ir/ops/common.h"

namespace mlpc::ir::ops {
namespace {

using Text = std::string_view;

/// A unary op with a derivative, and a series or the like to be computed. `jacobian` is the diagonal, with x
/// and y for operand and result.
constexpr OpDef unary(Text name, Text summary, PartialRule partial, ScalarRule emit, Reference reference,
                      JacobianText jacobian, std::uint32_t absorb = 0) {
  return {.name = name,
          .summary = summary,
          .arity = 1,
          .type_rule = same_float_type,
          .derivative = Pointwise{1, partial, absorb},
          .jacobian = jacobian,
          .lowering = ElementwiseLowering{emit},
          .is_dear = true,
          .reference = reference};
}

template <ScalarOp op>
Scalar emit_unary(KernelBuilder& b, const NodeView&, std::span<const Scalar> x) {
  return b.unary(op, x[0]);
}
template <ScalarOp op>
Scalar emit_binary(KernelBuilder& b, const NodeView&, std::span<const Scalar> x) {
  return b.binary(op, x[0], x[1]);
}

/// "diag(F)" with {0} for the operand and {1} for the result.
template <char const* format>
std::string diagonal(const NodeView&, std::size_t k, std::span<const std::string> operands,
                     std::string_view y) {
  return fmt::format(fmt::runtime(format), operands[k], y);
}

constexpr std::uint32_t kFirst = 1, kBoth = 3;

double sign_of(double x) { return std::isnan(x) ? x : (x > 0) - (x < 0); }
double sigmoid_of(double x) { return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x)); }
double softplus_of(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

ValueId one_minus(Builder& b, ValueId x) { return b.sub(b.full_like(x, 1), x); }

constexpr char kNeg[] = "-I", kAbs[] = "diag(sign({0}))", kExp[] = "diag({1})", kExpm1[] = "diag({1} + 1)",
               kLog[] = "diag(1 / {0})", kLog1p[] = "diag(1 / (1 + {0}))", kSqrt[] = "diag(1 / (2 {1}))",
               kRsqrt[] = "diag(-{1}³ / 2)", kSin[] = "diag(cos({0}))", kCos[] = "diag(-sin({0}))",
               kTanh[] = "diag(1 - {1}²)", kErf[] = "diag(2/√π · exp(-{0}²))",
               kSigmoid[] = "diag({1} (1 - {1}))", kSoftplus[] = "diag(sigmoid({0}))", kIdentity[] = "I";

/// 0 where the operand is a float that does not move (sign, floor).
constexpr OpDef step_function(Text name, Text summary, ScalarRule emit, Reference reference) {
  return {.name = name,
          .summary = summary,
          .arity = 1,
          .type_rule = same_float_type,
          .derivative = NotDifferentiable{},
          .lowering = ElementwiseLowering{emit},
          .reference = reference};
}

}  // namespace

const OpDef neg_ = {
    .name = "neg",
    .summary = "-x",
    .arity = 1,
    .type_rule = same_number_type,
    .derivative = Linear{1,
                         [](Builder& b, const NodeView&, std::size_t,
                            std::span<const MaybeValue> y) -> MaybeValue { return b.neg(*y[0]); }},
    .jacobian = diagonal<kNeg>,
    .lowering = ElementwiseLowering{emit_unary<ScalarOp::neg_>},
    .reference = map_unary<[](double x) { return -x; }>};

const OpDef abs_ = {
    .name = "abs",
    .summary = "|x|; derivative 0 at 0",
    .arity = 1,
    .type_rule = same_float_type,
    .derivative = Pointwise{kFirst, [](Builder& b, const NodeView& n,
                                       std::size_t) { return b.value(Op::sign_, {n.operand(0)}); }},
    .jacobian = diagonal<kAbs>,
    .lowering = ElementwiseLowering{emit_unary<ScalarOp::abs_>},
    .reference = map_unary<std::abs>};

const OpDef sign_ = step_function(
    "sign", "-1, 0 or 1; 0 for -0, NaN for NaN",
    [](KernelBuilder& b, const NodeView&, std::span<const Scalar> x) {
      const Scalar zero = b.constant(x[0].type, 0), one = b.constant(x[0].type, 1);
      const Scalar magnitude = b.select(b.compare(ScalarOp::gt_, x[0], zero), one, b.neg(one));
      const Scalar moved = b.select(b.compare(ScalarOp::eq_, x[0], zero), zero, magnitude);
      return b.select(b.compare(ScalarOp::ne_, x[0], x[0]), x[0], moved);
    },
    map_unary<sign_of>);

const OpDef floor_ = step_function("floor", "the greatest integer not above x; derivative 0",
                                   emit_unary<ScalarOp::floor_>, map_unary<std::floor>);

const OpDef exp_ = unary(
    "exp", "eˣ", [](Builder&, const NodeView& n, std::size_t) { return n.result(); },
    emit_unary<ScalarOp::exp_>, map_unary<std::exp>, diagonal<kExp>, kFirst);

const OpDef expm1_ = unary(
    "expm1", "eˣ - 1, exact for small x",
    [](Builder& b, const NodeView& n, std::size_t) {
      return b.add(n.result(), b.full_like(n.operand(0), 1));
    },
    emit_unary<ScalarOp::expm1_>, map_unary<std::expm1>, diagonal<kExpm1>, kFirst);

const OpDef log_ = unary(
    "log", "natural logarithm; -inf at 0, NaN below",
    [](Builder& b, const NodeView& n, std::size_t) {
      return b.div(b.full_like(n.operand(0), 1), n.operand(0));
    },
    emit_unary<ScalarOp::log_>, map_unary<std::log>, diagonal<kLog>, kFirst);

const OpDef log1p_ = unary(
    "log1p", "log(1 + x), exact for small x",
    [](Builder& b, const NodeView& n, std::size_t) {
      const ValueId one = b.full_like(n.operand(0), 1);
      return b.div(one, b.add(one, n.operand(0)));
    },
    emit_unary<ScalarOp::log1p_>, map_unary<std::log1p>, diagonal<kLog1p>, kFirst);

const OpDef sqrt_ = unary(
    "sqrt", "√x; NaN below 0",
    [](Builder& b, const NodeView& n, std::size_t) {
      return b.div(b.full_like(n.operand(0), 0.5), n.result());
    },
    emit_unary<ScalarOp::sqrt_>, map_unary<std::sqrt>, diagonal<kSqrt>, kFirst);

const OpDef rsqrt_ = unary(
    "rsqrt", "1/√x; inf at 0",
    [](Builder& b, const NodeView& n, std::size_t) {
      const ValueId y = n.result();
      return b.mul(b.full_like(y, -0.5), b.mul(y, b.mul(y, y)));
    },
    [](KernelBuilder& b, const NodeView&, std::span<const Scalar> x) {
      return b.div(b.constant(x[0].type, 1), b.sqrt(x[0]));
    },
    map_unary<[](double x) { return 1 / std::sqrt(x); }>, diagonal<kRsqrt>, kFirst);

const OpDef sin_ = unary(
    "sin", "sine of radians",
    [](Builder& b, const NodeView& n, std::size_t) { return b.value(Op::cos_, {n.operand(0)}); },
    emit_unary<ScalarOp::sin_>, map_unary<std::sin>, diagonal<kSin>);

const OpDef cos_ = unary(
    "cos", "cosine of radians",
    [](Builder& b, const NodeView& n, std::size_t) { return b.neg(b.value(Op::sin_, {n.operand(0)})); },
    emit_unary<ScalarOp::cos_>, map_unary<std::cos>, diagonal<kCos>);

const OpDef tanh_ = unary(
    "tanh", "hyperbolic tangent",
    [](Builder& b, const NodeView& n, std::size_t) { return one_minus(b, b.mul(n.result(), n.result())); },
    emit_unary<ScalarOp::tanh_>, map_unary<std::tanh>, diagonal<kTanh>);

const OpDef erf_ = unary(
    "erf", "the error function",
    [](Builder& b, const NodeView& n, std::size_t) {
      const ValueId x = n.operand(0);
      return b.mul(b.full_like(x, 2 / std::sqrt(std::numbers::pi)), b.exp(b.neg(b.mul(x, x))));
    },
    emit_unary<ScalarOp::erf_>, map_unary<std::erf>, diagonal<kErf>);

const OpDef sigmoid_ = unary(
    "sigmoid", "1 / (1 + e⁻ˣ)",
    [](Builder& b, const NodeView& n, std::size_t) { return b.mul(n.result(), one_minus(b, n.result())); },
    emit_unary<ScalarOp::sigmoid_>, map_unary<sigmoid_of>, diagonal<kSigmoid>);

/// Computed as max(x, 0) + log1p(exp(-|x|)): the textbook form overflows for x > 88 in f32.
const OpDef softplus_ = unary(
    "softplus", "log(1 + eˣ)",
    [](Builder& b, const NodeView& n, std::size_t) { return b.value(Op::sigmoid_, {n.operand(0)}); },
    [](KernelBuilder& b, const NodeView&, std::span<const Scalar> x) {
      const Scalar zero = b.constant(x[0].type, 0);
      const Scalar positive = b.select(b.compare(ScalarOp::gt_, zero, x[0]), zero, x[0]);
      return b.add(positive, b.log1p(b.exp(b.neg(b.abs(x[0])))));
    },
    map_unary<softplus_of>, diagonal<kSoftplus>);

namespace {

MaybeValue pass_on(Builder&, const NodeView&, std::size_t, std::span<const MaybeValue> y) { return y[0]; }

std::string other_factor(const NodeView&, std::size_t k, std::span<const std::string> operands,
                         std::string_view) {
  return fmt::format("diag({})", operands[1 - k]);
}

}  // namespace

const OpDef add_ = {.name = "add",
                    .summary = "a + b",
                    .arity = 2,
                    .type_rule = same_number_type,
                    .derivative = Linear{kBoth, pass_on},
                    .jacobian = diagonal<kIdentity>,
                    .lowering = ElementwiseLowering{emit_binary<ScalarOp::add_>},
                    .reference = map_binary<[](double a, double b) { return a + b; }>};

const OpDef sub_ = {.name = "sub",
                    .summary = "a - b",
                    .arity = 2,
                    .type_rule = same_number_type,
                    .derivative = Linear{kBoth,
                                         [](Builder& b, const NodeView&, std::size_t k,
                                            std::span<const MaybeValue> y) -> MaybeValue {
                                           return k == 0 ? *y[0] : b.neg(*y[0]);
                                         }},
                    .jacobian = [](const NodeView&, std::size_t k, std::span<const std::string>,
                                   std::string_view) { return std::string(k == 0 ? "I" : "-I"); },
                    .lowering = ElementwiseLowering{emit_binary<ScalarOp::sub_>},
                    .reference = map_binary<[](double a, double b) { return a - b; }>};

const OpDef mul_ = {.name = "mul",
                    .summary = "a · b",
                    .arity = 2,
                    .type_rule = same_number_type,
                    .derivative = Multilinear{kBoth,
                                              [](Builder& b, const NodeView& n, std::size_t k,
                                                 std::span<const MaybeValue> y) -> MaybeValue {
                                                return k == 0 ? b.mul(*y[0], n.operand(1))
                                                              : b.mul(n.operand(0), *y[0]);
                                              }},
                    .jacobian = other_factor,
                    .lowering = ElementwiseLowering{emit_binary<ScalarOp::mul_>},
                    .reference = map_binary<[](double a, double b) { return a * b; }>};

const OpDef div_ = {
    .name = "div",
    .summary = "a / b",
    .arity = 2,
    .type_rule = same_float_type,
    .derivative = Pointwise{kBoth,
                            [](Builder& b, const NodeView& n, std::size_t k) {
                              const ValueId one = b.full_like(n.operand(1), 1);
                              return k == 0 ? b.div(one, n.operand(1))
                                            : b.neg(b.div(n.result(), n.operand(1)));
                            },
                            kBoth},
    .jacobian =
        [](const NodeView&, std::size_t k, std::span<const std::string> x, std::string_view y) {
          return k == 0 ? fmt::format("diag(1 / {})", x[1]) : fmt::format("diag(-{} / {})", y, x[1]);
        },
    .lowering = ElementwiseLowering{emit_binary<ScalarOp::div_>},
    .is_dear = true,
    .reference = map_binary<[](double a, double b) { return a / b; }>};

const OpDef pow_ = {
    .name = "pow",
    .summary = "a to the power b",
    .arity = 2,
    .type_rule = same_float_type,
    .derivative = Pointwise{kBoth,
                            [](Builder& b, const NodeView& n, std::size_t k) {
                              const ValueId x = n.operand(0), e = n.operand(1);
                              // A power that is 0, or an exponent, absorbs the infinity at x = 0.
                              if (k == 1) return b.scale(b.log(x), n.result());
                              return b.scale(b.value(Op::pow_, {x, b.sub(e, b.full_like(e, 1))}), e);
                            },
                            kBoth},
    .jacobian =
        [](const NodeView&, std::size_t k, std::span<const std::string> x, std::string_view y) {
          return k == 0 ? fmt::format("diag({1} · {0}^({1} - 1))", x[0], x[1])
                        : fmt::format("diag({} · log({}))", y, x[0]);
        },
    .lowering = ElementwiseLowering{emit_binary<ScalarOp::pow_>},
    .is_dear = true,
    .reference = map_binary<std::pow>};

/// Where 0 · inf and 0 · NaN have to be 0: the product of a partial that can be infinite and a tangent that
/// is 0.
const OpDef scale_ = {
    .name = "scale",
    .summary = "p · c, and +0 where c = 0, whatever p is",
    .arity = 2,
    .type_rule = same_float_type,
    .derivative = Multilinear{kBoth,
                              [](Builder& b, const NodeView& n, std::size_t k,
                                 std::span<const MaybeValue> y) -> MaybeValue {
                                return k == 0 ? b.scale(*y[0], n.operand(1)) : b.scale(n.operand(0), *y[0]);
                              }},
    .jacobian = other_factor,
    .lowering = ElementwiseLowering{[](KernelBuilder& b, const NodeView&, std::span<const Scalar> x) {
      const Scalar zero = b.constant(x[0].type, 0);
      return b.select(b.compare(ScalarOp::eq_, x[1], zero), zero, b.mul(x[0], x[1]));
    }},
    .reference = map_binary<[](double p, double c) { return c == 0 ? 0 : p * c; }>};

/// Has no Jacobian, in any mode: what stands under it is a constant for derivatives.
const OpDef stop_grad_ = {.name = "stop_grad",
                          .summary = "x, with derivative 0",
                          .arity = 1,
                          .type_rule = same_type,
                          .derivative = NotDifferentiable{},
                          .lowering = ElementwiseLowering{[](KernelBuilder&, const NodeView&,
                                                             std::span<const Scalar> x) { return x[0]; }},
                          .reference = map_unary<[](double x) { return x; }>};

namespace {

constexpr AttributeSpec kConvertAttributes[] = {{"to", Kind::element_type}};

double convert_value(double x, ElementType to) {
  const double whole = std::trunc(x) + 0.0;  // integers have no -0
  switch (to) {
    case ElementType::f32:
      return static_cast<float>(x);
    case ElementType::f64:
      return x;
    case ElementType::boolean:
      return x != 0;
    case ElementType::i32:
      return std::isnan(x) ? 0 : std::clamp(whole, -0x1p31, 0x1p31 - 1);
    case ElementType::i64:
      return std::isnan(x) ? 0 : std::clamp(whole, -0x1p63, 0x1p63);
    case ElementType::u8:
      return std::isnan(x) ? 0 : std::clamp(whole, 0.0, 255.0);
  }
  return x;
}

}  // namespace

namespace {

/// What is beyond a narrower integer's range becomes its end; between integers, the kernels' convert wraps.
Scalar saturated(KernelBuilder& b, Scalar x, ElementType to) {
  const bool narrows = !is_float(x.type) && to != ElementType::boolean && size_of(to) < size_of(x.type);
  if (is_float(to) || !narrows) return x;
  const auto bound = [&](ScalarOp beyond, std::int32_t end) {
    const Scalar limit = b.constant(x.type, end);
    x = b.select(b.compare(beyond, x, limit), limit, x);
  };
  bound(ScalarOp::lt_, to == ElementType::u8 ? 0 : std::numeric_limits<std::int32_t>::min());
  bound(ScalarOp::gt_, to == ElementType::u8 ? std::numeric_limits<std::uint8_t>::max()
                                             : std::numeric_limits<std::int32_t>::max());
  return x;
}

}  // namespace

const OpDef convert_ = {
    .name = "convert",
    .summary =
        "the number in another type: to floats rounded to nearest, to integers truncated and saturated",
    .arity = 1,
    .attributes = kConvertAttributes,
    .type_rule = [](Types x, const Attributes& a) -> std::vector<Type> {
      return {{std::get<ElementType>(a[0]), x[0].shape}};
    },
    .derivative =
        Linear{1,
               [](Builder& b, const NodeView& n, std::size_t, std::span<const MaybeValue> y) -> MaybeValue {
                 return b.convert(*y[0], n.operand_types[0].element);
               }},
    .jacobian = diagonal<kIdentity>,
    .lowering = ElementwiseLowering{[](KernelBuilder& b, const NodeView& n, std::span<const Scalar> x) {
      const ElementType to = n.result_types[0].element;
      return b.convert(saturated(b, x[0], to), to);
    }},
    // The oracle is f64 throughout: a conversion between floats does not round.
    .reference =
        [](const ReferenceContext& c, Operands x) {
          const ElementType to = std::get<ElementType>(c.attributes[0]);
          return map_elements(x, [&](std::size_t i) {
            return is_float(to) ? x[0]->values[i] : convert_value(x[0]->values[i], to);
          });
        }};

}  // namespace mlpc::ir::ops
