#include <algorithm>
#include <cmath>

#include "ir/ops/common.h"
#include "ir/ops/indexing.h"

// Ops that could be written in others, but whose Jacobian is much simpler than the product of theirs: it is
// stated in the results, so that its transpose is the fused VJP of the textbooks. Both work on rows, along
// the last axis.

namespace mlpc::ir::ops {
namespace {

constexpr AttributeSpec kLayernormAttributes[] = {{"eps", Kind::constant}};

Integers last_axis(const Shape& rows) { return {static_cast<std::int64_t>(rows.size()) - 1}; }

ValueId sum_of_rows(Builder& b, ValueId x) { return b.reduce_sum(x, last_axis(b.type(x).shape)); }

/// One value a row, for each of the row's elements.
ValueId along_rows(Builder& b, ValueId v, const Shape& rows) {
  return b.broadcast(v, rows, first_axes(rows.size() - 1));
}

Shape without_last(Shape rows) {
  rows.pop_back();
  return rows;
}

void require_rows(const Type& type) {
  require_float(type);
  if (type.rank() == 0) fail("the operand is {}: there are no rows", type.text());
}

/// The elements of row r of a tensor.
std::span<const double> row(const HostTensor& x, std::size_t r) {
  const auto count = static_cast<std::size_t>(x.shape.back());
  return std::span(x.values).subspan(r * count, count);
}

std::size_t row_count(const HostTensor& x) { return element_count({x.shape.begin(), x.shape.end() - 1}); }

// ---- softmax_cross_entropy ----

std::vector<Type> cross_entropy_type(Types x, const Attributes&) {
  require_rows(x[0]);
  const Type sample{x[0].element, without_last(x[0].shape)};
  const bool has_classes = is_integer(x[1].element) && x[1].shape == sample.shape;
  if (!has_classes && x[1] != x[0])
    fail("for {} the labels are of its type, or integers without the last axis; they are {}", x[0].text(),
         x[1].text());
  return {sample, x[0]};
}

bool has_classes(const NodeView& n) { return is_integer(n.operand_types[1].element); }

/// Whether each sample's label is one of the classes.
ValueId is_labelled(Builder& b, const NodeView& n) {
  const ValueId ids = b.convert(n.operand(1), ElementType::i64);
  const ValueId classes = extent_value(b, n.operand_types[0].shape.back(), ElementType::i64);
  return b.value(Op::logical_and_, {b.compare(Op::ge_, ids, b.full_like(ids, 0)),
                                    b.compare(Op::lt_, ids, b.broadcast(classes, b.type(ids).shape, {}))});
}

/// With m = max z and s = z - m, so that nothing overflows and no large numbers cancel:
///   log p = s - log Σ eˢ,   loss = Σ q log Σ eˢ - Σ q s, a sum of terms that are not negative.
std::vector<ValueId> expand_cross_entropy(Builder& b, const NodeView& n) {
  const ValueId z = n.operand(0), labels = n.operand(1);
  const Shape& shape = n.operand_types[0].shape;
  const ValueId shift = finite_or_zero(b, b.value(Op::reduce_max_, {z}, {last_axis(shape)}));
  const ValueId s = b.sub(z, along_rows(b, shift, shape));
  const ValueId log_sum = b.log(sum_of_rows(b, b.exp(s)));
  const ValueId log_p = b.sub(s, along_rows(b, log_sum, shape));
  if (!has_classes(n))
    return {b.sub(b.scale(log_sum, sum_of_rows(b, labels)), sum_of_rows(b, b.scale(s, labels))), log_p};
  const ValueId hit = sum_of_rows(b, b.where(is_class(b, labels, shape), s, b.full_like(s, 0)));
  const ValueId loss = b.sub(log_sum, hit);
  return {b.where(is_labelled(b, n), loss, b.full_like(loss, 0)), log_p};
}

/// With p = softmax(z): d log p = dz - Σ p dz, and
///   dloss = Σ (p Σ q - q) dz - Σ log p dq; for classes q = one_hot(y), whose sum is 1, and no dq.
std::vector<MaybeValue> cross_entropy_jvp(Builder& b, const NodeView& n, std::span<const MaybeValue> moved) {
  const Shape& shape = n.operand_types[0].shape;
  const ValueId labels = n.operand(1), log_p = n.result(1), p = b.exp(log_p);
  MaybeValue loss, log_p_dot;
  if (const MaybeValue& z = moved[0]) {
    log_p_dot = b.sub(*z, along_rows(b, sum_of_rows(b, b.mul(p, *z)), shape));
    if (has_classes(n)) {
      const ValueId q = b.value(Op::one_hot_, {labels}, {Shape{shape.back()}, b.type(p).element});
      const ValueId term = sum_of_rows(b, b.mul(b.sub(p, q), *z));
      loss = b.where(is_labelled(b, n), term, b.full_like(term, 0));
    } else {
      const ValueId all = along_rows(b, sum_of_rows(b, labels), shape);
      loss = sum_of_rows(b, b.mul(b.sub(b.mul(p, all), labels), *z));
    }
  }
  if (const MaybeValue& q = moved[1]) {
    const ValueId term = b.neg(sum_of_rows(b, b.scale(log_p, *q)));  // log p is -inf where z is
    loss = loss ? b.add(*loss, term) : term;
  }
  return {loss, log_p_dot};
}

std::string cross_entropy_text(const NodeView& n, std::size_t k, std::span<const std::string> x,
                               std::string_view) {
  if (k == 1) return fmt::format("(-log softmax({}))ᵀ", x[0]);
  return has_classes(n) ? fmt::format("(softmax({}) - one_hot({}))ᵀ", x[0], x[1])
                        : fmt::format("(softmax({0}) Σ{1} - {1})ᵀ", x[0], x[1]);
}

std::vector<HostTensor> cross_entropy_reference(const ReferenceContext& c, Operands x) {
  HostTensor loss{c.result_shapes[0], {}}, log_p{c.result_shapes[1], {}};
  const bool has_classes = x[1]->shape.size() < x[0]->shape.size();
  for (std::size_t r = 0; r < row_count(*x[0]); ++r) {
    const std::span<const double> z = row(*x[0], r);
    double largest = z.empty() ? 0 : *std::ranges::max_element(z), sum = 0, total = 0;
    if (!std::isfinite(largest)) largest = 0;
    for (double v : z) sum += std::exp(v - largest);
    for (std::size_t i = 0; i < z.size(); ++i) {
      log_p.values.push_back(z[i] - largest - std::log(sum));
      const double q = has_classes ? (x[1]->values[r] == static_cast<double>(i)) : row(*x[1], r)[i];
      if (q != 0) total -= q * log_p.values.back();
    }
    loss.values.push_back(total);
  }
  return {std::move(loss), std::move(log_p)};
}

// ---- layernorm ----

std::vector<Type> layernorm_type(Types x, const Attributes& a) {
  require_rows(x[0]);
  const Constant& eps = std::get<Constant>(a[0]);
  if (eps.type != x[0].element) fail("`eps` is {}, the operand {}", name_of(eps.type), x[0].text());
  if (!(eps.as_double() >= 0) || std::isinf(eps.as_double())) fail("`eps` is {}", eps.as_double());
  return {x[0], {x[0].element, without_last(x[0].shape)}};
}

/// The number of a row's elements, for each row; 1 where there are none.
ValueId row_lengths(Builder& b, Type rows) {  // by value: types of the graph move when it grows
  const ValueId count = extent_value(b, Dim::max(rows.shape.back(), 1), rows.element);
  return b.broadcast(count, without_last(rows.shape), {});
}

ValueId mean_of_rows(Builder& b, ValueId x) { return b.div(sum_of_rows(b, x), row_lengths(b, b.type(x))); }

std::vector<ValueId> expand_layernorm(Builder& b, const NodeView& n) {
  const ValueId x = n.operand(0);
  const Shape& shape = n.operand_types[0].shape;
  const ValueId d = b.sub(x, along_rows(b, mean_of_rows(b, x), shape));
  const ValueId variance = mean_of_rows(b, b.mul(d, d));
  const ValueId eps =
      b.broadcast(b.constant(std::get<Constant>(n.attributes[0])), b.type(variance).shape, {});
  const ValueId r = b.value(Op::rsqrt_, {b.add(variance, eps)});
  return {b.mul(d, along_rows(b, r, shape)), r};
}

/// With t = r dx and m = -mean(y t): dy = t - mean(t) + y m, dr = r m. The first is symmetric but for r.
std::vector<MaybeValue> layernorm_jvp(Builder& b, const NodeView& n, std::span<const MaybeValue> moved) {
  const Shape& shape = n.operand_types[0].shape;
  const ValueId y = n.result(0), r = n.result(1), t = b.mul(along_rows(b, r, shape), *moved[0]);
  const ValueId share = b.div(b.full_like(r, -1), row_lengths(b, n.operand_types[0]));
  const auto minus_mean = [&](ValueId tangent) { return b.mul(share, sum_of_rows(b, tangent)); };
  const ValueId m = minus_mean(b.mul(y, t)), centred = b.add(t, along_rows(b, minus_mean(t), shape));
  return {b.add(centred, b.mul(y, along_rows(b, m, shape))), b.mul(r, m)};
}

std::vector<HostTensor> layernorm_reference(const ReferenceContext& c, Operands x) {
  const double eps = std::get<Constant>(c.attributes[0]).as_double();
  HostTensor y{c.result_shapes[0], {}}, scale{c.result_shapes[1], {}};
  for (std::size_t r = 0; r < row_count(*x[0]); ++r) {
    const std::span<const double> values = row(*x[0], r);
    const double count = std::max<double>(1, static_cast<double>(values.size()));
    double mean = 0, variance = 0;
    for (double v : values) mean += v / count;
    for (double v : values) variance += (v - mean) * (v - mean) / count;
    scale.values.push_back(1 / std::sqrt(variance + eps));
    for (double v : values) y.values.push_back((v - mean) * scale.values.back());
  }
  return {std::move(y), std::move(scale)};
}

}  // namespace

const OpDef softmax_cross_entropy_ = {
    .name = "softmax_cross_entropy",
    .summary =
        "(z, labels) ↦ -Σ q log p and log p, p being the softmax of z along the last axis; q are the labels, "
        "or "
        "integers name the class of q = 1, and one that is no class gives 0; where q = 0, -inf is no logit",
    .arity = 2,
    .type_rule = cross_entropy_type,
    .derivative = Jvp{cross_entropy_jvp},
    .jacobian = cross_entropy_text,
    .lowering = CompositeLowering{expand_cross_entropy},
    .reference = cross_entropy_reference};

const OpDef layernorm_ = {
    .name = "layernorm",
    .summary =
        "y = (x - mean) r and r = 1/√(variance + eps), over the last axis; 1/√eps over nothing, r has no y "
        "there",
    .arity = 1,
    .attributes = kLayernormAttributes,
    .type_rule = layernorm_type,
    .derivative = Jvp{layernorm_jvp},
    .jacobian = [](const NodeView&, std::size_t, std::span<const std::string>,
                   std::string_view y) { return fmt::format("r (I - 1 1ᵀ/n - {0} {0}ᵀ/n)", y); },
    .lowering = CompositeLowering{expand_layernorm},
    .reference = layernorm_reference};

}  // namespace mlpc::ir::ops
