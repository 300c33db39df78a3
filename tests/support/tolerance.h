#pragma once

#include <cstdint>

#include "ir/type.h"

namespace mlpc::testing {

// How far apart two computations of one value may lie: the bounds of the property tests and of the op
// contract, each with its reason. Bounds of rounding are in units, the distance of neighbours at 1: twice
// what one operation errs by, relative to its result.

/// 2^-23 of f32, 2^-52 of f64; 0 of the other types, whose results are exact.
double unit_of(ir::ElementType type);

/// Whether they are within the bound. Infinities are only where they are equal, and so are NaNs.
bool agree(double value, double expected, double bound);

/// One op of operands below 1: sums have at most 250 terms, each of which adds half a unit of the sum so far,
/// in whatever order, and functions err by a few units.
inline constexpr double kUnitsOfOp = 250;

/// A scan and its gradient, each of at most 7 turns: a turn adds what sums of some 140 terms below 1 err by,
/// and bodies contract, so that earlier errors do not grow.
inline constexpr double kUnitsOfScan = 2000;

/// Each op of a random program, whose sums have at most 1000 terms. What errors of that size do to a result
/// is measured: all values are moved by a random relative kNoise, kNoiseDraws times.
inline constexpr double kUnitsOfProgramOp = 1000, kNoise = 1e-9;
inline constexpr int kNoiseDraws = 3;

/// The gradient of a convolution's squares, relative to its greatest element: three sums one after the other
/// (taps and channels, a pool, samples and places) of at most 300 terms, which together are some ten times
/// their sum.
inline constexpr double kUnitsOfConvolution = 3 * 300 * 10;

/// A sum of so many products of factors of magnitude 1, in one chain: γ(depth) Σ|x w|, with half a unit in γ.
constexpr double units_of_products(std::int64_t depth) {
  return 0.5 * static_cast<double>(depth) * static_cast<double>(depth);
}

/// One elementwise op, relative to its result. The function that errs most is pow: 2 units, and as many for
/// each unit of |y log x|, which is below 710 (codegen's kUlpBounds). Below the normal numbers units are
/// larger.
inline constexpr double kUnitsOfFunction = 2 * (1 + 710), kBelowNormal = 1e-300;

/// A cross entropy of 3 classes, of magnitude 1: exp and log err by a unit, and two sums by half of one.
inline constexpr double kUnitsOfCrossEntropy = 4;

/// f'(0), of what f is -2, -1, 1 and 2 steps h away. It errs by h⁴ f⁗′/30 and by the rounding of f, over h.
constexpr double five_point_difference(double before2, double before1, double after1, double after2,
                                       double step) {
  return (8 * (after1 - before1) - (after2 - before2)) / (12 * step);
}
template <typename F>
double five_point_difference(F f, double step) {
  return five_point_difference(f(-2 * step), f(-step), f(step), f(2 * step), step);
}

/// One op, at magnitudes of 1/4 to 3/4: the difference errs by about 1e-11 of the summed magnitudes. Where
/// tangents are 0, quotients of values of size 1 are still 1e-11, hence the share of the values.
inline constexpr double kOpStep = 1e-4, kOpDifference = 1e-8, kShareOfValues = 1e-3;

/// Smooth functions of a few ops, whose fifth derivatives may be 1000: 3e-11, and 1e-13 of rounding.
inline constexpr double kSmoothStep = 1e-3, kSmoothDifference = 1e-9;

/// A random program's slope, by a central difference at one of these steps: its second and third derivatives
/// are moderate, but kinks and jumps of higher order lie anywhere.
inline constexpr double kProgramSteps[] = {1e-5, 1e-6, 1e-7}, kProgramDifference = 1e-4;

/// Two sums of at most 2000 products in f64, in different orders, against the sum of their magnitudes.
inline constexpr double kAdjointTolerance = 1e-12;

/// A fused derivative and the derived one, of values of size 1, of which the second has cubes of 1/√eps.
inline constexpr double kFusedTolerance = 1e-10;

/// Two formulas of one value in f64, of some tens of operations each.
inline constexpr double kFormulaTolerance = 1e-13;

}  // namespace mlpc::testing
