#include "compiler/codegen/vector_math.h"

#include <llvm/IR/Intrinsics.h>

#include <initializer_list>
#include <limits>
#include <vector>

// Sources of coefficients: Sun's fdlibm (log, sin, cos, the parts of ln 2 and π/2), Cephes (exp in f32); the
// series of erf in f64 is Taylor's, the polynomials of exp in f64 and erf in f32 are the best ones by Remez'
// algorithm.

namespace mlpc::codegen {

using llvm::Value;

constexpr double kInfinity = std::numeric_limits<double>::infinity();
constexpr double kLn2High = 6.93147180369123816490e-01;  // its last 32 bits are 0: n · kLn2High is exact
constexpr double kLn2Low = 1.90821492927058770002e-10;
constexpr double kLog2E = 1.44269504088896338700e+00;

/// Small steps that the functions are made of.
struct VectorMathPieces {
  explicit VectorMathPieces(VectorMath& math) : m(math), b(math.b_) {}

  static bool is_f64(Value* x) { return x->getType()->getScalarType()->isDoubleTy(); }
  llvm::Type* with_width_of(Value* x, llvm::Type* scalar) const {
    const auto* vector = llvm::dyn_cast<llvm::FixedVectorType>(x->getType());
    return vector ? llvm::FixedVectorType::get(scalar, vector->getNumElements()) : scalar;
  }
  llvm::Type* integers_like(Value* x) const {
    return with_width_of(x, is_f64(x) ? b.getInt64Ty() : b.getInt32Ty());
  }
  Value* num(Value* like, double c) const { return llvm::ConstantFP::get(like->getType(), c); }
  Value* bits(Value* x) const { return b.CreateBitCast(x, integers_like(x)); }
  Value* integer(Value* like, std::int64_t c) const {
    return llvm::ConstantInt::get(integers_like(like), static_cast<std::uint64_t>(c), true);
  }
  bool has_ldexp() const { return m.has_ldexp_; }
  Value* abs(Value* x) const { return b.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, x); }
  Value* copysign(Value* x, Value* sign) const {
    return b.CreateBinaryIntrinsic(llvm::Intrinsic::copysign, x, sign);
  }
  Value* is_nan(Value* x) const { return b.CreateFCmpUNO(x, x); }
  Value* clamp(Value* x, double low, double high) const {  // NaN becomes low
    return at_most(b.CreateSelect(b.CreateFCmpOGT(x, num(x, low)), x, num(x, low)), high);
  }
  Value* at_most(Value* x, double high) const {  // NaN becomes high
    return b.CreateSelect(b.CreateFCmpOLT(x, num(x, high)), x, num(x, high));
  }
  Value* below(Value* x, double high) const {  // NaN stays
    return b.CreateSelect(b.CreateFCmpOGT(x, num(x, high)), num(x, high), x);
  }
  /// Horner, highest coefficient first.
  Value* polynomial(Value* x, std::initializer_list<double> coefficients) const {
    return horner(x, std::vector<double>(coefficients));
  }
  Value* horner(Value* x, const std::vector<double>& coefficients) const {
    Value* sum = num(x, coefficients.front());
    for (std::size_t i = 1; i < coefficients.size(); ++i) sum = m.fma(sum, x, num(x, coefficients[i]));
    return sum;
  }
  /// The nearest integer to a moderate x · scale, as a float and as an integer: adding 1.5 · 2^(mantissa)
  /// rounds to it.
  struct Rounded {
    Value *number, *integer;
  };
  Rounded round(Value* x, double scale) const {
    const double magic = is_f64(x) ? 0x1.8p52 : 0x1.8p23;
    Value* shifted = m.fma(x, num(x, scale), num(x, magic));
    Value* zero = bits(num(x, magic));
    return {b.CreateFSub(shifted, num(x, magic)), b.CreateSub(bits(shifted), zero)};
  }
  /// 2ⁿ for n in the range of normal exponents.
  Value* power_of_two(Value* like, Value* n) const {
    const bool wide = is_f64(like);
    return b.CreateBitCast(
        b.CreateShl(b.CreateAdd(n, integer(like, wide ? 1023 : 127)), integer(like, wide ? 52 : 23)),
        like->getType());
  }
  /// x · 2ⁿ in two steps, so that results below the normal range are rounded once and those above are
  /// infinite.
  Value* scale(Value* x, Value* n) const {
    if (has_ldexp()) {
      Value* exponent = b.CreateTrunc(n, with_width_of(x, b.getInt32Ty()));
      return b.CreateIntrinsic(llvm::Intrinsic::ldexp, {x->getType(), exponent->getType()}, {x, exponent});
    }
    Value* half = b.CreateAShr(n, integer(x, 1));
    return b.CreateFMul(b.CreateFMul(x, power_of_two(x, half)), power_of_two(x, b.CreateSub(n, half)));
  }
  /// f in f64, rounded: for f32.
  template <typename F>
  Value* in_f64(Value* x, F f) const {
    Value* wide = b.CreateFPExt(x, with_width_of(x, b.getDoubleTy()));
    return b.CreateFPTrunc(f(wide), x->getType());
  }

