#include "ir/ops/common.h"

namespace mlpc::ir::ops {
namespace {

constexpr AttributeSpec kConstantAttributes[] = {{"value", Kind::constant}};
constexpr AttributeSpec kDimAttributes[] = {{"extent", Kind::shape}, {"type", Kind::element_type}};
constexpr AttributeSpec kIotaAttributes[] = {
    {"shape", Kind::shape}, {"axis", Kind::integer}, {"type", Kind::element_type}};

const Dim& extent_of(const Attributes& a) {
  const Shape& shape = std::get<Shape>(a[0]);
  if (shape.size() != 1) fail("`dim` has {} extents, not 1", shape.size());
  return shape[0];
}

}  // namespace

const OpDef parameter_ = {.name = "parameter",
                          .summary = "a value that the caller gives",
                          .arity = 0,
                          .type_rule = [](Types, const Attributes&) -> std::vector<Type> {
                            fail("`parameter` is no op of a graph's body");
                          },
                          .derivative = NotDifferentiable{},
                          .lowering = std::monostate{},
                          .reference = nullptr};

const OpDef constant_ = {.name = "constant",
                         .summary = "a number",
                         .arity = 0,
                         .attributes = kConstantAttributes,
                         .type_rule = [](Types, const Attributes& a) -> std::vector<Type> {
                           return {{std::get<Constant>(a[0]).type, {}}};
                         },
                         .derivative = NotDifferentiable{},
                         .lowering = SourceLowering{[](KernelBuilder& b, const NodeView& n,
                                                       std::span<const Scalar>, std::span<const Scalar>) {
                           const Constant& c = std::get<Constant>(n.attributes[0]);
                           return b.let(ScalarOp::constant_, {}, c.type, c);
                         }},
                         .reference = [](const ReferenceContext& c, Operands) -> std::vector<HostTensor> {
                           return {{{}, {std::get<Constant>(c.attributes[0]).as_double()}}};
                         }};

const OpDef dim_ = {.name = "dim",
                    .summary = "an extent as a number",
                    .arity = 0,
                    .attributes = kDimAttributes,
                    .type_rule = [](Types, const Attributes& a) -> std::vector<Type> {
                      extent_of(a);
                      const Type result{std::get<ElementType>(a[1]), {}};
                      require_number(result);
                      return {result};
                    },
                    .derivative = NotDifferentiable{},
                    .lowering = SourceLowering{[](KernelBuilder& b, const NodeView& n,
                                                  std::span<const Scalar>, std::span<const Scalar>) {
                      return b.convert(b.index_value({extent_of(n.attributes), {}, {}}),
                                       n.result_types[0].element);
                    }},
                    .reference = [](const ReferenceContext& c, Operands) -> std::vector<HostTensor> {
                      const auto extent = static_cast<double>(c.value_of_dim(extent_of(c.attributes)));
                      return {{{}, {wrapped(c.result_types[0].element, extent)}}};
                    }};

const OpDef iota_ = {.name = "iota",
                     .summary = "each element's index along an axis",
                     .arity = 0,
                     .attributes = kIotaAttributes,
                     .type_rule = [](Types, const Attributes& a) -> std::vector<Type> {
                       const Shape& shape = std::get<Shape>(a[0]);
                       const std::int64_t axis = std::get<std::int64_t>(a[1]);
                       if (axis < 0 || axis >= static_cast<std::int64_t>(shape.size()))
                         fail("axis {} of a tensor of rank {}", axis, shape.size());
                       const Type result{std::get<ElementType>(a[2]), shape};
                       require_number(result);
                       return {result};
                     },
                     .derivative = NotDifferentiable{},
                     .lowering = SourceLowering{[](KernelBuilder& b, const NodeView& n,
                                                   std::span<const Scalar>, std::span<const Scalar> index) {
                       const auto axis = static_cast<std::size_t>(std::get<std::int64_t>(n.attributes[1]));
                       return b.convert(index[axis], n.result_types[0].element);
                     }},
                     .reference = [](const ReferenceContext& c, Operands) -> std::vector<HostTensor> {
                       HostTensor out{c.result_shapes[0], {}};
                       const auto axis = static_cast<std::size_t>(std::get<std::int64_t>(c.attributes[1]));
                       for_each_index(out.shape, [&](const auto& index) {
                         const auto number = static_cast<double>(index[axis]);
                         out.values.push_back(wrapped(c.result_types[0].element, number));
                       });
                       return {std::move(out)};
                     }};

}  // namespace mlpc::ir::ops
