#include "tests/support/golden.h"

#include <fmt/format.h>

#include <cstdlib>
#include <fstream>
#include <sstream>

#include "tests/support/files.h"

namespace mlpc::testing {
namespace {

constexpr std::string_view kBoundary = "---- expected\n";

/// From the project's root.
std::string path_of(const std::string& name) { return "tests/golden/" + name; }

void report(const std::string& name, const std::string& expected, const std::string& output) {
  std::istringstream left(expected), right(output);
  std::string want, have;
  while (std::getline(left, want) && std::getline(right, have) && want == have) {
  }
  fmt::print(stderr, "{}:\n  expected: {}\n  observed: {}\n", name, want, have);
}

}  // namespace

std::string golden_input(const std::string& name) {
  const std::string text = file_text(path_of(name));
  return text.substr(0, text.find(kBoundary));
}

bool matches_golden(const std::string& name, const std::string& output) {
  const std::string input = golden_input(name), text = file_text(path_of(name));
  if (const char* update = std::getenv("MLPC_UPDATE_GOLDEN"); update && std::string_view(update) == "1") {
    std::ofstream(MLPC_SOURCE_DIR "/" + path_of(name)) << input << kBoundary << output;
    return true;
  }
  const std::size_t boundary = text.find(kBoundary);
  const std::string expected = boundary == text.npos ? "" : text.substr(boundary + kBoundary.size());
  if (expected != output) report(name, expected, output);
  return expected == output;
}

}  // namespace mlpc::testing
