#pragma once

#include <map>
#include <nlohmann/json.hpp>
#include <span>
#include <string>
#include <vector>

#include "ir/evaluate.h"
#include "ir/program.h"

namespace mlpc::testing {

using Numbers = std::vector<double>;
/// Values by what they are and what they are called.
using Named = std::map<std::pair<ir::Role, std::string>, Numbers>;

/// The records of tests/oracle/recorded/GROUP.json; record.py says what is in them.
nlohmann::json recorded(const std::string& group);

/// The program of a source without free dims, at stage joint, with entries on request. Fails with the
/// diagnostics.
ir::Program joint_program(const std::string& source, std::span<const std::string> entries = {});

/// One tensor for each parameter of the graph; one that is not given is all zeros.
std::vector<ir::HostTensor> arguments_of(const ir::Graph& graph, const Named& given);

/// Results of the graph, as they came from the evaluator or from compiled code.
Named named_results(const ir::Graph& graph, const std::vector<ir::HostTensor>& values);
Named evaluated(const ir::Graph& graph, const Named& given);

/// How far the farthest element is from what is expected, in units of the largest that is expected.
double error_of(const Numbers& values, const Numbers& expected);

}  // namespace mlpc::testing
