#include <doctest/doctest.h>

#include "tests/compiler/frontend/sources.h"

namespace mlpc::testing {

TEST_CASE("layers of a loop have fresh parameters, one turn a path") {
  CHECK(param_paths(
            "model m { input x[B, 4]\n for n in [3, 2] { x2 = x |> dense(n, bias = false)\n x = x2 }\n"
            "output y = x |> dense(1, bias = false) }") == Names{"dense[0].W", "dense[1].W", "dense_2.W"});
  CHECK(param_paths("layer l(n)(x[.., m]) { for i in [1, 2] { x = x |> dense(i * n, bias = false)\n"
                    "for j in [1, 1] { d = dense(i + 4 * j, bias = false)\n x = d(x) } }\n return x }\n"
                    "model m { input x[B, 4]\n output y = l(3)(x) }") ==
        Names{"l.dense[0].W", "l.d[0][0].W", "l.d[0][1].W", "l.dense[1].W", "l.d[1][0].W", "l.d[1][1].W"});
  CHECK(
      param_paths(
          "model m { input x[B, 4]\n for i in [5, 6] { param w[i] = 1\n x = x + sum(w) }\n output y = x }") ==
      Names{"w[0]", "w[1]"});
}

TEST_CASE(
    "a loop rebinds names that were bound outside; others stay inside; straight-line code makes new values") {
  const std::string source =
      "input x\n y = x\n for k in [2, 3] { y = y * k; z = y }\n output a = y\n output b = x";
  const Values out = run(program_of(model(source)), "infer", {{"x", {7}}});
  CHECK(out.at("a")[0] == 42);
  CHECK(out.at("b")[0] == 7);
  CHECK(fails_with(model(source + "\n output c = z"), "unknown-name"));
  CHECK(fails_with(model(source + "\n output c = k * x"), "unknown-name"));
  const std::string nested = "input x\n for i in 0..2 { for j in 0..3 { x = x + i * j } }\n output a = x";
  CHECK(run(program_of(model(nested)), "infer", {{"x", {1}}}).at("a")[0] == 4);
  const std::string empty = "input x\n for i in 3..3 { x = nope }\n output a = x";
  CHECK(run(program_of(model(empty)), "infer", {{"x", {1}}}).at("a")[0] == 1);
}

TEST_CASE("repeat makes its layer at each turn; a bound name is shared; a function is applied") {
  CHECK(param_paths(
            "model m { input x[B, 4]\n output y = x |> repeat(0, dense(4)) |> dense(2, bias = false) }") ==
        Names{"dense.W"});
  const Values out =
      run(program_of("fn twice(x) = 2 * x\n" + model("input x\n output y = x |> repeat(5, twice)\n"
                                                     "output z = repeat(3, twice)(x)")),
          "infer", {{"x", {1}}});
  CHECK(out.at("y")[0] == 32);
  CHECK(out.at("z")[0] == 8);
  CHECK(
      param_paths("model m { input x[B, 4]\n d = dense(4, bias = false)\n output y = x |> repeat(3, d) }") ==
      Names{"d.W"});
}

TEST_CASE("a loop that is wrong is reported once, and nothing follows from it") {
  const std::string errors =
      elaborated(model("input x[B]\n y = x\n for i in 0..9 { y = y + nope }\n output z = y * 2")).errors;
  CHECK(errors.find("[unknown-name]") != std::string::npos);
  CHECK(errors.find("error:", errors.find("error:") + 1) == std::string::npos);
  CHECK(fails_with(model("input x[B]\n for i in 0..B { x = x + 1 }\n output y = x"), "not-a-number"));
  CHECK(fails_with(model("input x[B]\n for i in x { x = x + 1 }\n output y = x"), "bad-value"));
  CHECK(fails_with(model("input x[B]\n for i in [1, 2] { output y = x }"), "not-here"));
  CHECK(fails_with(model("input x[B]\n y = repeat(2, relu)\n output z = x"), "not-here"));
  CHECK(fails_with("layer l()(x) { for i in [1, 2] { return x } }\n" + model("input x\n output y = l()(x)"),
                   "not-here"));
  CHECK(fails_with(model("input x[B]\n output y = x |> repeat(2, dropout)"), "layer-not-made"));
}

TEST_CASE("loops have a budget, reported with the loop that exceeded it") {
  const std::string errors =
      elaborated(model("input x\n for i in 0..200 { for j in 0..200 { y = i + j } }\n output z = x")).errors;
  CHECK(errors.find("[too-large]") != std::string::npos);
  CHECK(errors.find("for j in") != std::string::npos);
}

}  // namespace mlpc::testing
