#include <algorithm>

#include "ir/ops/common.h"

namespace mlpc::ir::ops {
namespace {

constexpr AttributeSpec kBroadcastAttributes[] = {{"shape", Kind::shape}, {"axes", Kind::integers}};
constexpr AttributeSpec kReshapeAttributes[] = {{"shape", Kind::shape}};
constexpr AttributeSpec kTransposeAttributes[] = {{"permutation", Kind::integers}};

std::vector<Type> broadcast_type(Types x, const Attributes& a) {
  const Shape& shape = std::get<Shape>(a[0]);
  const Integers& axes = std::get<Integers>(a[1]);
  if (axes.size() != x[0].rank()) fail("{} is broadcast by {} axes", x[0].text(), axes.size());
  for (std::size_t i = 0; i < axes.size(); ++i) {
    if (axes[i] < (i ? axes[i - 1] + 1 : 0) || axes[i] >= static_cast<std::int64_t>(shape.size()))
      fail("the axes of a broadcast are not ascending axes of its result");
    if (shape[static_cast<std::size_t>(axes[i])] != x[0].shape[i])
      fail("axis {} of {} is broadcast to the extent {}", i, x[0].text(),
           shape[static_cast<std::size_t>(axes[i])].text());
  }
  return {{x[0].element, shape}};
}

Integers new_axes(const NodeView& n) {
  const Integers& axes = std::get<Integers>(n.attributes[1]);
  Integers added;
  for (std::int64_t axis = 0; axis < static_cast<std::int64_t>(n.result_types[0].rank()); ++axis)
    if (std::ranges::find(axes, axis) == axes.end()) added.push_back(axis);
  return added;
}

void require_permutation(const Integers& permutation, std::size_t rank) {
  std::vector<bool> seen(rank, false);
  for (std::int64_t axis : permutation)
    if (axis < 0 || axis >= static_cast<std::int64_t>(rank) || seen[static_cast<std::size_t>(axis)])
      fail("the permutation is none of {} axes", rank);
    else
      seen[static_cast<std::size_t>(axis)] = true;
  if (permutation.size() != rank) fail("{} axes are permuted by {}", rank, permutation.size());
}

Integers inverse(const Integers& permutation) {
  Integers out(permutation.size());
  for (std::size_t i = 0; i < permutation.size(); ++i)
    out[static_cast<std::size_t>(permutation[i])] = static_cast<std::int64_t>(i);
  return out;
}

template <char const* text>
std::string fixed_text(const NodeView&, std::size_t, std::span<const std::string>, std::string_view) {
  return text;
}
constexpr char kSpread[] = "1", kPermutation[] = "Π", kSame[] = "I";

constexpr AttributeSpec kRecomputeAttributes[] = {{"segment", Kind::integer}};

}  // namespace

/// What is computed from it is kept apart from what was computed from x itself: a segment of the forward part
/// that the backward part computes again instead of keeping its values.
const OpDef recompute_ = {
    .name = "recompute",
    .summary = "x, read to compute a segment of a graph again",
    .arity = 1,
    .attributes = kRecomputeAttributes,
    .type_rule = same_type,
    .derivative = Linear{1,
                         [](Builder&, const NodeView&, std::size_t,
                            std::span<const MaybeValue> y) -> MaybeValue { return y[0]; }},
    .jacobian = fixed_text<kSame>,
    .lowering = LayoutLowering{},
    .reference = [](const ReferenceContext&, Operands x) -> std::vector<HostTensor> { return {*x[0]}; }};

const OpDef broadcast_ = {.name = "broadcast",
                          .summary = "the operand repeated: its axis i is the result's axis axes[i]",
                          .arity = 1,
                          .attributes = kBroadcastAttributes,
                          .type_rule = broadcast_type,
                          .derivative = Linear{1,
                                               [](Builder& b, const NodeView& n, std::size_t,
                                                  std::span<const MaybeValue> y) -> MaybeValue {
                                                 return b.reduce_sum(*y[0], new_axes(n));
                                               }},
                          .jacobian = fixed_text<kSpread>,
                          .lowering = LayoutLowering{},
                          .reference = [](const ReferenceContext& c, Operands x) -> std::vector<HostTensor> {
                            HostTensor out{c.result_shapes[0], {}};
                            const Integers& axes = std::get<Integers>(c.attributes[1]);
                            for_each_index(out.shape, [&](const std::vector<std::int64_t>& index) {
                              std::vector<std::int64_t> at;
                              for (std::int64_t axis : axes)
                                at.push_back(index[static_cast<std::size_t>(axis)]);
                              out.values.push_back(x[0]->values[position(x[0]->shape, at)]);
                            });
                            return {std::move(out)};
                          }};

const OpDef reshape_ = {.name = "reshape",
                        .summary = "the same elements in row-major order under another shape",
                        .arity = 1,
                        .attributes = kReshapeAttributes,
                        .type_rule = [](Types x, const Attributes& a) -> std::vector<Type> {
                          const Type result{x[0].element, std::get<Shape>(a[0])};
                          if (result.element_count() != x[0].element_count())
                            fail("{} has {} elements, {} has {}", x[0].text(), x[0].element_count().text(),
                                 result.text(), result.element_count().text());
                          return {result};
                        },
                        .derivative = Linear{1,
                                             [](Builder& b, const NodeView& n, std::size_t,
                                                std::span<const MaybeValue> y) -> MaybeValue {
                                               return b.reshape(*y[0], n.operand_types[0].shape);
                                             }},
                        .jacobian = fixed_text<kSame>,
                        .lowering = LayoutLowering{},
                        .reference = [](const ReferenceContext& c, Operands x) -> std::vector<HostTensor> {
                          return {{c.result_shapes[0], x[0]->values}};
                        }};

const OpDef transpose_ = {
    .name = "transpose",
    .summary = "axes in another order: the result's axis i is the operand's axis permutation[i]",
    .arity = 1,
    .attributes = kTransposeAttributes,
    .type_rule = [](Types x, const Attributes& a) -> std::vector<Type> {
      const Integers& permutation = std::get<Integers>(a[0]);
      require_permutation(permutation, x[0].rank());
      Shape shape;
      for (std::int64_t axis : permutation) shape.push_back(x[0].shape[static_cast<std::size_t>(axis)]);
      return {{x[0].element, shape}};
    },
    .derivative =
        Linear{1,
               [](Builder& b, const NodeView& n, std::size_t, std::span<const MaybeValue> y) -> MaybeValue {
                 return b.transpose(*y[0], inverse(std::get<Integers>(n.attributes[0])));
               }},
    .jacobian = fixed_text<kPermutation>,
    .lowering = LayoutLowering{},
    .reference = [](const ReferenceContext& c, Operands x) -> std::vector<HostTensor> {
      const Integers& permutation = std::get<Integers>(c.attributes[0]);
      HostTensor out{c.result_shapes[0], {}};
      for_each_index(out.shape, [&](const std::vector<std::int64_t>& index) {
        std::vector<std::int64_t> at(index.size());
        for (std::size_t i = 0; i < index.size(); ++i)
          at[static_cast<std::size_t>(permutation[i])] = index[i];
        out.values.push_back(x[0]->values[position(x[0]->shape, at)]);
      });
      return {std::move(out)};
    }};

}  // namespace mlpc::ir::ops
