#pragma once

#include "ir/evaluate.h"
#include "ir/program.h"
#include "tests/support/random_nodes.h"

namespace mlpc::testing {

/// A program of stage graph: `forward`, of about `node_count` ops from the whole table, with a loss, an
/// output, a metric and a state; and `update`, which moves parameters and slots by the gradients.
ir::Program random_program(std::size_t node_count, Random& random);

/// Values for all parameters of a graph, the same for the same (role, index) in every graph of a program.
std::vector<ir::HostTensor> arguments_for(const ir::Graph& graph, std::uint64_t seed);

}  // namespace mlpc::testing
