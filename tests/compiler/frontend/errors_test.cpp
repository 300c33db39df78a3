#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "compiler/frontend/frontend.h"

namespace mlpc {
namespace {

namespace fs = std::filesystem;

std::string read(const fs::path& path) {
  std::ifstream file(path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

/// "# options: H=3" on the first line stands for -D H=3.
frontend::FrontendOptions options_in(const std::string& source) {
  frontend::FrontendOptions options;
  constexpr std::string_view kMark = "# options: ";
  if (!source.starts_with(kMark)) return options;
  const std::string define = source.substr(kMark.size(), source.find('\n') - kMark.size());
  options.defines.emplace_back(define.substr(0, define.find('=')), define.substr(define.find('=') + 1));
  return options;
}

std::string diagnostics_of(const std::string& source, const std::string& name) {
  frontend::Diagnostics diagnostics;
  std::vector<std::unique_ptr<frontend::SourceFile>> files;
  frontend::parse_net(source, name, options_in(source), diagnostics, files);
  return diagnostics.text();
}

}  // namespace

TEST_CASE("every diagnostic id has an example, and its text is as recorded") {
  const fs::path folder = fs::path(MLPC_SOURCE_DIR) / "tests" / "errors";
  for (std::string_view id : frontend::diagnostic_ids()) {
    CAPTURE(id);
    const fs::path source = folder / (std::string(id) + ".net"),
                   expected = folder / (std::string(id) + ".expected");
    REQUIRE(fs::exists(source));
    const std::string text = diagnostics_of(read(source), source.filename().string());
    CHECK(text.find(fmt::format("[{}]", id)) != std::string::npos);
    if (std::getenv("MLPC_UPDATE_GOLDEN")) std::ofstream(expected, std::ios::binary) << text;
    CHECK(text == read(expected));
  }
}

TEST_CASE("every example of an error belongs to an id") {
  for (const auto& entry : fs::directory_iterator(fs::path(MLPC_SOURCE_DIR) / "tests" / "errors")) {
    const std::string id = entry.path().stem().string();
    CAPTURE(id);
    CHECK(std::ranges::find(frontend::diagnostic_ids(), id) != frontend::diagnostic_ids().end());
  }
}

TEST_CASE("a source that is cut anywhere, or has a byte changed, is refused or accepted, never worse") {
  const std::string source = read(fs::path(MLPC_SOURCE_DIR) / "examples" / "fashion.net");
  for (std::size_t at = 0; at < source.size(); at += 7) {
    diagnostics_of(source.substr(0, at), "cut.net");
    std::string flipped = source;
    flipped[at] = static_cast<char>(flipped[at] ^ (1 << (at % 7)));
    diagnostics_of(flipped, "flipped.net");
  }
}

TEST_CASE("independent errors are reported together, and none follows from another") {
  const std::string text = diagnostics_of(
      "model m {\n  input x[B, 4]\n  a = x + nope\n  b = a * 2\n  c = sum(x, axis = 7)\n  output y = b + "
      "c\n}\n",
      "two.net");
  CHECK(text.find("two.net:3:11: error") == 0);
  CHECK(text.find("two.net:5:21: error") != std::string::npos);
  std::size_t errors = 0;
  for (std::size_t at = 0; (at = text.find(": error: ", at)) != std::string::npos; ++at) ++errors;
  CHECK(errors == 2);
}

}  // namespace mlpc
