#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "ir/graph.h"

namespace mlpc::lowering {

/// The stacked results of a body that are one of its loop values: as turns begin with it, and as they end
/// with it. Both are one sequence of length + 1 elements, in which the loop value itself can be.
struct CarriedStack {
  std::optional<std::uint32_t> before, after;
};

/// By loop value. None of a value that another loop inside the body makes, or that is a parameter.
std::vector<CarriedStack> carried_stacks(const ir::Graph& body, std::size_t loop_count);

}  // namespace mlpc::lowering
