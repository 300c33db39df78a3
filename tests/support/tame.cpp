#include "tests/support/tame.h"

#include <cmath>
#include <functional>

namespace mlpc::testing {
namespace {

using namespace ir;

constexpr double kGreatest = 100;  // of a value
// Operands move by this much, so relative to that a jump is large, a kink is of first order, and what is
// smooth is of second.
constexpr double kMove = 1e-5;
constexpr double kMostChange = 1e-3, kMostBend = 1e-8;

HostTensor moved(HostTensor x, const HostTensor& direction, double by) {
  for (std::size_t i = 0; i < x.values.size(); ++i)
    x.values[i] += by * direction.values[i] * (1 + std::abs(x.values[i]));
  return x;
}

bool is_smooth(double low, double middle, double high) {
  const double size = 1 + std::abs(middle);
  return std::abs(high - middle) < kMostChange * size && std::abs(low - middle) < kMostChange * size &&
         std::abs(high - 2 * middle + low) < kMostBend * size;
}

}  // namespace

bool TameValues::try_node(Op op, const std::vector<ValueId>& operands, const std::vector<Type>& types,
                          const Attributes& attributes, const std::vector<Type>& results, Random& random) {
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
  const auto results_at = [&](double by) {
    std::vector<HostTensor> given;
    for (std::size_t k = 0; k < operands.size(); ++k)
      given.push_back(is_float(types[k].element) ? moved(values_[operands[k].index], directions[k], by)
                                                 : values_[operands[k].index]);
    std::vector<const HostTensor*> pointers;
    for (const HostTensor& tensor : given) pointers.push_back(&tensor);
    return def(op).reference({results, shapes, attributes, value_of_dim}, pointers);
  };
  waiting_ = results_at(0);
  const std::vector<HostTensor> low = results_at(-kMove), high = results_at(kMove);
  for (std::size_t r = 0; r < waiting_.size(); ++r)
    for (std::size_t i = 0; i < waiting_[r].values.size(); ++i) {
      const double y = waiting_[r].values[i];
      if (!(std::abs(y) <= kGreatest) && is_float(results[r].element)) return false;
      if (!is_smooth(low[r].values[i], y, high[r].values[i])) return false;
    }
  return true;
}

void TameValues::accept() {
  for (HostTensor& value : waiting_) values_.push_back(std::move(value));
}

}  // namespace mlpc::testing