  /// r = x - n ln 2 with |r| ≤ ln 2 / 2, and n.
  Rounded reduce(Value* x, Value*& r) const {
    const Rounded n = round(x, kLog2E);
    r = m.fma(n.number, num(x, -kLn2High), x);
    r = m.fma(n.number, num(x, -kLn2Low), r);
    return n;
  }
  /// (eʳ - 1 - r) / r² for |r| ≤ 0.347, which adds less than 2⁻⁶¹ to the error of eʳ - 1. Even powers and odd
  /// ones are chains of their own, for latency is what a vector of exponentials costs.
  Value* exp_tail(Value* r, Value* square) const {
    Value* even = polynomial(square, {2.087532728257558e-09, 2.755740301903126e-07, 2.4801587171662476e-05,
                                      0.0013888888888963038, 0.041666666666666505, 0.5});
    Value* odd = polynomial(square, {2.5109107594720306e-08, 2.7557244035135496e-06, 0.00019841269886269894,
                                     0.008333333333321586, 0.16666666666666677});
    return m.fma(odd, r, even);
  }
  /// eʳ - 1.
  Value* expm1_of_reduced(Value* r) const {
    Value* square = b.CreateFMul(r, r);
    return m.fma(square, exp_tail(r, square), r);
  }

  VectorMath& m;
  llvm::IRBuilder<>& b;
};

