#include "tests/support/tame.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace mlpc::testing {
namespace {

using namespace ir;

// Of a value. Integers stay far from where i32 overflows, and where f32 and f64, of which references are, do
// not hold them.
constexpr double kGreatest = 100, kGreatestInteger = 1e6;
constexpr double kGreatestProduct = 1e30;  // of some factors of a product: f32 holds it
// Operands move by this much, so relative to that a jump is large, a kink is of first order, and what is
// smooth is of second.
constexpr double kMove = 1e-5;
constexpr double kGrid = 1e-4;  // a few units in the last place of kGreatest in f32
constexpr double kMostChange = 1e-3, kMostBend = 1e-8;

HostTensor moved(HostTensor x, const HostTensor& direction, double by) {
  for (std::size_t i = 0; i < x.values.size(); ++i)
    x.values[i] += by * direction.values[i] * (1 + std::abs(x.values[i]));
  return x;
}

/// What lies close together made equal, by one of the grids at least: a comparison of it is no matter of
/// rounding, if it stays what it was.
HostTensor on_grid(HostTensor x, double step, double shift) {
  for (double& value : x.values) value = step * std::floor(value / step + shift);
  return x;
}

bool is_near(double y, double middle) { return std::abs(y - middle) < kMostChange * (1 + std::abs(middle)); }

bool is_smooth(double low, double middle, double high) {
  return is_near(low, middle) && is_near(high, middle) &&
         std::abs(high - 2 * middle + low) < kMostBend * (1 + std::abs(middle));
}

/// Which zero is the greatest of several is not said, so no result may tell them apart.
HostTensor with_other_zeros(HostTensor x) {
  for (double& value : x.values)
    if (value == 0) value = -value;
  return x;
}

bool is_same_or_near(double a, double b) {
  return a == b || (std::isnan(a) && std::isnan(b)) || is_near(a, b);
}

/// Whether the factors' product stays within what f32 holds in whatever order they are multiplied.
bool has_tame_products(const HostTensor& factors) {
  double greatest = 1;
  for (double x : factors.values) greatest *= std::max(1.0, std::abs(x));
  return greatest <= kGreatestProduct;
}

bool is_held(double integer, ElementType type) {
  return type == ElementType::u8 ? integer >= 0 && integer <= 255 : std::abs(integer) <= kGreatestInteger;
}

bool has_tame_integers(const std::vector<HostTensor>& values, const std::vector<Type>& types) {
  for (std::size_t r = 0; r < values.size(); ++r)
    for (double y : values[r].values)
      if (!is_float(types[r].element) && !is_held(y, types[r].element)) return false;
  return true;
}

}  // namespace

bool TameValues::try_node(Op op, const std::vector<ValueId>& operands, const std::vector<Type>& types,
                          const Attributes& attributes, const std::vector<Type>& results, Random& random) {
  if ((op == Op::reduce_prod_ || op == Op::cumprod_) && !has_tame_products(values_[operands[0].index]))
    return false;
  const std::function<std::int64_t(const Dim&)> value_of_dim = [&](const Dim& dim) {
    return dim.evaluate([&](std::string_view) { return extent_; }).value();
  };
  std::vector<std::vector<std::int64_t>> shapes;
  for (const Type& type : results) {
    shapes.emplace_back();
    for (const Dim& dim : type.shape) shapes.back().push_back(value_of_dim(dim));
  }
  std::vector<HostTensor> directions;
  for (ValueId v : operands) {
    directions.push_back(values_[v.index]);
    for (double& x : directions.back().values) x = random.between(-1, 1);
  }
  using Move = std::function<HostTensor(const HostTensor&, const HostTensor& direction)>;
  const auto results_at = [&](const Move& move) {
    std::vector<HostTensor> given;
    for (std::size_t k = 0; k < operands.size(); ++k) {
      const HostTensor& x = values_[operands[k].index];
      given.push_back(is_float(types[k].element) ? move(x, directions[k]) : x);
    }
    std::vector<const HostTensor*> pointers;
    for (const HostTensor& tensor : given) pointers.push_back(&tensor);
    return def(op).reference({results, shapes, attributes, value_of_dim}, pointers);
  };
  const auto along = [](double by) {
    return [by](const HostTensor& x, const HostTensor& direction) { return moved(x, direction, by); };
  };
  const auto near = [](double shift) {
    return [shift](const HostTensor& x, const HostTensor&) { return on_grid(x, kGrid, shift); };
  };
  waiting_ = results_at(along(0));
  if (extent_ == 0) {
    const std::vector<HostTensor> other =
        results_at([](const HostTensor& x, const HostTensor&) { return with_other_zeros(x); });
    for (std::size_t r = 0; r < waiting_.size(); ++r)
      if (!std::ranges::equal(waiting_[r].values, other[r].values, is_same_or_near)) return false;
    return has_tame_integers(waiting_, results);
  }
  const std::vector<HostTensor> low = results_at(along(-kMove)), high = results_at(along(kMove)),
                                below = results_at(near(0)), above = results_at(near(0.5));
  for (std::size_t r = 0; r < waiting_.size(); ++r)
    for (std::size_t i = 0; i < waiting_[r].values.size(); ++i) {
      const double y = waiting_[r].values[i];
      if (is_float(results[r].element) ? !(std::abs(y) <= kGreatest) : !is_held(y, results[r].element))
        return false;
      if (!is_smooth(low[r].values[i], y, high[r].values[i])) return false;
      if (!is_near(below[r].values[i], y) || !is_near(above[r].values[i], y)) return false;
    }
  return true;
}

void TameValues::accept() {
  for (HostTensor& value : waiting_) values_.push_back(std::move(value));
}

}  // namespace mlpc::testing
