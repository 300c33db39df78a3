#include <cmath>

#include "ir/ops/common.h"

// Comparisons, logic, and what selects by them: where, max, min, clamps. Ties are decided here (design: the
// minimum-norm subgradient): equal operands of max and min share evenly, a clamp at its bound has derivative
// 0.

namespace mlpc::ir::ops {
namespace {

std::vector<Type> compared(Types x, const Attributes&) {
  require_same_type(x[0], x[1]);
  return {{ElementType::boolean, x[0].shape}};
}

std::vector<Type> ordered(Types x, const Attributes& a) {
  require_number(x[0]);
  return compared(x, a);
}

template <ScalarOp op, bool (*F)(double, double)>
constexpr OpDef comparison(std::string_view name, std::string_view summary, TypeRule type_rule) {
  return {.name = name,
          .summary = summary,
          .arity = 2,
          .type_rule = type_rule,
          .derivative = NotDifferentiable{},
          .lowering = ElementwiseLowering{[](KernelBuilder& b, const NodeView&, std::span<const Scalar> x) {
            return b.compare(op, x[0], x[1]);
          }},
          .reference = [](const ReferenceContext&, Operands x) {
            return map_elements(
                x, [&](std::size_t i) { return F(x[0]->values[i], x[1]->values[i]) ? 1.0 : 0.0; });
          }};
}

std::vector<Type> bools(Types x, const Attributes& a) {
  if (x[0].element != ElementType::boolean) fail("the operand is {}, not bool", x[0].text());
  return same_type(x, a);
}

template <ScalarOp op, bool (*F)(bool, bool)>
constexpr OpDef logic(std::string_view name, std::string_view summary) {
  return {.name = name,
          .summary = summary,
          .arity = 2,
          .type_rule = bools,
          .derivative = NotDifferentiable{},
          .lowering = ElementwiseLowering{[](KernelBuilder& b, const NodeView&, std::span<const Scalar> x) {
            return b.binary(op, x[0], x[1]);
          }},
          .reference = [](const ReferenceContext&, Operands x) {
            return map_elements(
                x, [&](std::size_t i) { return F(x[0]->values[i] != 0, x[1]->values[i] != 0) ? 1.0 : 0.0; });
          }};
}

ValueId zeros_like(Builder& b, ValueId x) { return b.full_like(x, 0); }

}  // namespace

const OpDef eq_ =
    comparison<ScalarOp::eq_, [](double a, double b) { return a == b; }>("eq", "a = b", compared);
const OpDef ne_ = comparison<ScalarOp::ne_, [](double a, double b) { return a != b; }>(
    "ne", "a ≠ b; true for NaN", compared);
const OpDef lt_ = comparison<ScalarOp::lt_, [](double a, double b) { return a < b; }>("lt", "a < b", ordered);
const OpDef le_ =
    comparison<ScalarOp::le_, [](double a, double b) { return a <= b; }>("le", "a ≤ b", ordered);
const OpDef gt_ =
    comparison<ScalarOp::gt_, [](double a, double b) { return (a > b); }>("gt", "a > b", ordered);
const OpDef ge_ =
    comparison<ScalarOp::ge_, [](double a, double b) { return a >= b; }>("ge", "a ≥ b", ordered);
const OpDef logical_and_ =
    logic<ScalarOp::and_, [](bool a, bool b) { return a && b; }>("logical_and", "a and b");
const OpDef logical_or_ = logic<ScalarOp::or_, [](bool a, bool b) { return a || b; }>("logical_or", "a or b");

const OpDef logical_not_ = {
    .name = "logical_not",
    .summary = "not a",
    .arity = 1,
    .type_rule = bools,
    .derivative = NotDifferentiable{},
    .lowering = ElementwiseLowering{[](KernelBuilder& b, const NodeView&, std::span<const Scalar> x) {
      return b.unary(ScalarOp::not_, x[0]);
    }},
    .reference = map_unary<[](double x) { return x == 0 ? 1.0 : 0.0; }>};

const OpDef where_ = {
    .name = "where",
    .summary = "c ? a : b; the branch not taken has no influence, NaN or not",
    .arity = 3,
    .type_rule = [](Types x, const Attributes&) -> std::vector<Type> {
      if (x[0].element != ElementType::boolean) fail("the condition is {}, not bool", x[0].text());
      require_same_type(x[1], x[2]);
      if (x[0].shape != x[1].shape)
        fail("the condition is {}, the branches are {}", x[0].text(), x[1].text());
      return {x[1]};
    },
    .derivative =
        Linear{0b110,
               [](Builder& b, const NodeView& n, std::size_t k, std::span<const MaybeValue> y) -> MaybeValue {
                 const ValueId zero = zeros_like(b, *y[0]);
                 return k == 1 ? b.where(n.operand(0), *y[0], zero) : b.where(n.operand(0), zero, *y[0]);
               }},
    .jacobian = [](const NodeView&, std::size_t k, std::span<const std::string> x,
                   std::string_view) { return fmt::format("diag({}{})", k == 1 ? "" : "not ", x[0]); },
    .lowering = ElementwiseLowering{[](KernelBuilder& b, const NodeView&, std::span<const Scalar> x) {
      return b.select(x[0], x[1], x[2]);
    }},
    .reference =
        [](const ReferenceContext&, Operands x) {
          return map_elements(x, [&](std::size_t i) { return x[x[0]->values[i] != 0 ? 1 : 2]->values[i]; });
        }};

namespace {

/// ẏ = Σₖ [xₖ wins] ẋₖ + [tie] ẋₖ / 2
template <Op wins>
std::vector<MaybeValue> extremum_jvp(Builder& b, const NodeView& n, std::span<const MaybeValue> tangents) {
  MaybeValue sum;
  for (std::size_t k = 0; k < 2; ++k) {
    if (!tangents[k]) continue;
    const ValueId mine = n.operand(k), other = n.operand(1 - k), t = *tangents[k];
    const ValueId half = b.mul(b.full_like(t, 0.5), t);
    const ValueId at_tie = b.where(b.compare(Op::eq_, mine, other), half, zeros_like(b, t));
    const ValueId term = b.where(b.compare(wins, mine, other), t, at_tie);
    sum = sum ? b.add(*sum, term) : term;
  }
  return {sum};
}

template <char wins>
std::string extremum_text(const NodeView&, std::size_t k, std::span<const std::string> x, std::string_view) {
  return fmt::format("diag({} {} {}, ½ at a tie)", x[k], wins, x[1 - k]);
}

/// A select, so that NaN in either operand comes out: wins(a, b) or a is NaN ? a : b.
template <ScalarOp wins>
Scalar emit_extremum(KernelBuilder& b, const NodeView&, std::span<const Scalar> x) {
  const Scalar a_is_nan = b.compare(ScalarOp::ne_, x[0], x[0]);
  return b.select(b.binary(ScalarOp::or_, b.compare(wins, x[0], x[1]), a_is_nan), x[0], x[1]);
}

double max_of(double a, double b) { return a > b || std::isnan(a) ? a : b; }
double min_of(double a, double b) { return a < b || std::isnan(a) ? a : b; }

constexpr AttributeSpec kClampAttributes[] = {{"bound", Kind::constant}};

std::vector<Type> clamp_type(Types x, const Attributes& a) {
  require_number(x[0]);
  if (std::get<Constant>(a[0]).type != x[0].element)
    fail("the bound is not of the operand's type, {}", x[0].text());
  return {x[0]};
}

template <Op passes>
std::vector<MaybeValue> clamp_jvp(Builder& b, const NodeView& n, std::span<const MaybeValue> tangents) {
  const ValueId x = n.operand(0), t = *tangents[0];
  const ValueId bound = b.full_like(x, std::get<Constant>(n.attributes[0]).as_double());
  return {b.where(b.compare(passes, x, bound), t, zeros_like(b, t))};
}

template <char relation>
std::string clamp_text(const NodeView& n, std::size_t, std::span<const std::string> x, std::string_view) {
  return fmt::format("diag({} {} {})", x[0], relation, std::get<Constant>(n.attributes[0]).text());
}

Scalar bound_of(KernelBuilder& b, const NodeView& n) {
  return b.let(ScalarOp::constant_, {}, n.operand_types[0].element, std::get<Constant>(n.attributes[0]));
}

}  // namespace

const OpDef max_ = {.name = "max",
                    .summary = "the greater; NaN if either is; equal operands share the derivative evenly",
                    .arity = 2,
                    .type_rule = same_number_type,
                    .derivative = Jvp{extremum_jvp<Op::gt_>},
                    .jacobian = extremum_text<'>'>,
                    .lowering = ElementwiseLowering{emit_extremum<ScalarOp::gt_>},
                    .reference = map_binary<max_of>};

const OpDef min_ = {.name = "min",
                    .summary = "the smaller; NaN if either is; equal operands share the derivative evenly",
                    .arity = 2,
                    .type_rule = same_number_type,
                    .derivative = Jvp{extremum_jvp<Op::lt_>},
                    .jacobian = extremum_text<'<'>,
                    .lowering = ElementwiseLowering{emit_extremum<ScalarOp::lt_>},
                    .reference = map_binary<min_of>};

const OpDef clamp_min_ = {
    .name = "clamp_min",
    .summary = "max(x, bound): bound > x ? bound : x; derivative 0 at the bound",
    .arity = 1,
    .attributes = kClampAttributes,
    .type_rule = clamp_type,
    .derivative = Jvp{clamp_jvp<Op::gt_>},
    .jacobian = clamp_text<'>'>,
    .lowering = ElementwiseLowering{[](KernelBuilder& b, const NodeView& n, std::span<const Scalar> x) {
      const Scalar bound = bound_of(b, n);
      return b.select(b.compare(ScalarOp::gt_, bound, x[0]), bound, x[0]);
    }},
    .reference = [](const ReferenceContext& c, Operands x) {
      const double bound = std::get<Constant>(c.attributes[0]).as_double();
      return map_elements(x,
                          [&](std::size_t i) { return bound > x[0]->values[i] ? bound : x[0]->values[i]; });
    }};

const OpDef clamp_max_ = {
    .name = "clamp_max",
    .summary = "min(x, bound): bound < x ? bound : x; derivative 0 at the bound",
    .arity = 1,
    .attributes = kClampAttributes,
    .type_rule = clamp_type,
    .derivative = Jvp{clamp_jvp<Op::lt_>},
    .jacobian = clamp_text<'<'>,
    .lowering = ElementwiseLowering{[](KernelBuilder& b, const NodeView& n, std::span<const Scalar> x) {
      const Scalar bound = bound_of(b, n);
      return b.select(b.compare(ScalarOp::lt_, bound, x[0]), bound, x[0]);
    }},
    .reference = [](const ReferenceContext& c, Operands x) {
      const double bound = std::get<Constant>(c.attributes[0]).as_double();
      return map_elements(x,
                          [&](std::size_t i) { return bound < x[0]->values[i] ? bound : x[0]->values[i]; });
    }};

}  // namespace mlpc::ir::ops