namespace {

using Pieces = VectorMathPieces;

/// f(x), but 0 below `edge`, where the arithmetic gets another argument: results below the normal range cost
/// some processors a hundred times as much, and masked scores are -inf by the half.
template <typename F>
Value* vanishing_below(const Pieces& p, Value* x, double edge, F f) {
  Value* vanishes = p.b.CreateFCmpOLT(x, p.num(x, edge));
  Value* result = f(p.b.CreateSelect(vanishes, p.num(x, 0), x));
  return p.b.CreateSelect(vanishes, p.num(x, 0), result);
}

Value* exp_f64(const Pieces& p, Value* x) {
  return vanishing_below(p, x, -746, [&](Value* in) {
    Value* r = nullptr;
    const Pieces::Rounded n = p.reduce(p.below(in, 710), r);
    return p.scale(p.b.CreateFAdd(p.expm1_of_reduced(r), p.num(x, 1)), n.integer);
  });
}

/// x = n ln 2 + r, ln 2 in two parts.
Value* reduced_f32(const Pieces& p, Value* x, const Pieces::Rounded& n) {
  Value* r = p.m.fma(n.number, p.num(x, -0.693359375), x);
  return p.m.fma(n.number, p.num(x, 2.12194440e-4), r);
}

/// (eʳ - 1 - r) / r² of Cephes' expf.
Value* exp_tail_f32(const Pieces& p, Value* r) {
  return p.polynomial(r, {1.9875691500e-4, 1.3981999507e-3, 8.3334519073e-3, 4.1665795894e-2, 1.6666665459e-1,
                          5.0000001201e-1});
}

/// eʳ.
Value* reduced_exp_f32(const Pieces& p, Value* r) {
  Value* one = p.num(r, 1);
  return p.m.fma(p.m.fma(exp_tail_f32(p, r), r, one), r, one);
}

Value* exp_f32(const Pieces& p, Value* x) {
  return vanishing_below(p, x, -104, [&](Value* in) {
    Value* bounded = p.below(in, 89);
    const Pieces::Rounded n = p.round(bounded, kLog2E);
    return p.scale(reduced_exp_f32(p, reduced_f32(p, bounded, n)), n.integer);
  });
}

/// eˣ where that is neither below nor above the normal range: n goes right into the exponent.
Value* moderate_exp_f32(const Pieces& p, Value* x) {
  const Pieces::Rounded n = p.round(x, kLog2E);
  Value* reduced = reduced_exp_f32(p, reduced_f32(p, x, n));
  return p.b.CreateBitCast(p.b.CreateAdd(p.bits(reduced), p.b.CreateShl(n.integer, p.integer(x, 23))),
                           x->getType());
}

/// 2ⁿ (eʳ - 1) + (2ⁿ - 1), for x up to 88, in f64 up to 709; NaN stays.
Value* moderate_expm1(const Pieces& p, Value* x) {
  Value *r = nullptr, *e = nullptr;  // eʳ - 1
  Pieces::Rounded n{};
  if (Pieces::is_f64(x)) {
    n = p.reduce(x, r);
    e = p.expm1_of_reduced(r);
  } else {
    n = p.round(x, kLog2E);
    r = reduced_f32(p, x, n);
    e = p.m.fma(exp_tail_f32(p, r), p.b.CreateFMul(r, r), r);
  }
  Value* power = p.power_of_two(x, n.integer);
  return p.m.fma(power, e, p.b.CreateFSub(power, p.num(x, 1)));
}

Value* expm1(const Pieces& p, Value* x) {
  const bool wide = Pieces::is_f64(x);
  const double most = wide ? 709 : 88;
  Value* result = moderate_expm1(p, p.clamp(x, wide ? -50 : -25, most));
  result =
      p.b.CreateSelect(p.b.CreateFCmpOGT(x, p.num(x, most)), wide ? exp_f64(p, x) : exp_f32(p, x), result);
  result = p.b.CreateSelect(p.b.CreateFCmpOEQ(x, p.num(x, 0)), x, result);  // -0
  return p.b.CreateSelect(p.is_nan(x), x, result);
}

/// fdlibm's log and logf: x = 2ᵏ (1 + f) with 1 + f in [√½, √2), log(1 + f) = f - (f²/2 - s (f²/2 + R(s²))),
/// s = f / (2 + f).
Value* log(const Pieces& p, Value* x) {
  llvm::IRBuilder<>& b = p.b;
  const bool wide = Pieces::is_f64(x);
  const int mantissa_bits = wide ? 52 : 23, up = wide ? 54 : 25;  // denormals are scaled by 2^up
  const std::int64_t sqrt_half = wide ? 0x3fe6a09e00000000 : 0x3f3504f3;
  Value* is_tiny = b.CreateFCmpOLT(x, p.num(x, wide ? 0x1p-1022 : 0x1p-126));
  Value* normal = b.CreateSelect(is_tiny, b.CreateFMul(x, p.num(x, wide ? 0x1p54 : 0x1p25)), x);
  Value* shift = p.integer(x, mantissa_bits);
  Value* exponent = b.CreateAShr(b.CreateSub(p.bits(normal), p.integer(x, sqrt_half)), shift);
  Value* mantissa = b.CreateBitCast(b.CreateSub(p.bits(normal), b.CreateShl(exponent, shift)), x->getType());
  Value* k = b.CreateSIToFP(b.CreateSub(exponent, b.CreateSelect(is_tiny, p.integer(x, up), p.integer(x, 0))),
                            x->getType());
  Value* f = b.CreateFSub(mantissa, p.num(x, 1));
  Value* s = b.CreateFDiv(f, b.CreateFAdd(f, p.num(x, 2)));
  Value* z = b.CreateFMul(s, s);
  Value* series =
      wide ? p.polynomial(z, {1.479819860511658591e-01, 1.531383769920937332e-01, 1.818357216161805012e-01,
                              2.222219843214978396e-01, 2.857142874366239149e-01, 3.999999999940941908e-01,
                              6.666666666666735130e-01})
           : p.polynomial(z, {0.24279078841, 0.28498786688, 0.40000972152, 0.66666662693});
  Value* rest = b.CreateFMul(z, series);
  Value* half_square = b.CreateFMul(p.num(x, 0.5), b.CreateFMul(f, f));
  Value* low = b.CreateFMul(k, p.num(x, wide ? kLn2Low : 9.0580006145e-06));
  Value* correction = b.CreateFAdd(b.CreateFMul(s, b.CreateFAdd(half_square, rest)), low);
  Value* result = b.CreateFSub(b.CreateFMul(k, p.num(x, wide ? kLn2High : 6.9313812256e-01)),
                               b.CreateFSub(b.CreateFSub(half_square, correction), f));
  result = b.CreateSelect(b.CreateFCmpOEQ(x, p.num(x, kInfinity)), x, result);
  result = b.CreateSelect(b.CreateFCmpOEQ(x, p.num(x, 0)), p.num(x, -kInfinity), result);
  return b.CreateSelect(b.CreateFCmpULT(x, p.num(x, 0)), p.num(x, std::numeric_limits<double>::quiet_NaN()),
                        result);
}

/// log(u) of u = 1 + x, and what the rounding of u lost.
Value* log1p(const Pieces& p, Value* x) {
  llvm::IRBuilder<>& b = p.b;
  Value* u = b.CreateFAdd(x, p.num(x, 1));
  Value* of_u = log(p, u);
  Value* lost = b.CreateFDiv(b.CreateFSub(b.CreateFSub(u, p.num(x, 1)), x), u);
  Value* result = b.CreateSelect(b.CreateFCmpOEQ(u, p.num(x, 1)), x, b.CreateFSub(of_u, lost));
  Value* is_edge = b.CreateOr(b.CreateFCmpOEQ(u, p.num(x, 0)), b.CreateFCmpOEQ(u, p.num(x, kInfinity)));
  return b.CreateSelect(is_edge, of_u, result);
}

/// (e²ˣ - 1) / (e²ˣ + 1) of |x|; 1 beyond 22, in f32 beyond 10. NaN goes through all of it.
Value* tanh(const Pieces& p, Value* x) {
  llvm::IRBuilder<>& b = p.b;
  Value* magnitude = p.below(p.abs(x), Pieces::is_f64(x) ? 22 : 10);
  Value* t = moderate_expm1(p, b.CreateFAdd(magnitude, magnitude));
  return p.copysign(b.CreateFDiv(t, b.CreateFAdd(t, p.num(x, 2))), x);
}

/// erf x = 2/√π e^(-x²) Σ 2ⁿ x²ⁿ⁺¹ / (2n+1)!!, whose terms are all positive; 1 from 5.93 on.
Value* erf_f64(const Pieces& p, Value* x) {
  constexpr double kEdge = 6;
  constexpr int kTerms = 128;
  llvm::IRBuilder<>& b = p.b;
  Value* a = p.clamp(p.abs(x), 0, kEdge);
  std::vector<double> coefficients;
  double c = 1;
  for (int n = 0; n < kTerms; ++n) {
    coefficients.insert(coefficients.begin(), c);
    c *= 2.0 / (2 * n + 3);
  }
  // Sum and exponential take the same rounded a²: their product varies so slowly with it that the rounding is
  // harmless.
  Value* square = b.CreateFMul(a, a);
  Value* e = exp_f64(p, b.CreateFNeg(square));
  Value* sum = b.CreateFMul(a, p.horner(square, coefficients));
  Value* result = b.CreateFMul(b.CreateFMul(sum, e), p.num(a, 1.12837916709551257390));
  result = b.CreateSelect(b.CreateFCmpOGE(p.abs(x), p.num(x, kEdge)), p.num(x, 1), result);
  return b.CreateSelect(p.is_nan(x), x, p.copysign(result, x));
}

/// x P(x²) below 1; from there 1 - e^Q(|x|), where Q is log erfc, till 4, from where on it is 1.
Value* erf_f32(const Pieces& p, Value* x) {
  llvm::IRBuilder<>& b = p.b;
  Value* a = p.below(p.abs(x), 4);
  Value* square = b.CreateFMul(a, a);
  Value* near = b.CreateFMul(
      a, p.polynomial(square, {7.85386108897e-5, -0.000801019353379, 0.0051883276737, -0.0268538119279,
                               0.112835851484, -0.376126258242, 1.12837916573}));
  Value* log_erfc = p.polynomial(a, {0.000186776691817, -0.00295187394617, 0.0218563009195, -0.103147946897,
                                     -0.638093590436, -1.1271224839, -0.000332693014861});
  Value* far = b.CreateFSub(p.num(x, 1), moderate_exp_f32(p, log_erfc));
  return p.copysign(b.CreateSelect(b.CreateFCmpOGE(a, p.num(x, 1)), far, near), x);  // NaN: near
}

/// sin(x + quarter · π/2), by fdlibm's kernels after a reduction by π/2 in three parts of 33 bits.
Value* sine_f64(const Pieces& p, Value* x, int quarter) {
  llvm::IRBuilder<>& b = p.b;
  constexpr double kFarthest = 1.6e6;
  Value* is_near = b.CreateFCmpOLE(p.abs(x), p.num(x, kFarthest));
  Value* in = b.CreateSelect(is_near, x, p.num(x, 0));
  const Pieces::Rounded n = p.round(in, 6.36619772367581382433e-01);
  Value* r = b.CreateFSub(in, b.CreateFMul(n.number, p.num(x, 1.57079632673412561417e+00)));
  Value* w = b.CreateFMul(n.number, p.num(x, 6.07710050630396597660e-11));
  Value* high = b.CreateFSub(r, w);
  Value* low = b.CreateFSub(b.CreateFSub(r, high), w);  // what the subtraction lost
  low = b.CreateFSub(low, b.CreateFMul(n.number, p.num(x, 2.02226624879595063154e-21)));
  Value* y = b.CreateFAdd(high, low);
  Value* tail = b.CreateFAdd(b.CreateFSub(high, y), low);
  Value* z = b.CreateFMul(y, y);
  Value* s =
      p.polynomial(z, {1.58969099521155010221e-10, -2.50507602534068634195e-08, 2.75573137070700676789e-06,
                       -1.98412698298579493134e-04, 8.33333333332248946124e-03});
  Value* cube = b.CreateFMul(z, y);
  Value* inner = b.CreateFSub(
      b.CreateFMul(z, b.CreateFSub(b.CreateFMul(p.num(x, 0.5), tail), b.CreateFMul(cube, s))), tail);
  Value* sine =
      b.CreateFSub(y, b.CreateFSub(inner, b.CreateFMul(cube, p.num(x, -1.66666666666666324348e-01))));
  Value* c = b.CreateFMul(z, p.polynomial(z, {-1.13596475577881948265e-11, 2.08757232129817482790e-09,
                                              -2.75573143513906633035e-07, 2.48015872894767294178e-05,
                                              -1.38888888888741095749e-03, 4.16666666666666019037e-02}));
  Value* half = b.CreateFMul(p.num(x, 0.5), z);
  Value* first = b.CreateFSub(p.num(x, 1), half);
  Value* lost = b.CreateFSub(b.CreateFSub(p.num(x, 1), first), half);
  Value* cosine =
      b.CreateFAdd(first, b.CreateFAdd(lost, b.CreateFSub(b.CreateFMul(z, c), b.CreateFMul(y, tail))));
  Value* turn = b.CreateAdd(n.integer, p.integer(x, quarter));
  Value* zero = p.integer(x, 0);
  Value* is_odd = b.CreateICmpNE(b.CreateAnd(turn, p.integer(x, 1)), zero);
  Value* is_negative = b.CreateICmpNE(b.CreateAnd(turn, p.integer(x, 2)), zero);
  Value* result = b.CreateSelect(is_odd, cosine, sine);
  result = b.CreateSelect(is_negative, b.CreateFNeg(result), result);
  if (quarter == 0) result = b.CreateSelect(b.CreateFCmpOEQ(x, p.num(x, 0)), x, result);
  return b.CreateSelect(is_near, result, p.num(x, std::numeric_limits<double>::quiet_NaN()));
}

/// |x|^y = e^(y log |x|), and the cases of IEEE 754 section 9.2.1.
Value* pow_f64(const Pieces& p, Value* x, Value* y) {
  llvm::IRBuilder<>& b = p.b;
  Value *one = p.num(x, 1), *zero = p.num(x, 0);
  Value* result = p.m.exp(b.CreateFMul(y, log(p, p.abs(x))));
  Value* half = b.CreateFMul(y, p.num(y, 0.5));
  Value* is_integer = b.CreateFCmpOEQ(p.m.floor(y), y);
  Value* is_odd = b.CreateAnd(is_integer, b.CreateFCmpONE(p.m.floor(half), half));
  Value* is_negative = b.CreateICmpSLT(p.bits(x), p.integer(x, 0));
  result = b.CreateSelect(b.CreateAnd(is_negative, is_odd), b.CreateFNeg(result), result);
  Value* is_real = b.CreateOr(
      is_integer, b.CreateOr(b.CreateFCmpUGE(x, zero), b.CreateFCmpOEQ(p.abs(x), p.num(x, kInfinity))));
  result = b.CreateSelect(is_real, result, p.num(x, std::numeric_limits<double>::quiet_NaN()));
  Value* is_unit =
      b.CreateAnd(b.CreateFCmpOEQ(p.abs(x), one), b.CreateFCmpOEQ(p.abs(y), p.num(y, kInfinity)));
  Value* is_one = b.CreateOr(is_unit, b.CreateOr(b.CreateFCmpOEQ(y, zero), b.CreateFCmpOEQ(x, one)));
  return b.CreateSelect(is_one, one, result);
}

template <typename F>
Value* widened(const Pieces& p, Value* x, F f) {
  return Pieces::is_f64(x) ? f(x) : p.in_f64(x, f);
}

}  // namespace

