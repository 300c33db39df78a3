#pragma once

#include <cstdint>
#include <vector>

#include "ir/op.h"

namespace mlpc::testing {

/// SplitMix64: the same numbers on every machine, unlike the standard library's distributions.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next();
  std::size_t below(std::size_t bound) { return next() % bound; }
  bool chance(double probability) { return real() < probability; }
  double real() { return static_cast<double>(next() >> 11) * 0x1p-53; }  // in [0, 1)
  double between(double low, double high) { return low + (high - low) * real(); }

 private:
  std::uint64_t state_;
};

/// One op applied: what its type rule accepts.
struct RandomNode {
  ir::Op op;
  std::vector<ir::Type> operands;
  ir::Attributes attributes;
  std::vector<ir::Type> results;
};

/// About `count` different applications of an op, with all extents if it has axes, found by trial: operand
/// types and attributes are drawn by arity and attribute kinds alone, and its type rule decides. So an op is
/// tested by existing. Extents are 0, 1, 2, 3, 6, 7 and 65; float operands are of type `floats`.
std::vector<RandomNode> random_nodes(ir::Op op, ir::ElementType floats, std::size_t count, Random& random);

/// Whether an operand or result has an axis of that extent.
bool touches_extent(const RandomNode& node, std::int64_t extent);

/// Attributes for an op on such operands; its type rule may refuse them.
ir::Attributes random_attributes(ir::Op op, const std::vector<ir::Type>& operands, ir::ElementType floats,
                                 Random& random);

/// Values for operand k: no two of all operands are equal or close, and none is close to 0.
ir::HostTensor random_operand(const ir::Type& type, std::size_t k, bool is_positive, Random& random);
/// Independent values in -1 … 1.
ir::HostTensor random_direction(const ir::Type& type, Random& random);

}  // namespace mlpc::testing
