#include <doctest/doctest.h>

#include <cmath>
#include <numbers>

#include "tests/compiler/frontend/sources.h"

namespace mlpc::testing {
namespace {

/// A model with the parameters p and q[2] and one setting of `train`, or several.
ir::Program trained_by(const std::string& settings) {
  return program_of(model("param p = 1; param q[2] = 1\n loss L = p + sum(q)\n train { " + settings + " }"));
}

/// p after n steps from p = 1 with the gradient `g` each time.
double after_steps(const std::string& optimizer, double g, int n) {
  const ir::Program program = trained_by("optimizer = " + optimizer);
  Values at = {{"p", {1}}, {"p.grad", {g}}, {"q", {1, 1}}, {"q.grad", {0, 0}}, {"steps", {100}}};
  for (int step = 0; step < n; ++step) {
    at["step"] = {static_cast<double>(step)};
    for (const auto& [name, values] : run(program, "update", at)) at[name] = values;
  }
  return at.at("p")[0];
}

double rate_at(const std::string& schedule, double step, double steps, double epoch) {
  const ir::Program program = trained_by("optimizer = sgd(lr = " + schedule + ")");
  const Values out =
      run(program, "update",
          {{"p", {0}}, {"p.grad", {-1}}, {"step", {step}}, {"steps", {steps}}, {"epoch", {epoch}}});
  return out.at("p")[0];
}

bool setting_fails(const std::string& settings, std::string_view id) {
  const Outcome out =
      elaborated(model("param p = 1\n loss L = p\n metric a = 2 * p\n train { " + settings + " }"));
  return out.errors.find("[" + std::string(id) + "]") != std::string::npos;
}

}  // namespace

TEST_CASE("sgd subtracts the gradient, with momentum a running sum of gradients") {
  CHECK(after_steps("sgd(lr = 0.1)", 2, 2) == doctest::Approx(1 - 0.4));
  // v: 2, then 0.9 · 2 + 2
  CHECK(after_steps("sgd(lr = 0.1, momentum = 0.9)", 2, 2) == doctest::Approx(1 - 0.1 * (2 + 3.8)));
  // nesterov: g + 0.9 v
  CHECK(after_steps("sgd(lr = 0.1, momentum = 0.9, nesterov = true)", 2, 1) ==
        doctest::Approx(1 - 0.1 * (2 + 0.9 * 2)));
  CHECK(after_steps("sgd(lr = 0.1, wd = 0.5)", 2, 1) == doctest::Approx(1 - 0.1 * (2 + 0.5)));
}

TEST_CASE("adam and adamw follow their papers, with PyTorch's epsilon and decay") {
  const auto adam = [](double decay_of_gradient, double decay_of_weight) {
    double p = 1, m = 0, v = 0;
    for (int t = 1; t <= 3; ++t) {
      const double g = 0.3 + decay_of_gradient * p;
      m = 0.9 * m + 0.1 * g;
      v = 0.999 * v + 0.001 * g * g;
      const double corrected = m / (1 - std::pow(0.9, t)), root = std::sqrt(v / (1 - std::pow(0.999, t)));
      p = p * (1 - 0.01 * decay_of_weight) - 0.01 * corrected / (root + 1e-8);
    }
    return p;
  };
  CHECK(after_steps("adam(lr = 0.01)", 0.3, 3) == doctest::Approx(adam(0, 0)).epsilon(1e-12));
  CHECK(after_steps("adam(lr = 0.01, wd = 0.1)", 0.3, 3) == doctest::Approx(adam(0.1, 0)).epsilon(1e-12));
  CHECK(after_steps("adamw(lr = 0.01, wd = 0.2)", 0.3, 3) == doctest::Approx(adam(0, 0.2)).epsilon(1e-12));
  CHECK(after_steps("adamw(lr = 0.01)", 0.3, 3) == doctest::Approx(adam(0, 0.01)).epsilon(1e-12));
}

TEST_CASE("schedules give the rate of the step") {
  CHECK(rate_at("0.5", 3, 10, 0) == 0.5);
  CHECK(rate_at("constant(0.5)", 3, 10, 0) == 0.5);
  CHECK(rate_at("cosine(0.5)", 0, 10, 0) == doctest::Approx(0.5));
  CHECK(rate_at("cosine(0.5)", 5, 10, 0) == doctest::Approx(0.25));
  CHECK(rate_at("cosine(0.5, warmup = 4)", 1, 10, 0) == doctest::Approx(0.25));
  CHECK(rate_at("cosine(0.5, warmup = 4)", 7, 10, 0) ==
        doctest::Approx(0.25 * (1 + std::cos(std::numbers::pi * 0.5))));
  CHECK(rate_at("step(0.5, every = 3, by = 0.1)", 0, 10, 2) == doctest::Approx(0.5));
  CHECK(rate_at("step(0.5, every = 3, by = 0.1)", 0, 10, 7) == doctest::Approx(0.005));
}

TEST_CASE("clip by norm scales all gradients together, and gives the norm; by value it cuts each") {
  const Values at = {{"p", {0}}, {"q", {0, 0}}, {"p.grad", {-2}}, {"q.grad", {3, -6}}};
  const Values by_norm = run(trained_by("optimizer = sgd(lr = 1); clip = norm(1)"), "update", at);
  CHECK(by_norm.at("p")[0] == doctest::Approx(2.0 / 7).epsilon(1e-6));
  CHECK(by_norm.at("q")[1] == doctest::Approx(6.0 / 7).epsilon(1e-6));
  CHECK(by_norm.at("clip_norm")[0] == doctest::Approx(7));
  const Values loose = run(trained_by("optimizer = sgd(lr = 1); clip = norm(100)"), "update", at);
  CHECK(loose.at("p")[0] == 2);
  const Values by_value = run(trained_by("optimizer = sgd(lr = 1); clip = value(2.5)"), "update", at);
  CHECK(by_value.at("q") == std::vector<double>{-2.5, 2.5});
}

TEST_CASE("a frozen parameter is not updated and has no slots") {
  const ir::Program program = trained_by("optimizer = adam(lr = 1); freeze = [\"q\"]");
  const Values out = run(program, "update", {{"p", {1}}, {"p.grad", {1}}});
  CHECK(out.count("p") == 1);
  CHECK(out.count("q") == 0);
  CHECK(program.slots.size() == 2);
}

TEST_CASE("slots have their parameter's shape and start from their initial value") {
  const ir::Program program = trained_by("optimizer = sgd(lr = 1, momentum = 0.9)");
  REQUIRE(program.slots.size() == 2);
  CHECK(program.slots[1].path == "v/q");
  CHECK(program.slots[1].type.text() == "f64[2]");
  CHECK(run(program, "init", {}).at("v/q") == std::vector<double>{0, 0});
}

TEST_CASE("a user's optimizer is a layer over a parameter and its gradient") {
  const ir::Program program =
      program_of("optimizer signs(lr)(p, g) { return p - lr * sign(g) }\n" +
                 model("param p = 1\n loss L = p\n train { optimizer = signs(0.25) }"));
  CHECK(run(program, "update", {{"p", {1}}, {"p.grad", {-8}}}).at("p")[0] == 1.25);
}

TEST_CASE("early stopping watches a loss or a metric that exists") {
  CHECK(trained_by("early_stop = patience(val.L, 3)").train ==
        R"({"early_stop":{"metric":"L","patience":3,"mode":"min"}})");
  CHECK(setting_fails("early_stop = patience(val.accuracy, 3)", "bad-train-value"));
}

TEST_CASE("a setting that makes no sense is an error") {
  CHECK(setting_fails("bacth = 3", "bad-train-key"));
  CHECK(setting_fails("batch = 0", "bad-train-value"));
  CHECK(setting_fails("batch = 1.5", "not-a-number"));
  CHECK(setting_fails("optimizer = 3", "bad-train-value"));
  CHECK(setting_fails("optimizer = sgd(lr = 1); clip = 3", "bad-train-value"));
  CHECK(setting_fails("optimizer = sgd(lr = 1); freeze = \"p\"", "bad-train-value"));
  CHECK(setting_fails("optimizer = sgd(lr = 1); freeze = [\"z*\"]", "no-match"));
  CHECK(setting_fails("clip = norm(1)", "bad-train-value"));  // of no optimizer
  CHECK(setting_fails("optimizer = sgd(lr = L)", "unknown-name"));
}

TEST_CASE("what to train without a loss is asked, not guessed") {
  const Outcome out = elaborated(model("param p = 1\n output o = p\n train { optimizer = sgd(lr = 1) }"));
  CHECK(out.errors.find("[bad-train-value]") != std::string::npos);
}

}  // namespace mlpc::testing
