#include <doctest/doctest.h>

#include <cmath>
#include <map>
#include <string>
#include <vector>

#include "compiler/driver/mlpc.hpp"

// The lecture's network, compiled in this process, against its closed forms.

namespace mlpc {
namespace {

const std::string kLecture = std::string(MLPC_SOURCE_DIR) + "/examples/lecture.net";

struct Point {
  double x1, x2, y;
  double w[6];  // w1 … w6
};

/// Calls `grad` at a point; gradients in the order of the parameters.
struct Gradients {
  double loss;
  double w[6];
};

Gradients compiled_gradients(const CompiledModel& model, const Point& p) {
  const mlpc_model& table = model.table();
  const mlpc_entry* entry = model.entry(MLPC_GRAD);
  REQUIRE(entry != nullptr);
  REQUIRE(entry->input_count == 3);
  alignas(64) double params[6 * 8] = {}, grads[6 * 8] = {};
  alignas(64) char plan[4096], workspace[4096];
  REQUIRE(table.plan_bytes <= 4096);
  for (int i = 0; i < 6; ++i) params[table.params[i].offset / 8] = p.w[i];
  auto* head = reinterpret_cast<mlpc_plan*>(plan);
  REQUIRE(table.plan(head, nullptr, 1, MLPC_GRAD) == MLPC_OK);
  REQUIRE(head->workspace_bytes <= 4096);
  double loss = 0, term = 0;
  const void* inputs[] = {&p.x1, &p.x2, &p.y};
  void* results[] = {&loss, &term};
  mlpc_args args{};
  args.size = sizeof args;
  args.inputs = inputs;
  args.results = results;
  args.params = params;
  args.grads = grads;
  args.workspace = workspace;
  args.loss_bar = 1;
  REQUIRE(entry->call(head, &args) == MLPC_OK);
  Gradients out{loss, {}};
  for (int i = 0; i < 6; ++i) out.w[i] = grads[table.params[i].offset / 8];
  return out;
}

double relu(double z) { return z > 0 ? z : 0; }
double step(double z) { return z > 0 ? 1 : 0; }

/// By hand, as the lecture derives them.
Gradients closed_forms(const Point& p) {
  const auto [w1, w2, w3, w4, w5, w6] = p.w;
  const double z3 = w5 * p.x1 + w6 * p.x2, a3 = relu(z3), z1 = w3 * a3, a1 = relu(z1), z2 = w4 * a3,
               a2 = relu(z2);
  const double yhat = w1 * a1 + w2 * a2, d = 2 * (yhat - p.y);
  const double dz1 = d * w1 * step(z1), dz2 = d * w2 * step(z2);
  const double dz3 = (dz1 * w3 + dz2 * w4) * step(z3);  // the sum over both paths
  return {(p.y - yhat) * (p.y - yhat), {d * a1, d * a2, dz1 * a3, dz2 * a3, dz3 * p.x1, dz3 * p.x2}};
}

}  // namespace

TEST_CASE("every derivative of the lecture's network has its closed form") {
  const CompiledModel model = CompiledModel::from_file(kLecture);
  for (const Point& p :
       {Point{0.5, -0.25, 1.0, {0.3, 0.7, 0.9, 0.4, 0.8, 0.6}},
        Point{1.0, 2.0, -1.0, {-0.3, 0.7, 0.9, -0.4, 0.8, 0.6}},
        Point{-1.0, 0.5, 0.25, {0.3, 0.7, 0.9, 0.4, 0.8, 0.6}}, Point{0, 0, 1, {1, 1, 1, 1, 1, 1}}}) {
    const Gradients got = compiled_gradients(model, p), exact = closed_forms(p);
    CHECK(got.loss == doctest::Approx(exact.loss).epsilon(1e-14));
    for (int i = 0; i < 6; ++i) CHECK(got.w[i] == doctest::Approx(exact.w[i]).epsilon(1e-14));
  }
}

TEST_CASE("the same gradients come out at every level and for every processor of this family") {
  const Point p{0.5, -0.25, 1.0, {0.3, 0.7, 0.9, 0.4, 0.8, 0.6}};
  const Gradients expected = compiled_gradients(CompiledModel::from_file(kLecture), p);
  for (int level : {0, 1, 2, 3}) {
    const Gradients got = compiled_gradients(CompiledModel::from_file(kLecture, {.level = level}), p);
    for (int i = 0; i < 6; ++i) CHECK(got.w[i] == expected.w[i]);
  }
}

TEST_CASE("errors of a compilation come back as text") {
  CHECK_THROWS_WITH_AS(CompiledModel::from_source("model m { output y = x }", "m.net"),
                       doctest::Contains("m.net:1:22: error: `x` is not defined here"), std::runtime_error);
  CHECK_THROWS_WITH_AS(CompiledModel::from_file("no/such.net"), doctest::Contains("no/such.net"),
                       std::runtime_error);
  CHECK_THROWS_WITH_AS(CompiledModel::from_source("model m { const H = 1; input x[B]; output y = x }",
                                                  "m.net", {.defines = {"H"}}),
                       doctest::Contains("NAME=VALUE"), std::runtime_error);
}

}  // namespace mlpc
