#include <doctest/doctest.h>

#include <nlohmann/json.hpp>
#include <regex>
#include <set>

#include "compiler/frontend/lexer.h"
#include "tests/compiler/frontend/sources.h"

namespace mlpc::testing {
namespace {

nlohmann::json grammar() {
  return nlohmann::json::parse(file_text("compiler/frontend/editors/net.tmLanguage.json"));
}

/// The words of a pattern `\b(?:a|b|c)\b`.
std::set<std::string> words_of(const std::string& pattern) {
  std::set<std::string> out;
  const std::size_t begin = pattern.find("(?:") + 3, end = pattern.rfind(')');
  std::stringstream words(pattern.substr(begin, end - begin));
  for (std::string word; std::getline(words, word, '|');) out.insert(word);
  return out;
}

}  // namespace

TEST_CASE("the editors' grammar has the lexer's keywords, each once") {
  std::size_t count = 0;
  std::set<std::string> all;
  const nlohmann::json json = grammar();
  for (const char* rule : {"declaration", "control", "logic", "constant"}) {
    const std::set<std::string> words =
        words_of(json.at("repository").at(rule).at("match").get<std::string>());
    count += words.size();
    all.insert(words.begin(), words.end());
  }
  CHECK(count == all.size());
  const auto keywords = frontend::keywords();
  CHECK(all == std::set<std::string>(keywords.begin(), keywords.end()));
}

TEST_CASE("every rule that the editors' grammar includes exists, and every pattern is one") {
  const nlohmann::json json = grammar();
  for (const auto& pattern : json.at("patterns"))
    CHECK(json.at("repository").contains(pattern.at("include").get<std::string>().substr(1)));
  for (const auto& [name, rule] : json.at("repository").items())
    for (const char* key : {"match", "begin", "end"})
      if (rule.contains(key)) CHECK_NOTHROW(std::regex(rule.at(key).get<std::string>()));
}

}  // namespace mlpc::testing
