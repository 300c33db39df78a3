#include <array>
#include <cmath>
#include <cstdint>

#include "ir/ops/common.h"

// Random numbers are pure functions of (seed, step, turns, element index; stream): Philox4x32-10 (Salmon et
// al., "Parallel random numbers: as easy as 1, 2, 3", 2011) with the key mix64(seed ^ mix64(stream ^
// mix64(turns))) and the counter (index / 4, step). One 32-bit word an element. Operands: seed, step, turns
// (of the loops around) and row_offset, which is the global index of the first row (axis 0), so that shards
// draw what the whole would.

namespace mlpc::ir::ops {
namespace {

constexpr std::size_t kOperands = 4;  // seed, step, turns, row_offset

constexpr AttributeSpec kUniformAttributes[] = {{"shape", Kind::shape},
                                                {"type", Kind::element_type},
                                                {"low", Kind::constant},
                                                {"high", Kind::constant},
                                                {"stream", Kind::integer}};
constexpr AttributeSpec kNormalAttributes[] = {{"shape", Kind::shape},
                                               {"type", Kind::element_type},
                                               {"mean", Kind::constant},
                                               {"deviation", Kind::constant},
                                               {"stream", Kind::integer}};
constexpr AttributeSpec kBernoulliAttributes[] = {{"shape", Kind::shape},
                                                  {"type", Kind::element_type},
                                                  {"probability", Kind::constant},
                                                  {"stream", Kind::integer}};

double number(const Attributes& a, std::size_t i) { return std::get<Constant>(a[i]).as_double(); }
std::int64_t stream_of(const Attributes& a) { return std::get<std::int64_t>(a.back()); }

std::vector<Type> random_type(Types x, const Attributes& a) {
  for (const Type& type : x)
    if (type != Type{ElementType::i64, {}})
      fail("seed, step, turns and row offset are i64[], not {}", type.text());
  const Type result{std::get<ElementType>(a[1]), std::get<Shape>(a[0])};
  require_float(result);
  return {result};
}

// ---- In kernels ----

/// 32 random bits for the element: its index in row-major order, from the first row of all shards on,
/// selects them. The operands, and then the stream.
Scalar bits_of(KernelBuilder& b, const NodeView& n, std::span<const Scalar> operands,
               std::span<const Scalar> index) {
  const Shape& shape = n.result_types[0].shape;
  const bool is_flat = index.size() < shape.size(), is_first = b.is_zero(operands[3]);
  Scalar flat = shape.empty() ? b.constant(ElementType::i64, 0)
                : is_flat     ? operands[3]
                : is_first    ? index[0]
                              : b.add(operands[3], index[0]);
  for (std::size_t axis = 1; axis < shape.size() && !(is_flat && is_first); ++axis) {
    flat = b.mul(flat, b.index_value({shape[axis], {}, {}}));
    if (!is_flat) flat = b.add(flat, index[axis]);
  }
  if (is_flat) flat = is_first ? index[0] : b.add(flat, index[0]);
  const Scalar key = b.random_key(operands[0], operands[2], operands[kOperands]);
  return b.random_bits(key, operands[1], flat);
}

/// p in (0, 1), in f64: (bits + ½) / 2³².
Scalar probability(KernelBuilder& b, Scalar bits) {
  const Scalar half = b.constant(ElementType::f64, 0.5), scale = b.constant(ElementType::f64, 0x1p-32);
  return b.mul(b.add(b.convert(bits, ElementType::f64), half), scale);
}

template <std::size_t n>
Scalar polynomial(KernelBuilder& b, Scalar x, const std::array<double, n>& coefficients) {
  Scalar sum = b.constant(ElementType::f64, coefficients[n - 1]);
  for (std::size_t i = n - 1; i-- > 0;) sum = b.fma(sum, x, b.constant(ElementType::f64, coefficients[i]));
  return sum;
}

// Wichura, "Algorithm AS 241: the percentage points of the normal distribution", Applied Statistics 37
// (1988), PPND16: a/b for |p - ½| ≤ 0.425, c/d beyond. Its third region begins at √(-log p) > 5, which 32
// bits do not reach.
constexpr std::array<double, 8> kA = {
    3.3871328727963666080e0, 1.3314166789178437745e2, 1.9715909503065514427e3, 1.3731693765509461125e4,
    4.5921953931549871457e4, 6.7265770927008700853e4, 3.3430575583588128105e4, 2.5090809287301226727e3};
constexpr std::array<double, 8> kB = {1.0,
                                      4.2313330701600911252e1,
                                      6.8718700749205790830e2,
                                      5.3941960214247511077e3,
                                      2.1213794301586595867e4,
                                      3.9307895800092710610e4,
                                      2.8729085735721942674e4,
                                      5.2264952788528545610e3};
constexpr std::array<double, 8> kC = {1.42343711074968357734e0,  4.63033784615654529590e0,
                                      5.76949722146069140550e0,  3.64784832476320460504e0,
                                      1.27045825245236838258e0,  2.41780725177450611770e-1,
                                      2.27238449892691845833e-2, 7.74545014278341407640e-4};
constexpr std::array<double, 8> kD = {1.0,
                                      2.05319162663775882187e0,
                                      1.67638483018380384940e0,
                                      6.89767334985100004550e-1,
                                      1.48103976427480074590e-1,
                                      1.51986665636164571966e-2,
                                      5.47593808499534494600e-4,
                                      1.05075007164441684324e-9};

Scalar inverse_normal(KernelBuilder& b, Scalar p) {
  const auto c = [&](double x) { return b.constant(ElementType::f64, x); };
  const Scalar q = b.sub(p, c(0.5));
  const Scalar inner = b.sub(c(0.180625), b.mul(q, q));
  const Scalar central = b.div(b.mul(q, polynomial(b, inner, kA)), polynomial(b, inner, kB));
  const Scalar is_low = b.compare(ScalarOp::lt_, q, c(0));
  const Scalar tail = b.sub(b.sqrt(b.neg(b.log(b.select(is_low, p, b.sub(c(1), p))))), c(1.6));
  const Scalar outer = b.div(polynomial(b, tail, kC), polynomial(b, tail, kD));
  const Scalar is_central = b.compare(ScalarOp::le_, b.abs(q), c(0.425));
  return b.select(is_central, central, b.select(is_low, b.neg(outer), outer));
}

Scalar emit_uniform(KernelBuilder& b, const NodeView& n, std::span<const Scalar> x,
                    std::span<const Scalar> index) {
  const ElementType type = n.result_types[0].element;
  const Scalar bits = bits_of(b, n, x, index);
  const Scalar high_bits = b.binary(ScalarOp::shift_right_, bits, b.constant(ElementType::i64, 8));
  const Scalar u = type == ElementType::f64 ? probability(b, bits)
                                            : b.mul(b.convert(high_bits, type), b.constant(type, 0x1p-24));
  const double low = number(n.attributes, 2), range = number(n.attributes, 3) - low;
  return b.add(b.mul(u, b.constant(type, range)), b.constant(type, low));
}

Scalar emit_normal(KernelBuilder& b, const NodeView& n, std::span<const Scalar> x,
                   std::span<const Scalar> index) {
  const Scalar z = inverse_normal(b, probability(b, bits_of(b, n, x, index)));
  const Scalar deviation = b.constant(ElementType::f64, number(n.attributes, 3));
  const Scalar mean = b.constant(ElementType::f64, number(n.attributes, 2));
  return b.convert(b.add(b.mul(z, deviation), mean), n.result_types[0].element);
}

/// How many of the 2³² words are below: P(1) is the probability, rounded to a multiple of 2⁻³².
std::int64_t words_below(const Attributes& a) { return std::llround(number(a, 2) * 0x1p32); }

Scalar emit_bernoulli(KernelBuilder& b, const NodeView& n, std::span<const Scalar> x,
                      std::span<const Scalar> index) {
  const Scalar limit = b.let(ScalarOp::constant_, {}, ElementType::i64,
                             Constant::of_integer(ElementType::i64, words_below(n.attributes)));
  const Scalar is_below = b.compare(ScalarOp::lt_, bits_of(b, n, x, index), limit);
  return b.convert(is_below, n.result_types[0].element);
}

// ---- The reference ----

/// One turn of SplitMix64 (Steele, Lea, Flood 2014): the increment, then the finaliser.
std::uint64_t mix64(std::uint64_t x) {
  x += 0x9e3779b97f4a7c15ULL;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9ULL;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebULL;
  return x ^ (x >> 31);
}

std::uint32_t philox_word(std::uint64_t key, std::uint64_t step, std::uint64_t index) {
  auto k0 = static_cast<std::uint32_t>(key), k1 = static_cast<std::uint32_t>(key >> 32);
  const std::uint64_t block = index / 4;
  std::array<std::uint32_t, 4> c = {static_cast<std::uint32_t>(block),
                                    static_cast<std::uint32_t>(block >> 32), static_cast<std::uint32_t>(step),
                                    static_cast<std::uint32_t>(step >> 32)};
  for (int round = 0; round < 10; ++round, k0 += 0x9e3779b9U, k1 += 0xbb67ae85U) {
    const std::uint64_t p0 = 0xd2511f53ULL * c[0], p1 = 0xcd9e8d57ULL * c[2];
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k0, static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k1, static_cast<std::uint32_t>(p0)};
  }
  return c[index % 4];
}

/// By bisection of the distribution function: slow, and shares nothing with the rational functions above.
double quantile(double p) {
  double low = -10, high = 10;
  for (int i = 0; i < 100; ++i) {
    const double middle = (low + high) / 2;
    (0.5 * std::erfc(-middle / std::sqrt(2.0)) < p ? low : high) = middle;
  }
  return (low + high) / 2;
}

template <typename F>
std::vector<HostTensor> draw(const ReferenceContext& c, Operands x, F f) {
  HostTensor out{c.result_shapes[0], {}};
  const auto given = [&](std::size_t k) {
    return static_cast<std::uint64_t>(static_cast<std::int64_t>(x[k]->values[0]));
  };
  const auto stream = static_cast<std::uint64_t>(stream_of(c.attributes));
  const std::uint64_t key = mix64(given(0) ^ mix64(stream ^ mix64(given(2))));
  const std::size_t count = element_count(out.shape);
  const std::uint64_t rows = out.shape.empty() || count == 0 ? 1 : static_cast<std::uint64_t>(out.shape[0]);
  const std::uint64_t first = out.shape.empty() ? 0 : given(3) * (count / rows);
  for (std::size_t i = 0; i < count; ++i) out.values.push_back(f(philox_word(key, given(1), first + i)));
  return {std::move(out)};
}

}  // namespace

