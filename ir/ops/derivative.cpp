#include "ir/ops/common.h"

// Derivatives as expressions. Their types need no autodiff; the pass expand_derivatives writes them in other
// ops, innermost first, before anything else sees them, so they have neither a lowering nor a reference. Only
// paths through a target count: the frontend wraps the binding that is meant in `mark`, whose id keeps it
// apart from equal values.

namespace mlpc::ir::ops {
namespace {

constexpr AttributeSpec kMarkAttributes[] = {{"id", Kind::integer}};

void require_target(const Type& type) {
  if (!is_float(type.element)) fail("a derivative with respect to {}: only floats have one", type.text());
}

void require_differentiable(const Type& type) {
  if (!is_float(type.element)) fail("a derivative of {}: only floats have one", type.text());
}

std::vector<Type> targets_from(Types x, std::size_t first) {
  std::vector<Type> out(x.begin() + static_cast<std::ptrdiff_t>(first), x.end());
  for (const Type& type : out) require_target(type);
  return out;
}

}  // namespace

const OpDef mark_ = {
    .name = "mark",
    .summary = "x, as the target of derivatives",
    .arity = 1,
    .attributes = kMarkAttributes,
    .type_rule = same_float_type,
    .derivative =
        Jvp{[](Builder&, const NodeView&, std::span<const MaybeValue> tangents) -> std::vector<MaybeValue> {
          return {tangents[0]};
        }},
    .jacobian = [](const NodeView&, std::size_t, std::span<const std::string>,
                   std::string_view) { return std::string("I"); },
    .lowering =
        ElementwiseLowering{[](KernelBuilder&, const NodeView&, std::span<const Scalar> x) { return x[0]; }},
    .reference = map_unary<[](double x) { return x; }>};

const OpDef grad_ = {
    .name = "grad",
    .summary = "(s, targets…): the cotangents of the targets for the cotangent 1 of a scalar",
    .arity = kAnyArity,
    .type_rule = [](Types x, const Attributes&) -> std::vector<Type> {
      if (x.size() < 2) fail("`grad` takes a scalar and its targets");
      require_differentiable(x[0]);
      if (x[0].rank() != 0) fail("`grad` of {}: only a scalar has a gradient", x[0].text());
      return targets_from(x, 1);
    },
    .derivative = NotDifferentiable{},
    .lowering = std::monostate{},
    .reference = nullptr};

const OpDef jvp_ = {.name = "jvp",
                    .summary = "(y, targets…, tangents…): the tangent of y, J ẋ",
                    .arity = kAnyArity,
                    .type_rule = [](Types x, const Attributes&) -> std::vector<Type> {
                      if (x.size() < 3 || x.size() % 2 == 0)
                        fail("`jvp` takes a value, its targets and as many tangents");
                      require_differentiable(x[0]);
                      const std::size_t count = x.size() / 2;
                      for (std::size_t i = 1; i <= count; ++i) {
                        require_target(x[i]);
                        if (x[i] != x[i + count])
                          fail("the tangent of {} is {}", x[i].text(), x[i + count].text());
                      }
                      return {x[0]};
                    },
                    .derivative = NotDifferentiable{},
                    .lowering = std::monostate{},
                    .reference = nullptr};

const OpDef vjp_ = {.name = "vjp",
                    .summary = "(y, cotangent, targets…): the cotangents of the targets, Jᵀ ȳ",
                    .arity = kAnyArity,
                    .type_rule = [](Types x, const Attributes&) -> std::vector<Type> {
                      if (x.size() < 3) fail("`vjp` takes a value, its cotangent and its targets");
                      require_differentiable(x[0]);
                      if (x[0] != x[1]) fail("the cotangent of {} is {}", x[0].text(), x[1].text());
                      return targets_from(x, 2);
                    },
                    .derivative = NotDifferentiable{},
                    .lowering = std::monostate{},
                    .reference = nullptr};

const OpDef jacobian_ = {.name = "jacobian",
                         .summary = "(y, target): ∂y[i…] / ∂x[j…] at [i…, j…]",
                         .arity = 2,
                         .type_rule = [](Types x, const Attributes&) -> std::vector<Type> {
                           require_differentiable(x[0]);
                           require_target(x[1]);
                           Type out = x[0];
                           out.shape.insert(out.shape.end(), x[1].shape.begin(), x[1].shape.end());
                           return {out};
                         },
                         .derivative = NotDifferentiable{},
                         .lowering = std::monostate{},
                         .reference = nullptr};

}  // namespace mlpc::ir::ops
