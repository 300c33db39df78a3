#include <doctest/doctest.h>

#include <cmath>

#include "compiler/autodiff/autodiff.h"
#include "ir/verify.h"
#include "tests/compiler/frontend/sources.h"

namespace mlpc::testing {
namespace {

/// The results of `infer`, derivatives written out.
Values derived(const std::string& lines, const Values& given, std::int64_t batch = 1) {
  const ir::Program program = program_of(model(lines));
  ir::verify(program);
  return run(autodiff::expand_derivatives(program), "infer", given, batch);
}

}  // namespace

TEST_CASE("grad is the gradient of a number, by an input, a parameter or any value, to any order") {
  const Values out = derived(
      "input x; param w = 2\n h = w * x^3\n output a = grad(h, x)\n output b = grad(h, w)\n"
      "output c = grad(h^2, h)\n g = grad(h, x)\n g2 = grad(g, x)\n output d = g2\n output e = grad(g2, x)",
      {{"x", {3}}, {"w", {2}}});
  CHECK(out.at("a")[0] == 2 * 3 * 9);
  CHECK(out.at("b")[0] == 27);
  CHECK(out.at("c")[0] == 2 * 54);
  CHECK(out.at("d")[0] == 2 * 6 * 3);
  CHECK(out.at("e")[0] == 12);
}

TEST_CASE("a list of names has a list of derivatives") {
  const Values out = derived(
      "input x[2]; input z\n a, b = grad(sum(x) * z, [x, z])\n output p = a\n output q = b\n"
      "output t = jvp(x * z, [x, z], [x, 2])\n c, d = vjp(x * z, [x, z], 1)\n output r = c\n output s = d",
      {{"x", {3, 4}}, {"z", {5}}});
  CHECK(out.at("p") == Numbers{5, 5});
  CHECK(out.at("q") == Numbers{7});
  CHECK(out.at("t") == Numbers{21, 28});
  CHECK(out.at("r") == Numbers{5, 5});
  CHECK(out.at("s") == Numbers{7});
}

TEST_CASE("jacobian has the axes of the value, then those of the target") {
  const Values out =
      derived("input x[2]\n y = x[:, _] * ones(3)\n output J = jacobian(y, x)", {{"x", {3, 4}}});
  CHECK(out.at("J") == Numbers{1, 0, 1, 0, 1, 0, 0, 1, 0, 1, 0, 1});
}

TEST_CASE("only uses of the binding count, not those of an equal value or of an older binding of the name") {
  const Values out = derived(
      "input x\n a = x * x\n b = x * x\n output p = grad(a * b, a)\n y = x\n output q = grad(x * y, y)\n"
      "z = x\n old = z^2\n z = 3 * z\n output r = grad(old + z, z)",
      {{"x", {5}}});
  CHECK(out.at("p")[0] == 25);
  CHECK(out.at("q")[0] == 5);
  CHECK(out.at("r")[0] == 1);
}

TEST_CASE("uses count through the arguments of fns, in both directions") {
  const Values out = derived(
      "input x\n fn square(z) = z * z\n output a = grad(square(x) + x, x)\n"
      "fn slope(f, x) = grad(f(x), x)\n output b = slope(square, 2 * x)\n"
      "fn by_first(p, q) = grad(p * q, p)\n output c = by_first(x, x)\n"
      "fn d(u, x) = grad(u, x)\n output e = d(square(x), x)\n fn dd(u, v) = d(d(u, v), v)\n"
      "output f = dd(x^3, x)",
      {{"x", {5}}});
  CHECK(out.at("a")[0] == 11);
  CHECK(out.at("b")[0] == 20);
  CHECK(out.at("c")[0] == 5);
  CHECK(out.at("e")[0] == 10);
  CHECK(out.at("f")[0] == 30);
}

TEST_CASE("nothing flows through stop_grad, or from a name that the value does not use") {
  const Values out =
      derived("input x; input z\n output a = grad(x * stop_grad(x), x)\n output b = grad(z, x)",
              {{"x", {5}}, {"z", {1}}});
  CHECK(out.at("a")[0] == 5);
  CHECK(out.at("b")[0] == 0);
}

TEST_CASE("a derivative stands in a loss, of a layer's output too") {
  const ir::Program program =
      program_of(model("input x[N]\n net = mlp([4, 1], tanh)\n fn u(x) = sum(net(x[:, _]), axis = 1)\n"
                       "loss l = mean((grad(sum(u(x)), x) - x)^2)"));
  CHECK(autodiff::expand_derivatives(program).find("forward") != nullptr);
}

TEST_CASE("what is no target, or has no derivative, is an error") {
  CHECK(fails_with(model("input x[2]\n output y = grad(sum(x), 2 * x)"), "bad-derivative"));
  CHECK(fails_with(model("input x[2]\n output y = grad(x, x)"), "bad-derivative"));
  CHECK(fails_with(model("input x[2]\n output y = grad(sum(x), [])"), "bad-derivative"));
  CHECK(fails_with(model("input x[2]\n xs = [x]\n output y = grad(sum(x), xs)"), "not-a-tensor"));
  CHECK(fails_with(model("input n[2] : i32; input x\n output y = grad(x, n)"), "type-mismatch"));
  CHECK(fails_with(model("input n : i32\n output y = grad(n, n)"), "type-mismatch"));
  CHECK(fails_with(model("input x[2]\n output y = jvp(x, x, zeros(3))"), "shape-mismatch"));
  CHECK(fails_with(model("input x[2]; input z\n output y = jvp(x, [x, z], 1)"), "bad-derivative"));
  CHECK(fails_with(model("input x\n output y = grad(x)"), "missing-argument"));
}

}  // namespace mlpc::testing
