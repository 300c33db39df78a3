#include <doctest/doctest.h>

#include <filesystem>

#include "ir/text.h"
#include "tests/compiler/frontend/sources.h"

namespace mlpc::testing {
namespace {

namespace fs = std::filesystem;

std::string formatted(const std::string& source) {
  frontend::Diagnostics diagnostics;
  std::vector<std::unique_ptr<frontend::SourceFile>> files;
  return frontend::formatted(source, "t.net", diagnostics, files).value_or(diagnostics.text());
}

/// Paths of all networks under a folder, relative to the root.
std::vector<std::string> networks_under(const std::string& folder) {
  std::vector<std::string> out;
  for (const auto& entry : fs::recursive_directory_iterator(fs::path(MLPC_SOURCE_DIR) / folder))
    if (entry.path().extension() == ".net")
      out.push_back(fs::relative(entry.path(), MLPC_SOURCE_DIR).string());
  REQUIRE_FALSE(out.empty());
  return out;
}

/// The program without what belongs to the text alone.
std::string program_text(const std::string& source) {
  Outcome out = elaborated(source);
  if (!out.program) return "none";
  std::string text = ir::print(*out.program), kept;
  std::stringstream lines(text);
  for (std::string line; std::getline(lines, line);)
    if (!line.starts_with("loc ")) kept += line.substr(0, line.find(" @")) + "\n";
  return kept;
}

}  // namespace

TEST_CASE(
    "all networks of the tree keep their meaning when they are formatted, and formatting again changes "
    "nothing") {
  for (const char* folder : {"tests", "examples", "compiler/frontend/std"})
    for (const std::string& path : networks_under(folder)) {
      CAPTURE(path);
      const std::string source = file_text(path), once = formatted(source);
      if (once.find(": error: ") != std::string::npos) continue;  // one of tests/errors
      CHECK(formatted(once) == once);
      CHECK(tree_of(once) == tree_of(source));
      CHECK(program_text(once) == program_text(source));
    }
}

TEST_CASE("the library is in the layout that it teaches") {
  for (const std::string& path : networks_under("compiler/frontend/std")) {
    CAPTURE(path);
    CHECK(formatted(file_text(path)) == file_text(path));
  }
}

TEST_CASE("blanks are put where they belong") {
  CHECK(formatted("const a=-1+ 2*( b-c )^ 2 , d=[1 ,2]\n") == "const a = -1 + 2 * (b - c)^2, d = [1, 2]\n");
  CHECK(formatted("model m:f64{input x[ B ,4 ]:i32;}") == "model m : f64 { input x[B, 4] : i32 }\n");
  CHECK(formatted("model m { y=x[ : ,1 :n:2, .. , _ ] ;z = f ( x ) [0](1)}") ==
        "model m { y = x[:, 1:n:2, .., _]; z = f(x)[0](1) }\n");
  CHECK(formatted("model m { a,b=if c{(1,2)}else{ - 3 }\n}") ==
        "model m {\n  a, b = if c { (1, 2) } else { -3 }\n}\n");
  CHECK(formatted("model m { train { batch={N :2,M: 3} } }") ==
        "model m { train { batch = {N: 2, M: 3} } }\n");
  CHECK(formatted("model m { for i in 0 .. 3{h=h|>f} }") == "model m { for i in 0..3 { h = h |> f } }\n");
  CHECK(formatted("model m { s<-not a and-b<c }") == "model m { s <- not a and -b < c }\n");
}

TEST_CASE("lines break where the author broke them, and are indented by what encloses them") {
  CHECK(formatted("model m {\nh = x\n|> dense(4,\nrelu)\n|> f(\ny\n)\nif c { a = 1\n} else{ a = 2 }\n}") ==
        "model m {\n  h = x\n    |> dense(4,\n      relu)\n    |> f(\n      y\n    )\n  if c {\n    a = 1\n"
        "  } else { a = 2 }\n}\n");
}

TEST_CASE("comments stay, below each other where their lines are neighbours; one blank line stays of many") {
  CHECK(formatted("# top\n\n\n\nconst a = 1 # one\nconst bcd = 2     # two\n\n# alone\nmodel m { # opens\n\n"
                  "# first\na = 1\n\n\nb = 2\n# last\n\n}\n# end") ==
        "# top\n\nconst a = 1    # one\nconst bcd = 2  # two\n\n# alone\nmodel m {  # opens\n  # first\n"
        "  a = 1\n\n  b = 2\n  # last\n}\n# end\n");
  CHECK(formatted("const a = [ # x\n# y\n1, # z\n\n2]") == "const a = [  # x\n  # y\n  1,  # z\n\n  2]\n");
}

TEST_CASE("semicolons stay only between statements of one line") {
  CHECK(formatted("model m { ;;a = 1;; b = 2;\n;c = 3; }") == "model m {\n  a = 1; b = 2\n  c = 3\n}\n");
}

TEST_CASE("nothing and comments alone are sources too") {
  CHECK(formatted("") == "");
  CHECK(formatted("\n\n") == "");
  CHECK(formatted("  # a\n\n\n# b") == "# a\n\n# b\n");
}

TEST_CASE("a source with a syntax error has no layout") {
  CHECK(formatted("const a = (1").find("[syntax-error]") != std::string::npos);
}

TEST_CASE("a time is tight, a sum stands apart from its product") {
  const auto keeps = [](const std::string& line) { return formatted(line + "\n") == line + "\n"; };
  CHECK(formatted("h[t]=f(h[ t - 1 ],x[:,t+1,..])\n") == "h[t] = f(h[t-1], x[:, t+1, ..])\n");
  CHECK(keeps("y[i, j] = sum(u, v in 0..3) x[i + u, 2 * j + v] * w[u, v]"));
  CHECK(keeps("y[i] = sum(k) (a[i, k] + 1) * b[k] - c"));
  CHECK(keeps("x = [n - 1, H - 2 * k]"));
}

}  // namespace mlpc::testing