Value* VectorMath::fma(Value* a, Value* x, Value* c) {
  if (!has_fma_) return b_.CreateFAdd(b_.CreateFMul(a, x), c);
  return b_.CreateIntrinsic(llvm::Intrinsic::fma, {a->getType()}, {a, x, c});
}

Value* VectorMath::exp(Value* x) {
  const Pieces p(*this);
  return Pieces::is_f64(x) ? exp_f64(p, x) : exp_f32(p, x);
}

Value* VectorMath::expm1(Value* x) { return codegen::expm1(Pieces(*this), x); }

Value* VectorMath::log(Value* x) { return codegen::log(Pieces(*this), x); }

Value* VectorMath::log1p(Value* x) { return codegen::log1p(Pieces(*this), x); }

Value* VectorMath::tanh(Value* x) { return codegen::tanh(Pieces(*this), x); }

/// 1 / (1 + e^-x); for x < 0 as eˣ / (1 + eˣ), which does not overflow.
Value* VectorMath::sigmoid(Value* x) {
  const Pieces p(*this);
  Value* e = exp(b_.CreateFNeg(p.abs(x)));
  Value* numerator = b_.CreateSelect(b_.CreateFCmpOLT(x, p.num(x, 0)), e, p.num(x, 1));
  return b_.CreateFDiv(numerator, b_.CreateFAdd(e, p.num(x, 1)));
}

