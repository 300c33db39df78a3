#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <regex>
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

/// Places in the library are those of any edit of it.
std::string without_library_places(const std::string& text) {
  static const std::regex place("(std/[a-z_]+\\.net):[0-9]+:[0-9]+");
  return std::regex_replace(text, place, "$1:_:_");
}

/// What parse_net reports, in both forms.
struct Report {
  std::string text, json;
};
Report report_of(const std::string& source, const std::string& name) {
  frontend::Diagnostics diagnostics;
  std::vector<std::unique_ptr<frontend::SourceFile>> files;
  frontend::parse_net(source, name, options_in(source), diagnostics, files);
  return {diagnostics.text(), diagnostics.json()};
}
std::string diagnostics_of(const std::string& source, const std::string& name) {
  return report_of(source, name).text;
}

}  // namespace

TEST_CASE("every diagnostic id has an example, and its text is as recorded") {
  const fs::path folder = fs::path(MLPC_SOURCE_DIR) / "tests" / "errors";
  for (std::string_view id : frontend::kDiagnosticIds) {
    CAPTURE(id);
    const fs::path source = folder / (std::string(id) + ".net"),
                   expected = folder / (std::string(id) + ".expected");
    REQUIRE(fs::exists(source));
    const std::string text = without_library_places(diagnostics_of(read(source), source.filename().string()));
    CHECK(text.find(fmt::format("[{}]", id)) != std::string::npos);
    if (std::getenv("MLPC_UPDATE_GOLDEN")) std::ofstream(expected, std::ios::binary) << text;
    CHECK(text == read(expected));
  }
}

TEST_CASE("JSON says of each error what the text says") {
  for (std::string_view id : frontend::kDiagnosticIds) {
    CAPTURE(id);
    const std::string name = std::string(id) + ".net";
    const Report report = report_of(read(fs::path(MLPC_SOURCE_DIR) / "tests" / "errors" / name), name);
    std::size_t at = 0;  // in the text, where each of its headings is looked for in turn
    const auto find = [&](const nlohmann::json& d, const std::string& kind, const std::string& tail) {
      const std::string heading =
          fmt::format("{}:{}:{}: {}: {}{}\n", d.at("file").get<std::string>(), d.at("line").get<int>(),
                      d.at("column").get<int>(), kind, d.at("text").get<std::string>(), tail);
      at = report.text.find(heading, at);
      CHECK(at != std::string::npos);
      CHECK(std::pair(d.at("end").at("line").get<int>(), d.at("end").at("column").get<int>()) >=
            std::pair(d.at("line").get<int>(), d.at("column").get<int>()));
    };
    const nlohmann::json errors = nlohmann::json::parse(report.json);
    REQUIRE_FALSE(errors.empty());
    for (const nlohmann::json& d : errors) {
      find(d, d.at("severity").get<std::string>(), fmt::format(" [{}]", d.at("id").get<std::string>()));
      for (const nlohmann::json& note : d.at("notes")) find(note, "note", "");
      const std::string hint = d.at("hint").get<std::string>();
      if (!hint.empty()) CHECK(report.text.find("hint: " + hint + "\n", at) != std::string::npos);
    }
  }
}

TEST_CASE("JSON strings are UTF-8 whatever the source is") {
  CHECK(frontend::json_string("a\"\\\n\x7f\xc3\xbc\xe2\x88\x82\xf0\x9f\x99\x82") ==
        "\"a\\\"\\\\\\u000a\\u007f\xc3\xbc\xe2\x88\x82\xf0\x9f\x99\x82\"");
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += std::string(1, static_cast<char>(i)) + "\xe2\x88";
  CHECK(nlohmann::json::accept(frontend::json_string(bytes)));
  for (const char* bad : {"\xc0\x80", "\xed\xa0\x80", "\xf4\x90\x80\x80", "\xe0\x80\x80", "\xf0\x80\x80\x80"})
    CHECK(nlohmann::json::accept(frontend::json_string(bad)));
}

TEST_CASE("every example of an error belongs to an id") {
  for (const auto& entry : fs::directory_iterator(fs::path(MLPC_SOURCE_DIR) / "tests" / "errors")) {
    const std::string id = entry.path().stem().string();
    CAPTURE(id);
    CHECK(std::ranges::find(frontend::kDiagnosticIds, id) != frontend::kDiagnosticIds.end());
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
