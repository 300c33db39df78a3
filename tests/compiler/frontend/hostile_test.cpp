#include <doctest/doctest.h>

#include "tests/compiler/frontend/sources.h"

// Sources that would take all stack, memory or time if nothing had a limit. Each ends with an error.

namespace mlpc::testing {
namespace {

std::string repeated(std::string_view text, std::size_t n) {
  std::string out;
  for (std::size_t i = 0; i < n; ++i) out += text;
  return out;
}

bool is_refused(const std::string& source, std::string_view id) {
  const Outcome out = elaborated(source);
  return !out.program && out.errors.find("[" + std::string(id) + "]") != std::string::npos;
}

}  // namespace

TEST_CASE("nesting of every kind has a limit") {
  constexpr std::size_t kMany = 20000;
  for (const char* open : {"(", "[", "f(", "-", "not ", "x[", "{a: ", "if c {", "2^", "if c { 1 } else "}) {
    CAPTURE(open);
    CHECK(is_refused("const a = " + repeated(open, kMany), "too-deep"));
  }
  for (const char* open : {"model m {\n", "if c {\n", "layer l()(x) {\n", "if c { a = 1 } else "}) {
    CAPTURE(open);
    CHECK(is_refused("model m {\n" + repeated(open, kMany), "too-deep"));
  }
}

TEST_CASE("chains make trees as high as nesting does, and have a limit too") {
  constexpr std::size_t kMany = 20000;
  for (const char* link : {" + a", " * a", " and a", "[0]", "(a)", ".b", " |> a", " @ a"}) {
    CAPTURE(link);
    CHECK(is_refused("const a = a" + repeated(link, kMany), "too-deep"));
  }
}

TEST_CASE("endless recursion is an error") {
  CHECK(is_refused("fn f(x) = f(x)\n" + model("output y = f64(f(1))"), "too-deep"));
  CHECK(is_refused("fn f(x) = g(x)\nfn g(x) = f(x) + 1\n" + model("output y = f64(f(1))"), "too-deep"));
  CHECK(is_refused("layer l()(x) { return l()(x) }\n" + model("output y = l()(f64(1))"), "too-deep"));
}

TEST_CASE("work that doubles with each definition is bounded") {
  std::string calls = "fn f0(x) = x\n", lists = "const a0 = [1, 1]\n", values = "h0 = f64(1)\n";
  for (int i = 1; i < 40; ++i) {
    const std::string n = std::to_string(i), before = std::to_string(i - 1);
    calls += "fn f" + n + "(x) = f" + before + "(f" + before + "(x))\n";
    lists += "const a" + n + " = [a" + before + ", a" + before + "]\n";
    values += "h" + n + " = h" + before + " + h" + before + "\n";
  }
  CHECK(is_refused(calls + model("output y = f64(f39(1))"), "too-large"));
  CHECK(is_refused(lists + model("output y = f64(1)"), "too-large"));
  CHECK(
      elaborated(model(values + "output y = h39")).program);  // a value is one node however often it is used
}

TEST_CASE("extents that no machine holds are refused, not multiplied") {
  CHECK(
      is_refused(model("param W[4000000000, 4000000000, 4000000000] = 0\n output y = sum(W)"), "too-large"));
  CHECK(is_refused(model("param W[4000000000, 1000000000] = 0\n output y = sum(W)"), "too-large"));
  CHECK(is_refused(model("const n = 9007199254740992 * 9007199254740992\n output y = f64(n)"), "bad-value"));
}

TEST_CASE("a long line of small statements takes time in proportion") {
  CHECK(is_refused("const a = 1" + repeated(", a = 1", 100000) + "\nmodel m { }", "duplicate-name"));
  CHECK(is_refused(model(repeated("a = nope\n", 100000)), "unknown-name"));
  CHECK(is_refused(model(repeated("a = 1;", 200000)), "no-result"));
}

TEST_CASE("at most twenty errors are reported") {
  std::string lines;
  for (int i = 0; i < 100; ++i) lines += "a" + std::to_string(i) + " = nope" + std::to_string(i) + "\n";
  const std::string errors = elaborated(model(lines)).errors;
  std::size_t count = 0;
  for (std::size_t at = 0; (at = errors.find("error: ", at)) != std::string::npos; ++at) ++count;
  CHECK(count == 20);
}

TEST_CASE("bytes that are no text are refused") {
  std::string bytes;
  for (int i = 0; i < 256; ++i) bytes += static_cast<char>(i);
  CHECK_FALSE(elaborated(bytes).program);
  CHECK_FALSE(elaborated(std::string(3, '\0')).program);
  CHECK_FALSE(elaborated("").program);
}

TEST_CASE("programs with a token dropped, doubled or swapped are accepted or refused, never worse") {
  for (const char* name : {"mnist", "resnet", "tagger", "tinygpt", "pair_vae", "heat"}) {
    const std::string source = file_text(program_file(name));
    for (std::size_t at = 0; at + 8 < source.size(); at += 53) {
      elaborated(source.substr(0, at) + source.substr(at + 3));
      elaborated(source.substr(0, at) + source.substr(at, 4) + source.substr(at));
      elaborated(source.substr(0, at) + source.substr(at + 4, 4) + source.substr(at, 4) +
                 source.substr(at + 8));
    }
  }
}

}  // namespace mlpc::testing
