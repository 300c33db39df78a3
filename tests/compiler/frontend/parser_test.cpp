#include <doctest/doctest.h>

#include "tests/compiler/frontend/sources.h"

namespace mlpc::testing {
namespace {

std::string tree_of_value(const std::string& expression) { return tree_of("const r = " + expression); }
bool same(const std::string& a, const std::string& b) { return tree_of_value(a) == tree_of_value(b); }
bool is_syntax_error(const std::string& source) {
  return tree_of(source).find("[syntax-error]") != std::string::npos;
}

}  // namespace

TEST_CASE("precedence is as the language reference says, tight to loose") {
  // Parentheses leave no trace in the tree.
  CHECK(same("-x^2", "-(x^2)"));
  CHECK(same("2^3^2", "2^(3^2)"));
  CHECK(same("2^-x", "2^(-x)"));
  CHECK(same("-a @ b", "(-a) @ b"));
  CHECK(same("a * b / c @ d", "((a * b) / c) @ d"));
  CHECK(same("a + b * c - d", "(a + (b * c)) - d"));
  CHECK(same("a + b < c * d", "(a + b) < (c * d)"));
  CHECK(same("not a == b", "not (a == b)"));
  CHECK(same("a or b and not c", "a or (b and (not c))"));
  CHECK(same("a or b |> f", "(a or b) |> f"));
  CHECK(same("x |> f |> g(1)", "(x |> f) |> g(1)"));
  CHECK(same("f(x)[0]^2", "(f(x)[0])^2"));
  CHECK_FALSE(same("a - b - c", "a - (b - c)"));
  CHECK_FALSE(same("x |> f as g", "x |> f"));
}

TEST_CASE("comparisons do not chain") { CHECK(is_syntax_error("const r = a < b < c")); }

TEST_CASE("a line goes on after an operator, in brackets, and before an operator other than minus") {
  const std::string one = tree_of("const r = a + b |> f(c, d)");
  CHECK(tree_of("const r = a +\n  b |> f(c,\n d)") == one);
  CHECK(tree_of("const r = a\n  # between\n\n  + b\n  |> f(c, d)") == one);
  CHECK(tree_of("const r = a -\n b") == tree_of("const r = a - b"));
  CHECK(tree_of("model m {\n a = b\n -c\n}") != tree_of("model m {\n a = b - c\n}"));
}

TEST_CASE("a semicolon ends a statement as a newline does") {
  CHECK(tree_of("model m { a = 1; b = 2 }") == tree_of("model m {\n  a = 1\n  b = 2\n}"));
}

TEST_CASE("one const may define several") {
  CHECK(tree_of("const A = 1, B = 2, C = 3") == tree_of("const A = 1\nconst B = 2\nconst C = 3"));
}

TEST_CASE("an error costs its statement, not the ones after it") {
  const std::string text = tree_of("const A = *\nconst B = 2\nmodel m {\n  x = )\n  y = 1\n  z = (\n}\n");
  CHECK(text.find("t.net:1:11: error") != std::string::npos);
  CHECK(text.find("t.net:4:7: error") != std::string::npos);
  CHECK(text.find("t.net:7:1: error") != std::string::npos);
  CHECK(text.find("t.net:2:") == std::string::npos);
}

TEST_CASE("positional arguments precede named ones") { CHECK(is_syntax_error("const r = f(a = 1, 2)")); }

TEST_CASE("keywords are no names, the words that only look like keywords are") {
  CHECK(is_syntax_error("const loss = 1"));
  CHECK_FALSE(is_syntax_error("model m { step = 1; len = 2; t = 3; next = 4; norm = 5 }"));
}

TEST_CASE("the six programs of the reference parse") {
  for (const char* name : {"mnist", "resnet", "tagger", "tinygpt", "pair_vae", "heat"}) {
    CAPTURE(name);
    const std::string source = file_text(program_file(name));
    const std::string tree = tree_of(source);
    CHECK(tree.find(": error: ") == std::string::npos);
    CHECK(tree.find("model ") != std::string::npos);
  }
}

TEST_CASE("the six programs of the reference are programs") {
  for (const char* name : {"mnist", "resnet", "tagger", "tinygpt", "pair_vae", "heat"}) {
    CAPTURE(name);
    const Outcome out = elaborated_program(name);
    CHECK_MESSAGE(out.program, out.errors);
  }
}

}  // namespace mlpc::testing
