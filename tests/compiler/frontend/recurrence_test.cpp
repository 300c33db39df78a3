#include <doctest/doctest.h>

#include <cmath>

#include "compiler/autodiff/autodiff.h"
#include "ir/verify.h"
#include "tests/compiler/frontend/sources.h"

namespace mlpc::testing {
namespace {

Values stepped(const std::string& lines, const Values& given, std::int64_t extent = 1) {
  const ir::Program program = program_of(model(lines));
  ir::verify(program);
  return run(program, "infer", given, extent);
}

}  // namespace

TEST_CASE("a recurrence is a loop over time, which is the second axis after it") {
  const Values out = stepped(
      "input x[2, 3, 1]\n recur t in 0..3 { h[-1] = ones(2, 1)\n h[t] = 2 * h[t-1] + x[:, t] }\n"
      "output y = h\n output last = h[:, -1]",
      {{"x", {1, 2, 3, 10, 20, 30}}});
  CHECK(out.at("y") == Numbers{3, 8, 19, 12, 44, 118});
  CHECK(out.at("last") == Numbers{19, 118});
}

TEST_CASE("steps of rank 0 have time as the first axis; T may be free; the time is a number") {
  const Values out =
      stepped("input x[T]\n recur t in 0..T { s[-1] = 0\n s[t] = s[t-1] + t * x[t] }\n output y = s",
              {{"x", {5, 6, 7}}}, 3);
  CHECK(out.at("y") == Numbers{0, 6, 20});
}

TEST_CASE("several steps back, several names, and values of the step itself") {
  const Values out = stepped(
      "recur t in 0..6 { f[-1], f[-2] = 1, 0\n f[t] = f[t-1] + f[t-2]\n double = 2 * f[t]\n g[t] = double + "
      "1 }\n"
      "output a = f\n output b = g",
      {});
  CHECK(out.at("a") == Numbers{1, 2, 3, 5, 8, 13});
  CHECK(out.at("b") == Numbers{3, 5, 7, 11, 17, 27});
}

TEST_CASE("tensors from outside are read at other times too, as far as they reach") {
  const Values out =
      stepped("input x[5]\n recur t in 0..2 { s[t] = x[t+1] + 10 * x[2*t] + 100 * x[4-t] }\n output y = s",
              {{"x", {1, 2, 3, 4, 5}}});
  CHECK(out.at("y") == Numbers{512, 433});
  CHECK(fails_with(model("input x[5]\n recur t in 0..5 { s[t] = x[t-1] }\n output y = s"), "bad-index"));
  CHECK(fails_with(model("input x[5]\n recur t in 0..5 { s[t] = x[t+1] }\n output y = s"), "bad-index"));
  CHECK(program_of(model("input x[N]; input z[T]\n recur t in 0..T { s[t] = x[t] }\n output y = s + z"))
            .checks.size() == 1);
}

TEST_CASE("a layer made in a step is one layer for all steps") {
  CHECK(param_paths("model m { input x[B, T, 4]\n recur t in 0..T { h[-1] = zeros(B, 2)\n"
                    "h[t] = dense(2, tanh, bias = false)(x[:, t]) + h[t-1] }\n output y = h |> dense(1, bias "
                    "= false) }") == Names{"dense.W", "dense_2.W"});
}

TEST_CASE("loops nest, and a second bracket indexes the value") {
  const Values out = stepped(
      "input x[2, 3]\n recur i in 0..2 { r[-1] = zeros(3)\n row = x[i]\n"
      "recur j in 0..3 { s[-1] = 0\n s[j] = s[j-1] + row[j] }\n r[i] = s + r[i-1][:] * 100 }\n output y = r",
      {{"x", {1, 2, 3, 4, 5, 6}}});
  CHECK(out.at("y") == Numbers{1, 104, 3, 309, 6, 615});
}

TEST_CASE("noise is drawn afresh at each step, state is handed on") {
  const ir::Program program =
      program_of(model("recur t in 0..4 { noise e ~ normal(0, 1)\n s[t] = e }\n loss l = sum(s)\n"
                       "metric a = s[0]\n metric b = s[1]"));
  const Values out = run(program, "forward", {{"seed", {1}}});
  CHECK(out.at("a")[0] != out.at("b")[0]);
  const ir::Program counting =
      program_of("layer count()(x) { state n = 0\n n <- n + x\n return n }\n" +
                 model("input x[3]\n c = count()\n recur t in 0..3 { s[t] = c(x[t]) }\n loss l = sum(s)"));
  const Values counted = run(counting, "forward", {{"x", {1, 2, 3}}, {"c.n", {10}}});
  CHECK(counted.at("c.n") == Numbers{16});
  CHECK(counted.at("l") == Numbers{11 + 13 + 16});
  CHECK(run(counting, "loss", {{"x", {1, 2, 3}}, {"c.n", {10}}}).at("l") == Numbers{30});
}

TEST_CASE("a recurrence is differentiated through time") {
  const ir::Program program =
      program_of(model("input x[3]; param w = 1\n recur t in 0..3 { s[-1] = 0\n s[t] = w * s[t-1] + x[t] }\n"
                       "output g = grad(s[-1], w)"));
  const Values out = run(autodiff::expand_derivatives(program), "infer", {{"x", {1, 2, 3}}, {"w", {2}}});
  CHECK(out.at("g") == Numbers{2 * 2 * 1 + 2});
}

TEST_CASE("what is wrong in a recurrence is said once") {
  const auto fails = [](const std::string& body, std::string_view id = "bad-recurrence") {
    const std::string errors =
        elaborated(model("input x[B, T, 4]\n recur t in 0..T { " + body + " }\n output y = h")).errors;
    CAPTURE(errors);
    CHECK(errors.find("error:", errors.find("error:") + 1) == std::string::npos);
    return errors.find("[" + std::string(id) + "]") != std::string::npos;
  };
  CHECK(fails("h[t] = h[t-1] + x[:, t]"));
  CHECK(fails("h[-1] = zeros(B, 4); h[t] = h + x[:, t]"));
  CHECK(fails("h[-1] = zeros(B, 4); h[t] = h[t+1] + x[:, t]"));
  CHECK(fails("h[t] = x[:, t]; h[t] = x[:, t]", "duplicate-name"));
  CHECK(fails("h[t] = h[t] + x[:, t]"));
  CHECK(fails("h[t+1] = x[:, t]"));
  CHECK(fails("h[t] = (x + 1)[:, t]"));
  CHECK(fails("h[t] = x[:, t:]"));
  CHECK(fails("h[t] = x[t, t]"));
  CHECK(fails("h[-1] = zeros(B, 3); h[t] = x[:, t] + h[t-1][:, :1]", "shape-mismatch"));
  CHECK(fails("h[t] = nope", "unknown-name"));
  CHECK(fails("h[t] = x[:, t]; output z = x", "not-here"));
  CHECK(fails_with(model("input x[T]\n recur t in 0..T { k = x[t] }\n output y = x"), "bad-recurrence"));
}

TEST_CASE("an error in a step says what names from outside of the loop are there") {
  const std::string errors =
      elaborated(
          "model m {\n input x[B, T, 3]; param W[3, 4] ~ he\n recur t in 0..T { h[-1] = zeros(B, 8)\n"
          "  h[t] = x[:, t] @ W + h[t-1] }\n output y = h }")
          .errors;
  CHECK(errors.find("`x` is f32[B, T, 3]") != std::string::npos);
  CHECK(errors.find("`W` is f32[3, 4]") != std::string::npos);
}

}  // namespace mlpc::testing
