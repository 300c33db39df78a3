#include "ir/axis_groups.h"

namespace mlpc::ir {

std::vector<AxisGroup> matching_groups(const Shape& operand, const Shape& result) {
  std::vector<AxisGroup> groups;
  std::size_t o = 0, r = 0;
  while (o < operand.size() || r < result.size()) {
    const std::size_t o0 = o, r0 = r;
    Dim operand_product = 1, result_product = 1;
    if (o < operand.size()) operand_product = operand[o++];
    if (r < result.size()) result_product = result[r++];
    while (operand_product != result_product && (o < operand.size() || r < result.size())) {
      const bool grow_result =
          r < result.size() &&
          (o == operand.size() || result_product.divided_by(operand_product) == std::nullopt);
      if (grow_result) {
        result_product = result_product * result[r++];
      } else {
        operand_product = operand_product * operand[o++];
      }
    }
    groups.push_back({o0, o, r0, r});
  }
  return groups;
}

}  // namespace mlpc::ir
