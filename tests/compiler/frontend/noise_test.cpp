#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "tests/compiler/frontend/sources.h"

namespace mlpc::testing {

TEST_CASE("noise is 0 at inference and is drawn afresh at every step and with every seed of training") {
  const ir::Program program =
      program_of(model("noise e[100] ~ normal(1, 2)\n metric r = sum(e)\n loss L = sum(e * e)"));
  CHECK(run(program, "loss", {}).at("L")[0] == 0);
  const double L = run(program, "forward", {{"seed", {1}}, {"step", {3}}}).at("L")[0];
  CHECK(L / 100 == doctest::Approx(5).epsilon(0.5));  // 1² + 2²
  CHECK(run(program, "forward", {{"seed", {1}}, {"step", {3}}}).at("L")[0] == L);
  CHECK(run(program, "forward", {{"seed", {1}}, {"step", {4}}}).at("L")[0] != L);
  CHECK(run(program, "forward", {{"seed", {2}}, {"step", {3}}}).at("L")[0] != L);
}

TEST_CASE("every application of a layer draws its own noise, also in layers inside") {
  const ir::Program program = program_of(
      "layer inner()(x[..]) { noise e[..] ~ uniform(0, 1)\n return x + e }\n"
      "layer outer()(x[..]) { return inner()(x) }\n" +
      model("a = inner(); b = outer()\n z = zeros(4)\n u = a(z); v = a(z); w = b(z); q = b(z)\n"
            "loss L = sum(u * v * w * q); metric same = sum(abs(u - v)); metric deep = sum(abs(w - q))"));
  const Values out = run(program, "forward", {{"seed", {1}}});
  CHECK(out.at("same")[0] > 0);
  CHECK(out.at("deep")[0] > 0);
}

TEST_CASE("dropout keeps the mean, by scaling while training or at inference") {
  const ir::Program program =
      program_of(model("input x[B]\n a = x |> dropout(0.25)\n b = x |> dropout(0.25, scale = \"test\")\n"
                       "loss A = sum(a); loss C = sum(b); metric zeros = mean(a == 0); metric big = max(a)"));
  const Values ones = {{"x", std::vector<double>(4000, 1)}, {"seed", {5}}};
  const Values trained = run(program, "forward", ones, 4000), tested = run(program, "loss", ones, 4000);
  CHECK(trained.at("zeros")[0] == doctest::Approx(0.25).epsilon(0.1));
  CHECK(trained.at("big")[0] == doctest::Approx(1 / 0.75));
  CHECK(trained.at("A")[0] / 4000 == doctest::Approx(1).epsilon(0.05));
  CHECK(trained.at("C")[0] / 4000 == doctest::Approx(0.75).epsilon(0.05));
  CHECK(tested.at("A")[0] == 4000);
  CHECK(tested.at("C")[0] == 3000);
}

TEST_CASE("what is no noise is refused") {
  CHECK(fails_with(model("noise e[4] = 3\n output y = e"), "bad-initialiser"));
  CHECK(fails_with(model("noise e[4] ~ 3\n output y = e"), "bad-initialiser"));
  CHECK(fails_with(model("noise e[..] ~ normal(0, 1)\n output y = e"), "bad-shape"));
  CHECK(fails_with(model("input x[B]\n output y = x |> dropout(1)"), "assert-failed"));
}

}  // namespace mlpc::testing