const OpDef uniform_ = {
    .name = "uniform",
    .summary = "low + (high - low) u, with u = ⌊bits / 2⁸⌋ / 2²⁴ in f32 and (bits + ½) / 2³² in f64",
    .arity = kOperands,
    .attributes = kUniformAttributes,
    .type_rule = random_type,
    .derivative = NotDifferentiable{},
    .lowering = SourceLowering{emit_uniform, true},
    .is_dear = true,
    .reference = [](const ReferenceContext& c, Operands x) {
      const double low = number(c.attributes, 2), high = number(c.attributes, 3);
      const bool is_f32 = std::get<ElementType>(c.attributes[1]) == ElementType::f32;
      return draw(c, x, [&](std::uint32_t bits) {
        return low + (high - low) * (is_f32 ? (bits >> 8) * 0x1p-24 : (bits + 0.5) * 0x1p-32);
      });
    }};

const OpDef normal_ = {
    .name = "normal",
    .summary = "mean + deviation z, with z the standard normal quantile of (bits + ½) / 2³²",
    .arity = kOperands,
    .attributes = kNormalAttributes,
    .type_rule = random_type,
    .derivative = NotDifferentiable{},
    .lowering = SourceLowering{emit_normal, true},
    .is_dear = true,
    .reference = [](const ReferenceContext& c, Operands x) {
      const double mean = number(c.attributes, 2), deviation = number(c.attributes, 3);
      return draw(c, x,
                  [&](std::uint32_t bits) { return mean + deviation * quantile((bits + 0.5) * 0x1p-32); });
    }};

const OpDef bernoulli_ = {
    .name = "bernoulli",
    .summary = "1 with the probability, else 0: whether bits < round(probability · 2³²)",
    .arity = kOperands,
    .attributes = kBernoulliAttributes,
    .type_rule = [](Types x, const Attributes& a) -> std::vector<Type> {
      const double p = number(a, 2);
      if (!(p >= 0 && p <= 1)) fail("{} is no probability", p);
      return random_type(x, a);
    },
    .derivative = NotDifferentiable{},
    .lowering = SourceLowering{emit_bernoulli, true},
    .is_dear = true,
    .reference =
        [](const ReferenceContext& c, Operands x) {
          const double p = number(c.attributes, 2);
          return draw(c, x, [&](std::uint32_t bits) { return bits < std::round(p * 0x1p32) ? 1.0 : 0.0; });
        }};

}  // namespace mlpc::ir::ops
