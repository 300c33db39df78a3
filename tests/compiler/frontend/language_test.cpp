#include <doctest/doctest.h>

#include "tests/compiler/frontend/sources.h"

// Small constructs, each against numbers computed by hand.

namespace mlpc::testing {

TEST_CASE("moments are the mean and the biased variance of the differences") {
  const Values out =
      run(program_of(model("input x[2, 3]\n mu, var = moments(x, axis = 0)\n a, b = moments(x)\n"
                           "output m = mu\n output v = var\n output c = a\n output d = b")),
          "infer", {{"x", {1, 2, 3, 3, 6, 3}}});
  CHECK(out.at("m") == std::vector<double>{2, 4, 3});
  CHECK(out.at("v") == std::vector<double>{1, 4, 0});
  CHECK(out.at("c")[0] == 3);
  CHECK(out.at("d")[0] == doctest::Approx(14.0 / 6));
}

TEST_CASE("causal is true on and below the diagonal; masked_mean counts what is inside") {
  const Values out =
      run(program_of(model(
              "input x[2, 3]; input len[2] : i32\n output c = where(causal(3), 1, 0)\n"
              "output m = masked_mean(x, len)\n output i = indices(4)\n output z = zeros(2) + ones(2)")),
          "infer", {{"x", {1, 2, 3, 4, 5, 6}}, {"len", {2, 1}}});
  CHECK(out.at("c") == std::vector<double>{1, 0, 0, 1, 1, 0, 1, 1, 1});
  CHECK(out.at("m")[0] == doctest::Approx((1 + 2 + 4) / 3.0));
  CHECK(out.at("i") == std::vector<double>{0, 1, 2, 3});
  CHECK(out.at("z") == std::vector<double>{1, 1});
}

TEST_CASE("lists have positions and parts") {
  CHECK(value_of("[4, 5, 6][-1] + [4, 5, 6][0] + len([1, 2][1:])") == 11);
  CHECK(fails_with(model("a = [1, 2][2]\n output y = f64(a)"), "bad-index"));
  CHECK(fails_with(model("a = [1, 2][-3]\n output y = f64(a)"), "bad-index"));
  CHECK(fails_with(model("a = [1, 2][2:1]\n output y = f64(a)"), "bad-index"));
}

TEST_CASE("a carry is updated by inference too, a state is not") {
  const ir::Program program =
      program_of(model("input x\n carry c = 1; state s = 1\n c <- c + x; s <- s + x\n"
                       "output y = c * 100 + s\n loss L = c"));
  const Values given = {{"x", {2}}, {"c", {1}}, {"s", {1}}};
  const Values out = run(program, "infer", given);
  CHECK(out.at("y")[0] == 301);
  CHECK(out.at("c")[0] == 3);
  CHECK(out.count("s") == 0);
  CHECK(run(program, "forward", given).at("s")[0] == 3);
  CHECK(run(program, "forward", given).at("c")[0] == 3);
}

TEST_CASE("several losses are added in source order, several outputs and metrics have their names") {
  const Values out =
      run(program_of(model("input x\n output a = x\n loss p = 2 * x\n metric m = p + 1\n output b = x + 1\n"
                           "loss q = x^2")),
          "loss", {{"x", {3}}});
  CHECK(out.at("loss")[0] == 15);
  CHECK(out.at("m")[0] == 7);
  CHECK(fails_with(model("input x\n output a = x\n loss a = x"), "duplicate-name"));
}

TEST_CASE("u8 images are cast in the net, library layers follow the model's type") {
  const ir::Program program =
      program_of("model m : f64 { input img[B, 4] : u8\n output y = f64(img) / 255 |> dense(2) }");
  CHECK(program.params[0].type.text() == "f64[4, 2]");
  CHECK(run(program, "infer", {{"img", {255, 0, 0, 0}}, {"dense.W", {1, 2, 3, 4, 5, 6, 7, 8}}}).at("y") ==
        std::vector<double>{1, 2});
}

TEST_CASE("batch may name dims; a metric that is watched states its mode") {
  CHECK(
      program_of(model("input x[N]; input z[M]\n loss L = sum(x) + sum(z)\n train { batch = {N: 8, M: 4} }"))
          .train == R"({"batch":{"N":8,"M":4}})");
  CHECK(fails_with(model("input x[N]\n loss L = sum(x)\n train { batch = {K: 8} }"), "bad-train-value"));
  CHECK(fails_with(
      model("input x[N]\n loss L = sum(x)\n metric a = L\n train { early_stop = patience(val.a, 2) }"),
      "bad-train-value"));
}

TEST_CASE("he takes a fan; zeros and ones are initialisers too") {
  const ir::Program program =
      program_of(model("param a[3] ~ zeros; param b[2] ~ ones; param c[5000] ~ he(fan = 8)\n output y = "
                       "sum(a) + sum(b) + sum(c)"));
  const Values drawn = run(program, "init", {{"seed", {3}}});
  CHECK(drawn.at("a") == std::vector<double>{0, 0, 0});
  CHECK(drawn.at("b") == std::vector<double>{1, 1});
  double squares = 0;
  for (double c : drawn.at("c")) squares += c * c / 5000;
  CHECK(squares == doctest::Approx(0.25).epsilon(0.1));
}

}  // namespace mlpc::testing
