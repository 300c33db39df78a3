#include <doctest/doctest.h>

#include "tests/compiler/frontend/sources.h"

namespace mlpc::testing {
namespace {

struct Example {
  std::string kind, text;  // "net", "lines", "lines bad-index"
};

std::vector<Example> examples_in(const std::string& page) {
  std::vector<Example> out;
  std::stringstream lines(page);
  bool is_open = false;
  for (std::string line; std::getline(lines, line);) {
    if (line.starts_with("```")) {
      is_open = !is_open;
      if (is_open) out.push_back({line.substr(3), ""});
    } else if (is_open) {
      out.back().text += line + "\n";
    }
  }
  return out;
}

/// How many examples a page has: each is a program, or the error that it says it is.
std::size_t tried_examples(const std::string& page) {
  std::size_t tried = 0;
  for (const Example& example : examples_in(file_text(page))) {
    CAPTURE(example.text);
    const bool is_file = example.kind == "net";
    if (!is_file && !example.kind.starts_with("lines")) continue;
    const std::string source = is_file ? example.text : model(example.text);
    const std::string id = example.kind.size() > 6 && !is_file ? example.kind.substr(6) : "";
    const Outcome out = elaborated(source);
    CHECK_MESSAGE(out.program.has_value() == id.empty(), out.errors);
    CHECK(out.errors.find(id.empty() ? "" : "[" + id + "]") != std::string::npos);
    ++tried;
  }
  return tried;
}

}  // namespace

TEST_CASE("the examples of the reference are programs, or the errors that they say they are") {
  CHECK(tried_examples("compiler/frontend/README.md") >= 13);
}

TEST_CASE("the ten programs of the tour are programs") { CHECK(tried_examples("examples/README.md") == 10); }

}  // namespace mlpc::testing
