#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "compiler/autodiff/autodiff.h"
#include "ir/builder.h"
#include "ir/error.h"
#include "ir/ops/scan.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "tests/support/scalar_program.h"
#include "tests/support/tolerance.h"

namespace mlpc {
namespace {

using namespace ir;
using testing::program_of_lines;
using testing::values_by_name;
using Numbers = std::vector<double>;

Program expanded(std::string_view lines, std::size_t params = 1, std::string_view type = "f64[]") {
  Program program = autodiff::expand_derivatives(program_of_lines(lines, params, type));
  verify(program);
  return program;
}

std::vector<std::pair<std::string, HostTensor>> named(const std::vector<Numbers>& at) {
  std::vector<std::pair<std::string, HostTensor>> out;
  for (std::size_t k = 0; k < at.size(); ++k) {
    HostTensor value{{}, at[k]};
    if (at[k].size() > 1) value.shape = {static_cast<std::int64_t>(at[k].size())};
    out.emplace_back(std::string(1, static_cast<char>('a' + k)), value);
  }
  return out;
}

/// The elements of a value of `forward`, where a, b, … are as given.
Numbers value_of(const Program& program, std::string_view name, const std::vector<Numbers>& at) {
  const Graph& graph = *program.find("forward");
  const std::vector<HostTensor> values = values_by_name(graph, named(at));
  for (std::uint32_t i = 0; i < graph.value_count(); ++i)
    if (graph.value_name({i}) == name) return values[i].values;
  FAIL("no value is called so");
  return {};
}

double loss_of(const Program& program, const std::vector<Numbers>& at) {
  const Graph& graph = *program.find("forward");
  return values_by_name(graph, named(at))[graph.results[0].value.index].values[0];
}

void check_close(const Numbers& values, const Numbers& expected,
                 double tolerance = testing::kFormulaTolerance) {
  REQUIRE(values.size() == expected.size());
  for (std::size_t i = 0; i < values.size(); ++i)
    CHECK(std::abs(values[i] - expected[i]) <= tolerance * std::max(1.0, std::abs(expected[i])));
}

/// The gradient of the loss, against five-point differences of the expanded forward graph.
void check_gradient(const Program& program, const std::vector<Numbers>& at) {
  const Program jacobian = autodiff::transpose(autodiff::linearise(program));
  const Graph& grad = *jacobian.find("grad");
  const std::vector<HostTensor> values = values_by_name(grad, named(at));
  for (const Graph::Result& r : grad.results) {
    if (r.role != Role::grad) continue;
    for (std::size_t j = 0; j < at[r.index].size(); ++j) {
      const auto f = [&](double t) {
        std::vector<Numbers> moved = at;
        moved[r.index][j] += t;
        return loss_of(program, moved);
      };
      const double difference = testing::five_point_difference(f, testing::kSmoothStep);
      CHECK(std::abs(values[r.value.index].values[j] - difference) <=
            testing::kSmoothDifference * std::max(1.0, std::abs(difference)));
    }
  }
}

TEST_CASE("derivatives nest: the third one of tanh") {
  const Program program = expanded(
      "%m = mark(%a; id=0) : f64[]\n %t = tanh(%m) : f64[]\n %d1 = grad(%t, %m) : f64[]\n"
      "%d2 = grad(%d1, %m) : f64[]\n %y = grad(%d2, %m) : f64[]");
  for (double x : {-1.5, -0.25, 0.0, 0.75}) {
    const double t = std::tanh(x);
    CHECK(loss_of(program, {{x}}) ==
          doctest::Approx((6 * t * t - 2) * (1 - t * t)).epsilon(testing::kFormulaTolerance));
  }
  check_gradient(program, {{0.375}});
}

TEST_CASE("the third derivative of a tanh net is its closed form") {
  // u(x) = Σ c tanh(b x), so u‴ = Σ c b³ tanh‴(b x); x is the first element of a.
  const Program program = expanded(
      "%all = reduce_sum(%a; axes=[0]) : f64[]\n %x = mark(%all; id=1) : f64[]\n"
      "%xs = broadcast(%x; shape=[4], axes=[]) : f64[4]\n %z = mul(%b, %xs) : f64[4]\n"
      "%t = tanh(%z) : f64[4]\n %u = einsum(\"i,i->\", %c, %t) : f64[]\n"
      "%u1 = grad(%u, %x) : f64[]\n %u2 = grad(%u1, %x) : f64[]\n %y = grad(%u2, %x) : f64[]",
      3, "f64[4]");
  const Numbers a = {0.25, 0.125, 0, 0.0625}, b = {0.5, -1, 1.5, 0.75}, c = {1, 0.5, -0.25, 2};
  const double x = 0.4375;
  double expected = 0;
  for (std::size_t i = 0; i < 4; ++i) {
    const double t = std::tanh(b[i] * x);
    expected += c[i] * b[i] * b[i] * b[i] * (6 * t * t - 2) * (1 - t * t);
  }
  CHECK(loss_of(program, {a, b, c}) == doctest::Approx(expected).epsilon(testing::kFormulaTolerance));
  check_gradient(program, {a, b, c});
}

TEST_CASE("only paths through the mark count") {
  const Program program =
      expanded("%m = mark(%a; id=0) : f64[]\n %p = mul(%m, %a) : f64[]\n %y = grad(%p, %m) : f64[]");
  CHECK(loss_of(program, {{3}}) == 3);
  const Program other = expanded(
      "%m = mark(%a; id=0) : f64[]\n %n = mark(%a; id=1) : f64[]\n %p = mul(%m, %n) : f64[]\n"
      "%q = mul(%m, %p) : f64[]\n %y = grad(%q, %n) : f64[]");
  CHECK(loss_of(other, {{3}}) == 9);
  for (std::uint32_t i = 0; i < other.graphs[0].node_count(); ++i)
    CHECK(other.graphs[0].node({i}).op != Op::mark_);
}

TEST_CASE("no path, and stop_grad, give zeros") {
  const Program program = expanded(
      "%m = mark(%a; id=0) : f64[]\n %s = stop_grad(%m) : f64[]\n %q = mul(%s, %s) : f64[]\n"
      "%c = gt(%m, %b) : bool[]\n %w = where(%c, %b, %q) : f64[]\n"
      "%g, %h = grad(%w, %m, %b) : f64[], f64[]\n %t = jvp(%q, %m, %b) : f64[]\n"
      "%j = jacobian(%q, %m) : f64[]\n"
      "%v = vjp(%q, %b, %m) : f64[]\n %s1 = add(%g, %t) : f64[]\n %s2 = add(%s1, %j) : f64[]\n"
      "%y = add(%s2, %v) : f64[]",
      2);
  CHECK(loss_of(program, {{3}, {2}}) == 0);
}

TEST_CASE("one target that depends on another has the total derivative") {
  // h = a², s = a h: ds/da = 3a², ds/dh = a; jvp by (1, 1): their sum
  const char* lines =
      "%x = mark(%a; id=0) : f64[]\n %q = mul(%x, %x) : f64[]\n %h = mark(%q; id=1) : f64[]\n"
      "%s = mul(%x, %h) : f64[]\n %one = constant(; value=f64(1)) : f64[]\n"
      "%gx, %gh = grad(%s, %x, %h) : f64[], f64[]\n %j = jvp(%s, %x, %h, %one, %one) : f64[]\n";
  CHECK(loss_of(expanded(std::string(lines) + "%y = neg(%gx) : f64[]"), {{3}}) == -27);
  CHECK(loss_of(expanded(std::string(lines) + "%y = neg(%gh) : f64[]"), {{3}}) == -3);
  CHECK(loss_of(expanded(std::string(lines) + "%y = neg(%j) : f64[]"), {{3}}) == -30);
}

TEST_CASE("forward over reverse, and reverse over forward, are the Hessian's product") {
  // f = Σ a³ b: H_ab v = 3 a² v
  const std::string f =
      "%p = mark(%a; id=0) : f64[3]\n %q = mark(%b; id=1) : f64[3]\n %p2 = mul(%p, %p) : f64[3]\n"
      "%p3 = mul(%p2, %p) : f64[3]\n %f = einsum(\"i,i->\", %p3, %q) : f64[]\n";
  const std::string end = "%n = neg(%h) : f64[3]\n %y = reduce_sum(%n; axes=[0]) : f64[]";
  const Numbers a = {0.5, -1, 2}, b = {1.5, 0.25, -0.5}, v = {1, 2, -3};
  const Numbers expected = {-3 * 0.25 * 1, -3 * 1 * 2, 3 * 4 * 3};
  const Program forward_over_reverse =
      expanded(f + "%g = grad(%f, %p) : f64[3]\n %h = jvp(%g, %q, %c) : f64[3]\n" + end, 3, "f64[3]");
  check_close(value_of(forward_over_reverse, "n", {a, b, v}), expected);
  check_gradient(forward_over_reverse, {a, b, v});
  const Program reverse_over_forward =
      expanded(f + "%g = jvp(%f, %q, %c) : f64[]\n %h = grad(%g, %p) : f64[3]\n" + end, 3, "f64[3]");
  check_close(value_of(reverse_over_forward, "n", {a, b, v}), expected);
  const Program reverse_over_reverse =
      expanded(f + "%g = grad(%f, %q) : f64[3]\n %h = vjp(%g, %c, %p) : f64[3]\n" + end, 3, "f64[3]");
  check_close(value_of(reverse_over_reverse, "n", {a, b, v}), expected);
}

TEST_CASE("the Hessian's product at an exact fit is that of the fit") {
  // (√a - b)² at a = b²: 2 (1/(2√a))² v
  const Program program = expanded(
      "%m = mark(%a; id=0) : f64[]\n %r = sqrt(%m) : f64[]\n %d = sub(%r, %b) : f64[]\n"
      "%s = mul(%d, %d) : f64[]\n %g = grad(%s, %m) : f64[]\n %y = jvp(%g, %m, %c) : f64[]",
      3);
  CHECK(loss_of(program, {{4}, {2}, {3}}) == 0.375);
}

TEST_CASE("a gradient penalty has a gradient") {
  // |∂/∂x Σ b tanh(x)|² in the weights and in x
  const Program program = expanded(
      "%x = mark(%a; id=0) : f64[3]\n %t = tanh(%x) : f64[3]\n %f = einsum(\"i,i->\", %b, %t) : f64[]\n"
      "%g = grad(%f, %x) : f64[3]\n %y = einsum(\"i,i->\", %g, %g) : f64[]",
      2, "f64[3]");
  const Numbers a = {0.5, -1, 0.25}, b = {1.5, 0.25, -0.5};
  double expected = 0;
  for (std::size_t i = 0; i < 3; ++i) {
    const double slope = b[i] * (1 - std::tanh(a[i]) * std::tanh(a[i]));
    expected += slope * slope;
  }
  CHECK(loss_of(program, {a, b}) == doctest::Approx(expected).epsilon(testing::kFormulaTolerance));
  check_gradient(program, {a, b});
}

/// ∂(c tanh(b x))/∂x, c, b of [outputs, hidden], [hidden, inputs], all made of a.
std::string net(std::size_t outputs, std::size_t inputs) {
  return fmt::format(
      "%x = mark(%a; id=0) : f64[{1}]\n %i = iota(; shape=[{0}], axis=0, type=f64) : f64[{0}]\n"
      "%j = iota(; shape=[{1}], axis=0, type=f64) : f64[{1}]\n"
      "%ib = broadcast(%i; shape=[{0}, {1}], axes=[0]) : f64[{0}, {1}]\n"
      "%jb = broadcast(%j; shape=[{0}, {1}], axes=[1]) : f64[{0}, {1}]\n"
      "%w0 = sub(%ib, %jb) : f64[{0}, {1}]\n %w = sin(%w0) : f64[{0}, {1}]\n"
      "%z = einsum(\"ij,j->i\", %w, %x) : f64[{0}]\n %t = tanh(%z) : f64[{0}]\n"
      "%jac = jacobian(%t, %x) : f64[{0}, {1}]\n %y = reduce_sum(%jac; axes=[0, 1]) : f64[]",
      outputs, inputs);
}

bool has_scan(const Program& program) {
  const Graph& graph = *program.find("forward");
  for (std::uint32_t i = 0; i < graph.node_count(); ++i)
    if (graph.node({i}).op == Op::scan_) return true;
  return false;
}

TEST_CASE("the Jacobian of a net, by rows and by columns, is the product of its layers'") {
  for (const auto& [outputs, inputs] :
       {std::pair<std::size_t, std::size_t>{10, 12}, {20, 3}, {18, 20}, {30, 17}}) {
    const Program program = expanded(net(outputs, inputs), 1, fmt::format("f64[{}]", inputs));
    Numbers x, expected;
    for (std::size_t j = 0; j < inputs; ++j) x.push_back(0.125 * static_cast<double>(j) - 0.25);
    const auto weight = [](std::size_t i, std::size_t j) {
      return std::sin(static_cast<double>(i) - static_cast<double>(j));
    };
    for (std::size_t i = 0; i < outputs; ++i) {
      double z = 0;
      for (std::size_t j = 0; j < inputs; ++j) z += weight(i, j) * x[j];
      for (std::size_t j = 0; j < inputs; ++j)
        expected.push_back((1 - std::tanh(z) * std::tanh(z)) * weight(i, j));
    }
    check_close(value_of(program, "jac", {x}), expected);
    const bool is_written_out = std::min(outputs, inputs) <= 16;
    CHECK(has_scan(program) == !is_written_out);
    if (is_written_out) check_gradient(program, {x});
  }
}

TEST_CASE("the Jacobian of a free number of rows is a loop over them") {
  // ∂ tanh(x)[b, j] / ∂x[c, k] is diagonal
  Program program = parse_program(
      "mlpc.graph 1 graph\nmodel m : f64\nsource \"\"\ntarget \"x86-64-v4\"\ndim B\n"
      "input \"x\" : f64[B, 2]\ntrain \"{}\"\ngraph infer {\n"
      "%x0 = parameter input 0 \"x\" : f64[B, 2]\n%x = mark(%x0; id=0) : f64[B, 2]\n"
      "%t = tanh(%x) : f64[B, 2]\n%j = jacobian(%t, %x) : f64[B, 2, B, 2]\n"
      "return output 0 \"j\" %j\n}\n",
      "test");
  program = autodiff::expand_derivatives(program);
  verify(program);
  const HostTensor x{{3, 2}, {0.5, -1, 0.25, 2, 0, 1}};
  const std::vector<HostTensor> results = evaluate(program.graphs[0], std::vector<HostTensor>{x},
                                                   [](std::string_view) { return std::int64_t{3}; });
  Numbers expected(36);
  for (std::size_t i = 0; i < 6; ++i) expected[7 * i] = 1 - std::tanh(x.values[i]) * std::tanh(x.values[i]);
  CHECK(results[0].shape == std::vector<std::int64_t>{3, 2, 3, 2});
  check_close(results[0].values, expected);
}

TEST_CASE("a derivative inside of a body is expanded there") {
  // h ← d(h³)/dh = 3h², twice
  Graph body;
  body.name = "body";
  Builder inside(body);
  body.add_parameter("turn", {ElementType::i64, {}}, Role::turn);
  const ValueId h = body.add_parameter("h", {ElementType::f64, {}}, Role::loop);
  const ValueId m = inside.value(Op::mark_, {h}, {std::int64_t{0}});
  const ValueId cube = inside.mul(m, inside.mul(m, m));
  body.results.push_back({"h", Role::loop, 0, inside.value(Op::grad_, {cube, m})});
  Program program = program_of_lines("%y = neg(%a) : f64[]");
  Graph& forward = *program.find("forward");
  Builder b(forward);
  const std::vector<ValueId> start = {forward.parameters()[0].value};
  forward.results[0].value = ops::scan(b, {Body(std::move(body)), Dim(2), false}, start)[0];
  verify(program);
  CHECK(loss_of(autodiff::expand_derivatives(program), {{2}}) == 3 * 12 * 12);
}

TEST_CASE("a loss made of the net's own derivatives, as of a physics-informed net") {
  // u(x, t) = Σ c tanh(a x + b t) at 4 points; loss = mean (u_t - u_xx / 8)²
  const Program program = expanded(
      "%i = iota(; shape=[4], axis=0, type=f64) : f64[4]\n %s = sin(%i) : f64[4]\n %o = cos(%i) : f64[4]\n"
      "%x = mark(%s; id=0) : f64[4]\n %t = mark(%o; id=1) : f64[4]\n"
      "%ax = einsum(\"n,h->nh\", %x, %a) : f64[4, 3]\n %bt = einsum(\"n,h->nh\", %t, %b) : f64[4, 3]\n"
      "%z = add(%ax, %bt) : f64[4, 3]\n %h = tanh(%z) : f64[4, 3]\n"
      "%u = einsum(\"nh,h->n\", %h, %c) : f64[4]\n %us = reduce_sum(%u; axes=[0]) : f64[]\n"
      "%u_t = grad(%us, %t) : f64[4]\n %u_x = grad(%us, %x) : f64[4]\n"
      "%uxs = reduce_sum(%u_x; axes=[0]) : f64[]\n %u_xx = grad(%uxs, %x) : f64[4]\n"
      "%k0 = constant(; value=f64(0.125)) : f64[]\n %k = broadcast(%k0; shape=[4], axes=[]) : f64[4]\n"
      "%ku = mul(%k, %u_xx) : f64[4]\n %r = sub(%u_t, %ku) : f64[4]\n"
      "%y = einsum(\"n,n->\", %r, %r) : f64[]",
      3, "f64[3]");
  const Numbers a = {0.5, -1, 0.75}, b = {1, 0.5, -0.25}, c = {0.5, 2, -1};
  Numbers u_t(4), u_xx(4);
  for (std::size_t n = 0; n < 4; ++n)
    for (std::size_t h = 0; h < 3; ++h) {
      const double tanh =
          std::tanh(a[h] * std::sin(static_cast<double>(n)) + b[h] * std::cos(static_cast<double>(n)));
      u_t[n] += c[h] * b[h] * (1 - tanh * tanh);
      u_xx[n] += c[h] * a[h] * a[h] * -2 * tanh * (1 - tanh * tanh);
    }
  check_close(value_of(program, "u_t", {a, b, c}), u_t);
  check_close(value_of(program, "u_xx", {a, b, c}), u_xx);
  check_gradient(program, {a, b, c});
}

TEST_CASE("derivatives that are none are refused, by their types") {
  const auto refusal = [](std::string_view lines) {
    try {
      program_of_lines(lines);
    } catch (const Error& e) {
      const std::string text = e.what();
      return text.substr(text.rfind("error: ") + 7);
    }
    return std::string("none");
  };
  CHECK(refusal("%i = convert(%a; to=i32) : i32[]\n %y = grad(%a, %i) : f64[]") ==
        "a derivative with respect to i32[]: only floats have one");
  CHECK(refusal("%i = convert(%a; to=i32) : i32[]\n %y = mark(%i; id=0) : i32[]") ==
        "the operand is i32[], not f32 or f64");
  CHECK(refusal("%v = broadcast(%a; shape=[2], axes=[]) : f64[2]\n %y = grad(%v, %a) : f64[]") ==
        "`grad` of f64[2]: only a scalar has a gradient");
  CHECK(refusal("%v = broadcast(%a; shape=[2], axes=[]) : f64[2]\n %y = jvp(%a, %a, %v) : f64[]") ==
        "the tangent of f64[] is f64[2]");
  CHECK(refusal("%v = broadcast(%a; shape=[2], axes=[]) : f64[2]\n %y = vjp(%v, %a, %a) : f64[]") ==
        "the cotangent of f64[2] is f64[]");
  CHECK(refusal("%y = grad(%a) : f64[]") == "`grad` takes a scalar and its targets");
}

TEST_CASE("derivatives that were not expanded are refused by the evaluator and by later stages") {
  Program program = program_of_lines("%y = grad(%a, %a) : f64[]");
  CHECK_THROWS_WITH_AS(loss_of(program, {{1}}),
                       "graph forward: `grad` is evaluated after expand_derivatives only", Error);
  program.stage = Stage::joint;
  CHECK_THROWS_WITH_AS(verify(program), "graph forward: %y: `grad` is expanded before stage joint", Error);
}

}  // namespace
}  // namespace mlpc
