#pragma once

#include <cstddef>
#include <vector>

#include "ir/type.h"

namespace mlpc::ir {

/// Axes [operand_begin, operand_end) hold the elements of result axes [result_begin, result_end).
struct AxisGroup {
  std::size_t operand_begin, operand_end, result_begin, result_end;
};

/// What a reshape takes together or apart: both shapes are cut where their leading products agree. The last
/// group takes what is left.
std::vector<AxisGroup> matching_groups(const Shape& operand, const Shape& result);

}  // namespace mlpc::ir
