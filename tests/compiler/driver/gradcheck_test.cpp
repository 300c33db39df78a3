#include "compiler/driver/gradcheck.h"

#include <doctest/doctest.h>

#include "compiler/driver/compile.h"
#include "ir/error.h"

namespace mlpc {
namespace {

driver::GradcheckReport check(const std::string& net, const driver::GradcheckOptions& options = {}) {
  return driver::gradcheck(driver::graphs({net, "net.net"}, {}, driver::StopAt::graph), options);
}

TEST_CASE("the gradients of nets with labels, noise, state and dropout are right") {
  const driver::GradcheckReport report = check(
      "layer norm(mom = 0.9)(x[B, C]) {\n"
      "  param g[C] = 1; param b[C] = 0; state m[C] = 0; state v[C] = 1\n"
      "  mu, var = if training { moments(x, axis = 0) } else { (m, v) }\n"
      "  m <- mom * m + (1 - mom) * mu; v <- mom * v + (1 - mom) * var\n"
      "  return (x - mu) / sqrt(var + 0.001) * g + b\n"
      "}\n"
      "model m {\n"
      "  input x[B, 5]; input y[B] : i32\n"
      "  h = x |> dense(7, relu) as fc |> norm() as n |> dropout(0.3)\n"
      "  z = h |> dense(4) as head\n"
      "  output p = softmax(z)\n"
      "  loss ce = mean(cross_entropy(z, y)) + 0.1 * sumsq(params(\"*.W\"))\n"
      "}\n",
      {{{"B", 6}}, 3});
  CHECK_MESSAGE(report.passed, report.text);
  for (const char* path : {"fc.W", "fc.b", "n.g", "n.b", "head.W", "head.b"})
    CHECK_MESSAGE(report.text.find(std::string("\n") + path + " ") != std::string::npos, path);
  CHECK(report.text.find("dot product: ") != std::string::npos);
  CHECK(report.text.find("FAIL") == std::string::npos);
}

TEST_CASE("what stands under stop_grad is held fixed") {
  CHECK(check("model m { param w = 2\n loss l = w * stop_grad(w) }").passed);
  // In every turn of a loop, and of a loop in a loop.
  CHECK(check("model m {\n"
              "  input x[B, T]; param w = 0.5; param v = 0.25\n"
              "  recur t in 0..T {\n"
              "    h[-1] = zeros(B)\n"
              "    recur k in 0..3 {\n"
              "      u[-1] = h[t-1]\n"
              "      u[k] = tanh(w * stop_grad(w * u[k-1]) + v)\n"
              "    }\n"
              "    h[t] = x[:, t] * w + stop_grad(h[t-1]) * u[:, 2]\n"
              "  }\n"
              "  loss l = sum(h^2)\n"
              "}")
            .passed);
}

TEST_CASE("a gradient that is not that of the loss fails") {
  // Not a number, with or without a step.
  const driver::GradcheckReport report = check("model m { param w = 2\n loss l = log(-1 - w^2) }");
  CHECK_FALSE(report.passed);
  CHECK(report.text.find("FAIL") != std::string::npos);
}

TEST_CASE("a gradient that cannot be checked is refused") {
  CHECK_THROWS_WITH_AS(check("model m { input x; output y = 2 * x }"),
                       "the model has no loss: there is no gradient to check", Error);
  CHECK_THROWS_WITH_AS(check("model m { input x[B]; param w = 1\n loss l = sum(w * x) }", {{{"C", 2}}, 0}),
                       "`C` is no free dim of the model", Error);
}

}  // namespace
}  // namespace mlpc
