#pragma once

#include <string>
#include <string_view>

namespace mlpc::testing {

// tests/golden/NAME holds the input of one phase, then a line "---- expected", then its output.

std::string golden_input(const std::string& name);
/// Compares with the expected part; with MLPC_UPDATE_GOLDEN=1 in the environment it is rewritten instead. A
/// mismatch is written to stderr, from the first line that differs.
bool matches_golden(const std::string& name, const std::string& output);

}  // namespace mlpc::testing
