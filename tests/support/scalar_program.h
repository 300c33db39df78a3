#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "ir/evaluate.h"
#include "ir/program.h"

namespace mlpc::testing {

/// A program of stage graph with parameters a, b, … of one type, whose forward graph has these lines and the
/// loss %y.
ir::Program program_of_lines(std::string_view lines, std::size_t param_count = 1,
                             std::string_view type = "f64[]");

/// What a graph computes from the values of its parameters by name; a name that is missing is 1. The graph
/// has no free dims.
std::vector<ir::HostTensor> values_by_name(const ir::Graph& graph,
                                           const std::vector<std::pair<std::string, ir::HostTensor>>& given);

/// The value called `name` in what values_by_name gave.
double scalar_named(const ir::Graph& graph, const std::vector<ir::HostTensor>& values, std::string_view name);
bool has_value_named(const ir::Graph& graph, std::string_view name);

}  // namespace mlpc::testing
