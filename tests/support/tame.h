#pragma once

#include <vector>

#include "ir/op.h"
#include "tests/support/random_nodes.h"

namespace mlpc::testing {

/// The values of a growing graph for one extent of its free dim. A node is taken only if it is tame there:
/// its results are finite and moderate, and stay so, smoothly, when its operands move a little. So no
/// rounding, however unlucky, crosses a jump, a kink or a pole. For the extent 0, where a minimum is
/// infinite, only integers have to be moderate: the evaluator, of doubles, does not hold what an infinity
/// becomes as one.
class TameValues {
 public:
  explicit TameValues(std::int64_t extent) : extent_(extent) {}

  void push(ir::HostTensor value) { values_.push_back(std::move(value)); }
  /// Whether the node is tame; its results wait for accept().
  bool try_node(ir::Op op, const std::vector<ir::ValueId>& operands, const std::vector<ir::Type>& types,
                const ir::Attributes& attributes, const std::vector<ir::Type>& results, Random& random);
  void accept();

 private:
  const std::int64_t extent_;
  std::vector<ir::HostTensor> values_, waiting_;  // by value; of the node that was tried last
};

}  // namespace mlpc::testing
