#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <random>

#include "compiler/codegen/jit.h"
#include "compiler/driver/compile.h"
#include "ir/error.h"
#include "ir/text.h"
#include "runtime/model.h"

// The entries that are there on request: jvp, hvp, jacobian.

namespace mlpc {
namespace {

constexpr std::int64_t kRows = 5;

// Smooth, with dropped units, which are the same ones in the loss and in its derivatives.
const driver::Source kNet{R"(model m : f64 {
  input x[B, 3]; input t[B, 2]
  h = x |> dense(4, tanh) |> dropout(0.5)
  y = h |> dense(2)
  output p = softmax(y); output k = argmax(y)
  loss e = mean((y - t)^2)
}
)",
                          "m.net"};

using Values = std::vector<double>;

Values random_values(std::size_t count, unsigned seed) {
  std::mt19937 random(seed);
  Values out(count);
  for (double& x : out) x = std::uniform_real_distribution<double>(-1, 1)(random);
  return out;
}

class Net {
 public:
  explicit Net(const std::string& entry)
      : jit_(driver::compile(kNet, {.entries = {entry}})), model(jit_.table()) {}

  std::size_t param_count() const { return static_cast<std::size_t>(model.table().params_bytes / 8); }

  /// The results, then what stands in the buffer of gradients.
  std::vector<Values> run(const char* entry, const Values& params, const std::vector<Values>& inputs,
                          const Values& tangents = {}) const {
    const std::int64_t dims[] = {kRows};
    runtime::Call call(model, model.entry(entry), dims, {});
    runtime::Weights weights = model.zero_weights();
    std::memcpy(weights.params.data(), params.data(), weights.params.size());
    call.use(weights);
    if (!tangents.empty()) std::memcpy(call.tangents.data(), tangents.data(), call.tangents.size());
    for (std::size_t i = 0; i < inputs.size(); ++i) call.set_input(i, inputs[i].data());
    call.args.seed = 4;
    call.run();
    std::vector<Values> out;
    for (const runtime::Tensor& result : call.results)
      if (result.type == MLPC_F64) out.emplace_back(result.as<double>().begin(), result.as<double>().end());
    Values grads(call.grads.size() / 8);
    if (!grads.empty()) std::memcpy(grads.data(), call.grads.data(), call.grads.size());
    out.push_back(grads);
    return out;
  }

 private:
  codegen::JitModel jit_;

 public:
  const runtime::Model model;
};

Values moved(const Values& at, const Values& direction, double by) {
  Values out = at;
  for (std::size_t i = 0; i < out.size(); ++i) out[i] += by * direction[i];
  return out;
}

/// Five points, h⁴.
template <typename F>
Values difference(F f) {
  constexpr double kStep = 1e-3;
  const Values a = f(-2 * kStep), b = f(-kStep), c = f(kStep), d = f(2 * kStep);
  Values out(a.size());
  for (std::size_t i = 0; i < out.size(); ++i) out[i] = (a[i] - 8 * b[i] + 8 * c[i] - d[i]) / (12 * kStep);
  return out;
}

void check_close(const Values& a, const Values& b) {
  REQUIRE(a.size() == b.size());
  double largest = 0;
  for (double x : b) largest = std::max(largest, std::abs(x));
  CHECK(largest > 1e-3);
  for (std::size_t i = 0; i < a.size(); ++i) CHECK(std::abs(a[i] - b[i]) <= 1e-9 * largest);
}

TEST_CASE("entries: jvp is the outputs' derivative in a direction of parameters and inputs") {
  const Net net("jvp");
  const Values params = random_values(net.param_count(), 1), v = random_values(net.param_count(), 2);
  const Values x = random_values(kRows * 3, 3), x_dot = random_values(kRows * 3, 4);
  const std::vector<Values> found = net.run("jvp", params, {x, x_dot}, v);
  CHECK(found[0] == net.run("infer", params, {x})[0]);
  check_close(found[1], difference([&](double by) {
                return net.run("infer", moved(params, v, by), {moved(x, x_dot, by)})[0];
              }));
  CHECK(net.model.entry("jvp").result_count == 3);  // p, k, p_dot: an integer has no derivative
}

TEST_CASE("entries: hvp is the gradient's derivative in a direction, dropout held fixed") {
  const Net net("hvp");
  const Values params = random_values(net.param_count(), 1), v = random_values(net.param_count(), 2);
  const Values x = random_values(kRows * 3, 3), t = random_values(kRows * 2, 5);
  const std::vector<Values> found = net.run("hvp", params, {x, t}, v);
  CHECK(found[0] == net.run("grad", params, {x, t})[0]);
  check_close(found.back(),
              difference([&](double by) { return net.run("grad", moved(params, v, by), {x, t}).back(); }));
}

TEST_CASE("entries: jacobian has every output by every input") {
  const Net net("jacobian");
  const Values params = random_values(net.param_count(), 1), x = random_values(kRows * 3, 3);
  const Values found = net.run("jacobian", params, {x})[0];
  for (std::size_t column = 0; column < x.size(); ++column) {
    Values unit(x.size()), of_column;
    unit[column] = 1;
    for (std::size_t row = 0; row < kRows * 2; ++row) of_column.push_back(found[row * x.size() + column]);
    check_close(of_column,
                difference([&](double by) { return net.run("infer", params, {moved(x, unit, by)})[0]; }));
  }
}

TEST_CASE("entries: a dump with them compiles to what the source does") {
  const driver::CompileOptions asked{.entries = {"hvp", "jvp"}};
  const std::string kernels = ir::print(driver::compile(kNet, asked));
  for (driver::StopAt stage : {driver::StopAt::graph, driver::StopAt::linear, driver::StopAt::joint}) {
    const driver::Source dump{driver::stage_text(kNet, asked, stage), "dump"};
    CHECK(ir::print(driver::compile(dump, {})) == kernels);
    CHECK_THROWS_WITH_AS(driver::compile(dump, asked),
                         "dump is a dump: -D, --train.KEY, --unroll and --entries need the source", Error);
  }
}

TEST_CASE("entries: what a model cannot have is refused, and so is a name that is taken") {
  const auto refuses = [](const char* text, const char* entry, const char* message) {
    CHECK_THROWS_WITH_AS(driver::compile({text, "m.net"}, {.entries = {entry}}), message, Error);
  };
  refuses("model m { input x[B]; output y = x }", "hvp", "there is no entry `hvp`: the model has no loss");
  refuses("model m { param w = 1; loss l = w^2 }", "jvp", "there is no entry `jvp`: the model has no output");
  refuses("model m { input i[B] : i32; output y = i }", "jacobian",
          "there is no entry `jacobian`: it is of float outputs by float inputs");
  refuses("model m { input x; input x_dot; output y = x * x_dot }", "jvp",
          "the entry `jvp` has an input `x_dot`, which is one of the model");
  refuses("model m { input x; output y = 2 * x; output y_dot = x }", "jvp",
          "the entry `jvp` has a result `y_dot`, which is an output of the model");
  refuses("model m { input x; output y = x }", "grad",
          "`grad` is no entry that can be asked for: jvp, hvp, jacobian");
}

}  // namespace
}  // namespace mlpc