Value* VectorMath::erf(Value* x) {
  const Pieces p(*this);
  return Pieces::is_f64(x) ? erf_f64(p, x) : erf_f32(p, x);
}

Value* VectorMath::sin(Value* x) {
  const Pieces p(*this);
  return widened(p, x, [&](Value* v) { return sine_f64(p, v, 0); });
}

Value* VectorMath::cos(Value* x) {
  const Pieces p(*this);
  return widened(p, x, [&](Value* v) { return sine_f64(p, v, 1); });
}

Value* VectorMath::pow(Value* x, Value* y) {
  const Pieces p(*this);
  if (Pieces::is_f64(x)) return pow_f64(p, x, y);
  llvm::Type* wide = p.with_width_of(x, b_.getDoubleTy());
  return b_.CreateFPTrunc(pow_f64(p, b_.CreateFPExt(x, wide), b_.CreateFPExt(y, wide)), x->getType());
}

/// Rounds to the nearest integer by adding and taking off 2^mantissa, then steps down where that was above.
Value* VectorMath::floor(Value* x) {
  const Pieces p(*this);
  const double magic = Pieces::is_f64(x) ? 0x1p52 : 0x1p23;
  Value* a = p.abs(x);
  Value* nearest = p.copysign(b_.CreateFSub(b_.CreateFAdd(a, p.num(x, magic)), p.num(x, magic)), x);
  Value* below = b_.CreateSelect(b_.CreateFCmpOGT(nearest, x), b_.CreateFSub(nearest, p.num(x, 1)), nearest);
  return b_.CreateSelect(b_.CreateFCmpOLT(a, p.num(x, magic)), p.copysign(below, x), x);
}

}  // namespace mlpc::codegen
