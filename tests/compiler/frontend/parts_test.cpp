#include <doctest/doctest.h>

#include "tests/compiler/frontend/sources.h"

namespace mlpc::testing {
namespace {

/// The value of an expression of x, f64[2, 4] with the elements 1 to 8.
Numbers part(const std::string& expression) {
  return run(program_of(model("input x[2, 4]\n output y = " + expression)), "infer",
             {{"x", {1, 2, 3, 4, 5, 6, 7, 8}}})
      .at("y");
}

bool is_refused(const std::string& expression, std::string_view id) {
  return fails_with(model("input x[2, 4]\n output y = " + expression), id);
}

}  // namespace

TEST_CASE("slices have a begin, an end and a step; negative positions count from the end") {
  CHECK(part("x[:, 1:]") == Numbers{2, 3, 4, 6, 7, 8});
  CHECK(part("x[1, :2]") == Numbers{5, 6});
  CHECK(part("x[:, ::2]") == Numbers{1, 3, 5, 7});
  CHECK(part("x[:, 1:4:2]") == Numbers{2, 4, 6, 8});
  CHECK(part("x[:, -2:-1]") == Numbers{3, 7});
  CHECK(part("x[-1, -1]") == Numbers{8});
  CHECK(part("x[.., 0]") == Numbers{1, 5});
  CHECK(part("x[0, _, 3:]") == Numbers{4});
  CHECK(part("x[:, 2:2]") == Numbers{});
}

TEST_CASE("slices never clamp") {
  CHECK(is_refused("x[:, 5:]", "bad-index"));
  CHECK(is_refused("x[:, :5]", "bad-index"));
  CHECK(is_refused("x[:, 3:2]", "bad-index"));
  CHECK(is_refused("x[:, ::0]", "bad-index"));
  CHECK(is_refused("x[2]", "bad-index"));
  CHECK(is_refused("x[-3]", "bad-index"));
  CHECK(is_refused("x[0, 0, 0]", "bad-index"));
  CHECK(is_refused("x[x]", "bad-index"));
}

TEST_CASE("what cannot be proved of a slice is checked by the plan") {
  const ir::Program program = program_of(
      model("input x[B, T]; param P[8, 2] = 0\n output y = x[:, -1]\n output p = P[:T] + 0 * x[0, :, _]"));
  REQUIRE(program.checks.size() == 3);
  CHECK(program.checks[0].left.text() == "T - 1");
  CHECK(program.checks[1].left.text() == "8");
  CHECK(program.checks[1].right.text() == "T");
  CHECK(program.locations[program.checks[1].location].line == 4);
}

TEST_CASE("concat joins along an axis, stack along a new one, split takes apart") {
  CHECK(part("concat(x, 10 * x)") == Numbers{1, 2, 3, 4, 10, 20, 30, 40, 5, 6, 7, 8, 50, 60, 70, 80});
  CHECK(part("concat(x[:, :1], x[:1, :1], axis = 0)") == Numbers{1, 5, 1});
  CHECK(part("stack(x[0], x[1])") == Numbers{1, 5, 2, 6, 3, 7, 4, 8});
  CHECK(part("stack([x[0], x[1]], axis = 0)") == Numbers{1, 2, 3, 4, 5, 6, 7, 8});
  CHECK(part("split(x, 2)[1]") == Numbers{3, 4, 7, 8});
  CHECK(part("split(x, [1, 3])[0]") == Numbers{1, 5});
  CHECK(part("split(x, 2, axis = 0)[1]") == Numbers{5, 6, 7, 8});
  CHECK(is_refused("split(x, 3)[0]", "bad-shape"));
  CHECK(is_refused("split(x, [1, 2])[0]", "bad-shape"));
  CHECK(is_refused("concat(x, x[0])", "shape-mismatch"));
  CHECK(is_refused("concat(x, x > 0)", "type-mismatch"));
  CHECK(is_refused("stack(x, x[:1])", "shape-mismatch"));
  CHECK(is_refused("concat()", "missing-argument"));
}

TEST_CASE("a tensor is unpacked along its first axis") {
  const Values out = run(program_of(model("input x[2, 2]\n a, b = x\n output p = a\n output q = b")), "infer",
                         {{"x", {1, 2, 3, 4}}});
  CHECK(out.at("p") == Numbers{1, 2});
  CHECK(out.at("q") == Numbers{3, 4});
  CHECK(fails_with(model("input x[2, 2]\n a, b, c = x\n output p = a"), "unpack-count"));
  CHECK(fails_with(model("input x[B]\n a, b = x\n output p = a"), "unpack-count"));
}

TEST_CASE("pad puts zeros around, flip reverses, cumsum includes its element, windows overlap") {
  CHECK(part("pad(x[:, :1], [[1, 0], [0, 1]])") == Numbers{0, 0, 1, 0, 5, 0});
  CHECK(part("flip(x, axis = 1)") == Numbers{4, 3, 2, 1, 8, 7, 6, 5});
  CHECK(part("flip(x, axis = [0, 1])") == Numbers{8, 7, 6, 5, 4, 3, 2, 1});
  CHECK(part("cumsum(x)") == Numbers{1, 3, 6, 10, 5, 11, 18, 26});
  CHECK(part("cumsum(x, axis = 0)") == Numbers{1, 2, 3, 4, 6, 8, 10, 12});
  CHECK(part("windows(x, 2)[0]") == Numbers{1, 2, 2, 3, 3, 4});
  CHECK(part("windows(x, 2, axis = 1, stride = 2)[1]") == Numbers{5, 6, 7, 8});
  CHECK(part("windows(x, 2, dilation = 3)[0]") == Numbers{1, 4});
  CHECK(part("prod(x, axis = 1)") == Numbers{24, 1680});
  CHECK(is_refused("windows(x, 5)", "bad-shape"));
  CHECK(is_refused("flip(x)", "missing-argument"));
  CHECK(is_refused("pad(x, [[1, 0]])", "bad-shape"));
}

TEST_CASE("gather takes the rows that an input names, which each call checks") {
  const ir::Program program =
      program_of(model("input i[B, 2] : i32; param E[5, 2] = 0\n output y = gather(E, i)\n"
                       "output z = i |> embed(3, 1)"));
  CHECK(program.inputs[0].index_bound == 3);
  CHECK(paths(program.params) == Names{"E", "embed.W"});
  CHECK(run(program, "infer", {{"i", {2, 0}}, {"E", {1, 2, 3, 4, 5, 6, 7, 8, 9, 10}}}).at("y") ==
        Numbers{5, 6, 1, 2});
  CHECK(fails_with(model("input i[B]; param E[5, 2] = 0\n output y = gather(E, i)"), "type-mismatch"));
}

TEST_CASE("noise may be 0 and 1") {
  const ir::Program program = program_of(model("noise e[1000] ~ bernoulli(0.25)\n loss l = mean(e)"));
  CHECK(run(program, "forward", {{"seed", {3}}}).at("l")[0] == doctest::Approx(0.25).epsilon(0.15));
  CHECK(fails_with(model("noise e[10] ~ bernoulli(2)\n loss l = mean(e)"), "bad-initialiser"));
}

TEST_CASE("turns of a loop draw different noise") {
  const Values out =
      run(program_of(model("x = zeros(2)\n for i in 0..2 { noise e[2] ~ normal(0, 1)\n"
                           "x = 10 * x + e }\n loss l = sum(x)\n metric a = x[0]\n metric b = x[1]")),
          "forward", {{"seed", {1}}});
  CHECK(out.at("a")[0] != out.at("b")[0]);
}

}  // namespace mlpc::testing
