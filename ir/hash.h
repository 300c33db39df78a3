#pragma once

#include <cstddef>
#include <span>

#include "ir/graph.h"

namespace mlpc::ir {

std::size_t mix(std::size_t seed, std::size_t value);
/// Of what makes a node: equal nodes have equal hashes.
std::size_t hash_of(Op op, std::span<const ValueId> operands, const Attributes& attributes);

}  // namespace mlpc::ir
