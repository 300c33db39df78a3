#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "ir/verify.h"
#include "tests/compiler/frontend/sources.h"

namespace mlpc::testing {
TEST_CASE("lecture.net computes the lecture's formulas") {
  const ir::Program program = program_of(file_text("examples/lecture.net"));
  const Values at = {{"x1", {0.5}}, {"x2", {2}},   {"y", {1}},    {"w1", {0.3}}, {"w2", {0.7}},
                     {"w3", {1.1}}, {"w4", {0.2}}, {"w5", {0.9}}, {"w6", {0.4}}};
  const double a3 = 0.9 * 0.5 + 0.4 * 2, yhat = 0.3 * (1.1 * a3) + 0.7 * (0.2 * a3);
  CHECK(run(program, "infer", at).at("prediction")[0] == doctest::Approx(yhat));
  CHECK(run(program, "loss", at).at("L")[0] == doctest::Approx((1 - yhat) * (1 - yhat)));
  CHECK(run(program, "forward", at).at("loss") == run(program, "loss", at).at("L"));
  CHECK(paths(program.params) == Names{"w1", "w2", "w3", "w4", "w5", "w6"});
  CHECK(program.params[1].offset == 64);
}

TEST_CASE("fashion.net has the graphs, paths, checks and settings that the other phases read") {
  const ir::Program program = program_of(file_text("examples/fashion.net"));
  for (const char* graph : {"infer", "loss", "forward", "update", "init"}) CHECK(program.find(graph));
  CHECK(paths(program.params) == Names{"fc1.W", "fc1.b", "fc2.W", "fc2.b", "head.W", "head.b"});
  CHECK(program.params[0].type.text() == "f32[784, 256]");
  CHECK(program.slots[0].path == "m/fc1.W");
  CHECK(program.dims == Names{"B"});
  REQUIRE(program.inputs.size() == 2);
  CHECK(program.inputs[0].type.text() == "u8[B, 28, 28]");
  CHECK(program.inputs[0].index_bound == 0);
  CHECK(program.inputs[1].index_bound == 10);
  CHECK(program.train == R"({"batch":128,"epochs":10,"seed":1})");
  ir::verify(program);
}

TEST_CASE("a define replaces a const before it is used") {
  const ir::Program program = program_of(file_text("examples/fashion.net"), {.defines = {{"H1", "32"}}});
  CHECK(program.params[0].type.text() == "f32[784, 32]");
}

TEST_CASE("a define may name a function, a layer or an initialiser of the file or of the library") {
  const std::string source =
      "fn own(x) = x * x\n"
      "model m : f64 {\n const act = own, made = dense, first = zeros\n input x[1, 2]\n param w[2] ~ first\n"
      "output y = act(x) + w\n output z = x |> made(1) }";
  CHECK(run(program_of(source), "infer", {{"x", {1, -2}}}).at("y") == Numbers{1, 4});
  const ir::Program other = program_of(source, {.defines = {{"act", "abs"}, {"first", "ones"}}});
  CHECK(run(other, "infer", {{"x", {1, -2}}}).at("y") == Numbers{1, 2});
  CHECK(run(other, "init", {}).at("w") == Numbers{1, 1});
  CHECK(fails_with(source, "unknown-name", {.defines = {{"act", "nothing"}}}));
  CHECK(fails_with(source, "bad-define", {.defines = {{"act", "a b"}}}));
}

TEST_CASE("a name that is nowhere is one error, and each other such name one more") {
  const std::string errors =
      elaborated("model m {\n input x[B]\n a = nope + x\n b = nope * none\n output y = none\n}").errors;
  CHECK(errors.find("3:6: error: `nope`") != std::string::npos);
  CHECK(errors.find("5:13: error: `none`") != std::string::npos);
  CHECK(errors.find("4:") == std::string::npos);
}

TEST_CASE("settings on the command line replace those of the source") {
  const ir::Program program =
      program_of(file_text("examples/fashion.net"), {.train = {{"batch", "64"}, {"seed", "7"}}});
  CHECK(program.train == R"({"batch":64,"epochs":10,"seed":7})");
}

TEST_CASE("anonymous layers are numbered in textual order, bound and named ones are not counted") {
  CHECK(param_paths("model m { input x[B, 4]\n a = dense(4, bias = false)\n"
                    "output y = x |> dense(4, bias = false) |> a |> dense(4, bias = false) as c\n"
                    "  |> dense(4, bias = false) }") == Names{"dense.W", "a.W", "c.W", "dense_2.W"});
}

TEST_CASE("a layer bound to a name and applied twice has one set of parameters, a layer made twice has two") {
  CHECK(param_paths("model m { input x[B, 4]\n a = dense(4)\n output y = a(a(x)) }").size() == 2);
  CHECK(param_paths("model m { input x[B, 4]\n output y = dense(4)(dense(4)(x)) }").size() == 4);
  // Also where a fn applies them: naming happens where a layer is made.
  CHECK(param_paths("fn twice(f, g, x) = g(f(x))\nmodel m { input x[B, 4]\n"
                    "output y = twice(dense(4), dense(4), x) }")
            .size() == 4);
}

TEST_CASE("two layers never get one path") {
  CHECK(fails_with("model m { input x[B, 4]\n a = dense(4)\n h = a(x)\n a = dense(4)\n output y = a(h) }",
                   "duplicate-name"));
  CHECK(fails_with("model m { input x[B, 4]\n output y = x |> dense(4) as c |> dense(4) as c }",
                   "duplicate-name"));
  CHECK(param_paths("model m { input x[B, 4]\n dense_2 = dense(4, bias = false)\n"
                    "output y = x |> dense(4, bias = false) |> dense(4, bias = false) |> dense_2 }") ==
        Names{"dense.W", "dense_3.W", "dense_2.W"});
}

TEST_CASE("parameters of layers in layers have their whole path") {
  CHECK(param_paths("layer two(n)(x[.., m]) { h = x |> dense(n, bias = false)\n"
                    "last = dense(n, bias = false)\n return last(h) }\n"
                    "model m { input x[B, 4]\n enc = two(3)\n output y = enc(x) |> two(2) }") ==
        Names{"enc.dense.W", "enc.last.W", "two.dense.W", "two.last.W"});
}

TEST_CASE("parameters exist in every mode") {
  CHECK(
      fails_with("layer l()(x[B, n]) { if training { param b[n] = 0\n return x + b }\n return x }\n"
                 "model m { input x[B, 4]\n loss e = mean(l()(x)) }",
                 "bad-parameter"));
  CHECK(
      fails_with("layer l()(x[B, n]) { if not training { param b[n] = 0\n return x + b }\n return x }\n"
                 "model m { input x[B, 4]\n loss e = mean(l()(x)) }",
                 "bad-parameter"));
}

TEST_CASE("relu, max with a literal and where are one function, also at its kink") {
  for (double x : {-1.5, 0.0, 2.0}) {
    const Values out = run(program_of(model("input x\n output a = relu(x)\n output b = max(x, 0)\n"
                                            "output c = where(x > 0, x, 0)")),
                           "infer", {{"x", {x}}});
    CHECK(out.at("a") == std::vector<double>{std::max(x, 0.0)});
    CHECK(out.at("a") == out.at("b"));
    CHECK(out.at("a") == out.at("c"));
  }
}

TEST_CASE("only the literal extent 1 is repeated, and two names are two dims") {
  CHECK(fails_with(model("input x[B, 4]\n input z[N, 4]\n output y = x + z"), "shape-mismatch"));
  CHECK(fails_with(model("input x[B, 4]\n input z[B, 2]\n output y = x + z"), "shape-mismatch"));
  const Values out = run(program_of(model("input x[B, 1]\n input z[3]\n output y = x + z")), "infer",
                         {{"x", {1, 2}}, {"z", {10, 20, 30}}}, 2);
  CHECK(out.at("y") == std::vector<double>{11, 21, 31, 12, 22, 32});
}

TEST_CASE("element types are never converted silently") {
  CHECK(fails_with("model m { input x[B]; input n[B] : i32\n output y = x * n }", "type-mismatch"));
  CHECK(fails_with("model m { input n[B] : i32\n output y = exp(n) }", "type-mismatch"));
  CHECK(program_of("model m { input n[B] : u8\n output y = f32(n) / 255 }").find("infer"));
}

TEST_CASE("a matrix product treats a tensor of rank 1 as a row or a column") {
  const Values out = run(program_of(model("input a[2]; input M[2, 2]\n output l = a @ M\n output r = M @ a\n"
                                          "output s = a @ a")),
                         "infer", {{"a", {1, 10}}, {"M", {1, 2, 3, 4}}});
  CHECK(out.at("l") == std::vector<double>{31, 42});
  CHECK(out.at("r") == std::vector<double>{21, 43});
  CHECK(out.at("s") == std::vector<double>{101});
}

TEST_CASE("reductions take all axes unless told") {
  const Values out = run(program_of(model("input x[2, 3]\n output a = sum(x)\n output b = mean(x, axis = 0)\n"
                                          "output c = max(x, axis = -1)\n output d = argmax(x)\n"
                                          "output e = mean(x > 2)\n output f = sum(x, axis = [0, 1])")),
                         "infer", {{"x", {1, 2, 3, 6, 5, 4}}});
  CHECK(out.at("a") == std::vector<double>{21});
  CHECK(out.at("b") == std::vector<double>{3.5, 3.5, 3.5});
  CHECK(out.at("c") == std::vector<double>{3, 6});
  CHECK(out.at("d") == std::vector<double>{2, 0});
  CHECK(out.at("e")[0] == doctest::Approx(4.0 / 6));
  CHECK(out.at("f") == out.at("a"));
}

TEST_CASE("cross_entropy is -log softmax at the class, for ids and for probabilities, smoothed or not") {
  const Values out = run(program_of(model("input z[B, 3]; input y[B] : i32; input q[B, 3]\n"
                                          "output a = cross_entropy(z, y)\n output b = cross_entropy(z, q)\n"
                                          "output c = cross_entropy(z, y, smooth = 0.3)")),
                         "infer", {{"z", {1, 2, 4}}, {"y", {1}}, {"q", {0, 1, 0}}});
  const double total = std::log(std::exp(1) + std::exp(2) + std::exp(4));
  CHECK(out.at("a")[0] == doctest::Approx(total - 2));
  CHECK(out.at("b")[0] == doctest::Approx(total - 2));
  CHECK(out.at("c")[0] == doctest::Approx(total - (0.1 * 1 + 0.8 * 2 + 0.1 * 4)));
}

TEST_CASE("the library's activations are their formulas") {
  CHECK(value_of("leaky_relu(f64(-2))") == doctest::Approx(-0.02));
  CHECK(value_of("gelu(f64(1.5))") == doctest::Approx(0.75 * (1 + std::erf(1.5 / std::sqrt(2)))));
  CHECK(value_of("silu(f64(-1))") == doctest::Approx(-1 / (1 + std::exp(1))));
  CHECK(value_of("elu(f64(-1))") == doctest::Approx(std::exp(-1) - 1));
  CHECK(value_of("mish(f64(1))") == doctest::Approx(std::tanh(std::log1p(std::exp(1)))));
  CHECK(value_of("hard_sigmoid(f64(1.5))") == doctest::Approx(0.75));
}

TEST_CASE("a user's definition hides the library's") {
  const ir::Program program =
      program_of("fn relu(x) = 7 * x\nmodel m : f64 { input x\n output y = x |> relu }");
  CHECK(run(program, "infer", {{"x", {-1}}}).at("y")[0] == -7);
}

TEST_CASE("a hole makes a function, also through a layer's hyperparameter") {
  const ir::Program program = program_of(
      "layer l(act)(x) { return act(x) }\n"
      "model m : f64 { input x\n output y = x |> l(leaky_relu(_, 0.5)) }");
  CHECK(run(program, "infer", {{"x", {-4}}}).at("y")[0] == -2);
}

TEST_CASE("numbers are computed at compile time, whole where they are extents") {
  CHECK(value_of("7 // 2 + 7 % 4 + -7 // 2") == 2);
  CHECK(value_of("7 / 2") == 3.5);
  CHECK(value_of("-2^2 + 2^3^2") == 508);
  CHECK(fails_with(model("const n = 1 / 0\n output y = f64(n)"), "bad-value"));
  CHECK(fails_with(model("const n = log(0)\n output y = f64(n)"), "bad-value"));
  CHECK(fails_with(model("input x[7 / 2]\n output y = x"), "not-a-number"));
  CHECK(fails_with(model("const n = 1e999\n output y = f64(n)"), "bad-number"));
  CHECK(fails_with(model("const n = 123456789012345678901234567890\n output y = f64(n)"), "bad-number"));
}

TEST_CASE("an if on a compile-time condition elaborates only the branch taken") {
  const std::string source =
      "const BIG = true\nmodel m : f64 { input x[4]\n"
      "output y = if BIG { x @ x } else { x @ transpose(x) } }";
  CHECK(elaborated(source).program);
  CHECK_FALSE(elaborated(source, {.defines = {{"BIG", "false"}}}).program);
}

TEST_CASE("where the extents of a name are known only at run time, it stands for a number") {
  const ir::Program program = program_of(model("input x[B]\n output y = sum(x) / B"));
  CHECK(run(program, "infer", {{"x", {1, 2, 6}}}, 3).at("y")[0] == 3);
}

TEST_CASE("state is written while training only, and later reads see it") {
  const ir::Program program = program_of(
      "layer counter()(x[B]) { state n = 5\n n <- n + 1\n n <- n * 2\n return x * n }\n"
      "model m : f64 { input x[B]\n loss e = sum(counter()(x)) }");
  const Values given = {{"x", {1, 1}}, {"counter.n", {5}}};
  CHECK(run(program, "loss", given, 2).at("loss")[0] == 10);
  const Values trained = run(program, "forward", given, 2);
  CHECK(trained.at("loss")[0] == 24);
  CHECK(trained.at("counter.n")[0] == 12);
  CHECK(run(program, "init", {}).at("counter.n")[0] == 5);
}

TEST_CASE("an expression of parameters by pattern sees those of the enclosing layer") {
  const ir::Program program =
      program_of(model("input x[B, 2]\n h = x |> dense(2)\n loss l2 = sumsq(params(\"*.W\")) + mean(h)"));
  const double loss = run(program, "loss", {{"dense.W", {1, 2, 3, 4}}, {"x", {0, 0}}}).at("l2")[0];
  CHECK(loss == 30);
}

TEST_CASE("an initialiser is a function of the fans") {
  const ir::Program program = program_of(
      model("param W[4, 6] ~ xavier; param K[8, 3, 5, 5] ~ he\n"
            "param c[3] ~ constant(0.5); param e[2] ~ ones\n output y = sum(W) + sum(K) + sum(c) + sum(e)"));
  const Values drawn = run(program, "init", {{"seed", {3}}});
  const double bound = std::sqrt(6.0 / 10), deviation = std::sqrt(2.0 / (3 * 25));
  for (double w : drawn.at("W")) CHECK(std::abs(w) <= bound);
  double squares = 0;
  for (double k : drawn.at("K")) squares += k * k / static_cast<double>(drawn.at("K").size());
  CHECK(std::sqrt(squares) == doctest::Approx(deviation).epsilon(0.1));  // 600 draws: ±3 %
  CHECK(drawn.at("c") == std::vector<double>(3, 0.5));
  CHECK(drawn.at("e") == std::vector<double>(2, 1));
  CHECK(run(program, "init", {{"seed", {4}}}).at("W") != drawn.at("W"));
}

TEST_CASE("each value knows where it was written, and in which layer") {
  const ir::Program program = program_of(file_text("examples/fashion.net"));
  const ir::Graph& graph = *program.find("infer");
  bool in_layer = false;
  for (std::size_t i = 0; i < graph.value_count(); ++i)
    for (std::uint32_t l : graph.locations({static_cast<std::uint32_t>(i)}))
      in_layer = in_layer || program.locations.at(l).application == "fc1";
  CHECK(in_layer);
}

}  // namespace mlpc::testing
