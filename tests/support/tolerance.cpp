#include "tests/support/tolerance.h"

#include <cmath>
#include <limits>

namespace mlpc::testing {

double unit_of(ir::ElementType type) {
  if (type == ir::ElementType::f32) return std::numeric_limits<float>::epsilon();
  return type == ir::ElementType::f64 ? std::numeric_limits<double>::epsilon() : 0;
}

bool agree(double value, double expected, double bound) {
  if (std::isnan(value) || std::isnan(expected)) return std::isnan(value) && std::isnan(expected);
  if (std::isinf(value) || std::isinf(expected)) return value == expected;
  return std::abs(value - expected) <= bound;
}

}  // namespace mlpc::testing
