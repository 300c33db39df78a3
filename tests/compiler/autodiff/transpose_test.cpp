#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "compiler/autodiff/autodiff.h"
#include "compiler/autodiff/linearise.h"
#include "ir/builder.h"
#include "ir/error.h"
#include "ir/text.h"
#include "tests/support/golden.h"
#include "tests/support/scalar_program.h"

namespace mlpc {
namespace {

using namespace ir;
using testing::has_value_named;
using testing::program_of_lines;
using testing::scalar_named;
using testing::values_by_name;

constexpr double kInfinity = std::numeric_limits<double>::infinity();

Program differentiate(const Program& program) { return autodiff::transpose(autodiff::linearise(program)); }

/// ∂y/∂a, ∂y/∂b, … at a point, elements one after the other.
std::vector<double> gradient(const Program& program, const std::vector<HostTensor>& at) {
  const Program jacobian = differentiate(program);
  const Graph& grad = *jacobian.find("grad");
  std::vector<std::pair<std::string, HostTensor>> given;
  for (std::size_t k = 0; k < at.size(); ++k)
    given.emplace_back(std::string(1, static_cast<char>('a' + k)), at[k]);
  const std::vector<HostTensor> values = values_by_name(grad, given);
  std::vector<double> out;
  for (const Graph::Result& r : grad.results)
    if (r.role == Role::grad)
      out.insert(out.end(), values[r.value.index].values.begin(), values[r.value.index].values.end());
  return out;
}

std::vector<double> gradient_of(std::string_view lines, const std::vector<double>& at) {
  std::vector<HostTensor> scalars;
  for (double x : at) scalars.push_back({{}, {x}});
  return gradient(program_of_lines(lines, at.size()), scalars);
}

using Numbers = std::vector<double>;

TEST_CASE("the lecture's network has the lecture's derivatives") {
  const Program jacobian =
      differentiate(parse_program(testing::golden_input("jacobian/lecture.ir"), "lecture"));
  const Graph& grad = *jacobian.find("grad");
  const double points[][9] = {// w1 … w6, x1, x2, y
                              {0.5, -0.25, 1.5, 2, 0.75, -0.5, 1, 0.5, 2},
                              {0.5, -0.25, 1.5, -2, 0.75, 0.5, 1, 0.5, 2},   // z2 < 0
                              {0.5, -0.25, -1.5, -2, 0.75, 0.5, 1, 0.5, 2},  // z1, z2 < 0
                              {0.5, -0.25, 1.5, 2, -0.75, -0.5, 1, 0.5, 2},  // z3 < 0
                              {0.5, -0.25, 1.5, 2, 0.5, -1, 1, 0.5, 2}};     // z3 = 0
  for (const auto& [w1, w2, w3, w4, w5, w6, x1, x2, y] : points) {
    const auto scalar = [](double x) { return HostTensor{{}, {x}}; };
    const std::vector<HostTensor> values = values_by_name(grad, {{"w1", scalar(w1)},
                                                                 {"w2", scalar(w2)},
                                                                 {"w3", scalar(w3)},
                                                                 {"w4", scalar(w4)},
                                                                 {"w5", scalar(w5)},
                                                                 {"w6", scalar(w6)},
                                                                 {"x1", scalar(x1)},
                                                                 {"x2", scalar(x2)},
                                                                 {"y", scalar(y)}});
    const double z3 = w5 * x1 + w6 * x2, a3 = std::max(z3, 0.0);
    const double z1 = w3 * a3, a1 = std::max(z1, 0.0), z2 = w4 * a3, a2 = std::max(z2, 0.0);
    const double error = 2 * (w1 * a1 + w2 * a2 - y);
    const double z1_bar = error * w1 * (z1 > 0), z2_bar = error * w2 * (z2 > 0);
    const double z3_bar = (z1_bar * w3 + z2_bar * w4) * (z3 > 0);
    const auto is = [&](std::string_view name, double expected) {
      CHECK(scalar_named(grad, values, name) == doctest::Approx(expected).epsilon(1e-14));
    };
    is("w1.bar", error * a1);
    is("w2.bar", error * a2);
    is("z1.bar", z1_bar);
    is("w3.bar", z1_bar * a3);
    is("w4.bar", z2_bar * a3);
    is("w5.bar", z3_bar * x1);  // the sum over both paths
    is("w6.bar", z3_bar * x2);
  }
  CHECK_FALSE(has_value_named(grad, "x1.bar"));
  CHECK_FALSE(has_value_named(grad, "y.bar"));
}

TEST_CASE("the jacobian dump tells the algebra beside the ops") {
  for (const char* name : {"jacobian/lecture.ir", "jacobian/dense.ir"}) {
    const Program jacobian = differentiate(parse_program(testing::golden_input(name), name));
    CHECK_MESSAGE(testing::matches_golden(name, print(jacobian)), name);
  }
}

TEST_CASE("kinks have the minimum-norm subgradient") {
  CHECK(gradient_of("%y = clamp_min(%a; bound=f64(0)) : f64[]", {0}) == Numbers{0});
  CHECK(gradient_of("%y = clamp_min(%a; bound=f64(0)) : f64[]", {1}) == Numbers{1});
  CHECK(gradient_of("%y = clamp_max(%a; bound=f64(2)) : f64[]", {2}) == Numbers{0});
  CHECK(gradient_of("%y = abs(%a) : f64[]", {0}) == Numbers{0});
  CHECK(gradient_of("%y = max(%a, %b) : f64[]", {1, 1}) == Numbers{0.5, 0.5});
  CHECK(gradient_of("%y = max(%a, %b) : f64[]", {1, 2}) == Numbers{0, 1});
  CHECK(gradient_of("%y = min(%a, %b) : f64[]", {1, 1}) == Numbers{0.5, 0.5});
  CHECK(gradient_of("%y = max(%a, %a) : f64[]", {1}) == Numbers{1});
  CHECK(gradient_of("%y = floor(%a) : f64[]", {1}) == Numbers{0});
  CHECK(gradient_of("%y = sign(%a) : f64[]", {0}) == Numbers{0});
  const HostTensor ties{{4}, {3, 1, 3, 2}};
  CHECK(gradient(program_of_lines("%y = reduce_max(%a; axes=[0]) : f64[]", 1, "f64[4]"), {ties}) ==
        Numbers{0.5, 0, 0.5, 0});
  CHECK(gradient(program_of_lines("%y = reduce_min(%a; axes=[0]) : f64[]", 1, "f64[4]"), {ties}) ==
        Numbers{0, 1, 0, 0});
  CHECK(gradient(program_of_lines("%y = logsumexp(%a; axes=[0]) : f64[]", 1, "f64[2]"),
                 {{{2}, {-kInfinity, 0}}}) == Numbers{0, 1});
}

TEST_CASE("relu, max(x, 0) and where(x > 0, x, 0) have one derivative") {
  for (double x : {-2.0, -0.0, 0.0, 3.0}) {
    const Numbers relu = gradient_of("%y = clamp_min(%a; bound=f64(0)) : f64[]", {x});
    CHECK(gradient_of("%0z = constant(; value=f64(0)) : f64[]\n %c = gt(%a, %0z) : bool[]\n"
                      "%y = where(%c, %a, %0z) : f64[]",
                      {x}) == relu);
  }
}

TEST_CASE("a branch that is not taken gives no NaN, in first and second order") {
  const char* guarded =
      "%zero = constant(; value=f64(0)) : f64[]\n %c = gt(%a, %zero) : bool[]\n"
      "%root = sqrt(%a) : f64[]\n %y = where(%c, %root, %zero) : f64[]";
  CHECK(gradient_of(guarded, {0}) == Numbers{0});
  CHECK(gradient_of(guarded, {4}) == Numbers{0.25});
  CHECK(gradient_of("%r = sqrt(%a) : f64[]\n %y = mul(%r, %b) : f64[]", {0, 0}) == Numbers{0, 0});
  CHECK(gradient_of("%r = log(%a) : f64[]\n %y = mul(%r, %b) : f64[]", {0, 0})[0] == 0);
  CHECK(gradient_of("%y = pow(%a, %b) : f64[]", {0, 2}) == Numbers{0, 0});
  CHECK(gradient_of("%y = pow(%a, %b) : f64[]", {0, 0})[0] == 0);
}

TEST_CASE("the second derivative at an exact fit is that of the fit") {
  // y = (√a - 2)² at a = 4: the cotangent of √a is 0, and y″ = 2 (1/(2√a))².
  const Program jacobian =
      differentiate(program_of_lines("%two = constant(; value=f64(2)) : f64[]\n %r = sqrt(%a) : f64[]\n"
                                     "%d = sub(%r, %two) : f64[]\n %y = mul(%d, %d) : f64[]"));
  const Graph& grad = *jacobian.find("grad");
  std::vector<bool> is_gradient;
  for (const Graph::Result& r : grad.results) is_gradient.push_back(r.role == Role::grad);
  const Graph both = autodiff::push_forward(grad, std::vector<std::size_t>{0}, is_gradient);
  const std::vector<HostTensor> values = values_by_name(both, {{"a", {{}, {4}}}});
  CHECK(values[both.results[both.results.size() - 2].value.index].values[0] == 0);
  CHECK(values[both.results.back().value.index].values[0] == 0.125);
}

TEST_CASE("what the loss does not depend on has a gradient of zeros") {
  CHECK(gradient_of("%y = mul(%b, %b) : f64[]", {2, 3}) == Numbers{0, 6});
  CHECK(gradient_of("%s = stop_grad(%a) : f64[]\n %y = mul(%s, %b) : f64[]", {2, 3}) == Numbers{0, 2});
  CHECK(gradient_of("%i = convert(%a; to=i32) : i32[]\n %y = convert(%i; to=f64) : f64[]", {2}) ==
        Numbers{0});
  CHECK(gradient_of("%y = constant(; value=f64(7)) : f64[]", {2}) == Numbers{0});
}

/// h ← tanh(h) · h + h, `depth` times: 3^depth paths.
Program deep(std::size_t depth) {
  std::string lines;
  std::string h = "a";
  for (std::size_t i = 0; i < depth; ++i) {
    lines += fmt::format(
        "%t{0} = tanh(%{1}) : f64[]\n %p{0} = mul(%t{0}, %{1}) : f64[]\n"
        "%h{0} = add(%p{0}, %{1}) : f64[]\n",
        i, h);
    h = fmt::format("h{}", i);
  }
  return program_of_lines(lines + fmt::format("%y = neg(%{}) : f64[]", h));
}

TEST_CASE("backward ops are a constant times forward ops, at depth 10 and at depth 2000") {
  const auto ratio = [](const Program& program) {
    const Program jacobian = differentiate(program);
    return static_cast<double>(jacobian.find("grad")->node_count()) /
           static_cast<double>(program.find("forward")->node_count());
  };
  const double shallow = ratio(deep(10)), far = ratio(deep(2000));
  CHECK(shallow < 4);
  CHECK(far < 4);
  CHECK(std::abs(far - shallow) < 0.5);
}

TEST_CASE("no contraction is written for the cotangent of an input") {
  const Program jacobian = differentiate(parse_program(testing::golden_input("jacobian/dense.ir"), "dense"));
  const Graph& grad = *jacobian.find("grad");
  std::size_t contractions = 0;
  for (std::uint32_t i = 0; i < grad.node_count(); ++i) contractions += grad.node({i}).op == Op::einsum_;
  CHECK(contractions == 2);  // x W, and xᵀ z.bar
}

/// The text of a linear program with one line in place of another.
std::string edited(const std::string& from, const std::string& to) {
  std::string text = print(autodiff::linearise(program_of_lines("%y = mul(%a, %b) : f64[]", 2)));
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

TEST_CASE("a linear program from a file that is not linear is refused") {
  const auto transposed = [](const std::string& text) {
    return autodiff::transpose(parse_program(text, "dump"));
  };
  CHECK_NOTHROW(transposed(edited("graph linear", "graph linear")));
  CHECK_THROWS_WITH_AS(transposed(edited("mul(%residual.0, %b.dot)", "mul(%a.dot, %b.dot)")),
                       "graph linear: `mul` is not linear in its operand 0", Error);
  CHECK_THROWS_WITH_AS(transposed(edited("mul(%residual.0, %b.dot)", "exp(%b.dot)")),
                       "graph linear: `exp` is not linear in its operand 0", Error);
  CHECK_THROWS_WITH_AS(transposed(edited("parameter residual 1", "parameter residual 7")),
                       "graph linear: `residual.1` is no tangent, and no residual of the graph forward",
                       Error);
  CHECK_THROWS_WITH_AS(transposed(edited("graph linear", "graph other")),
                       "a program of stage linear has the graphs `forward` and `linear`", Error);
}

TEST_CASE("a model without a loss has nothing to differentiate, and stays") {
  Program program = program_of_lines("%y = neg(%a) : f64[]");
  program.graphs[0].name = "infer";
  const Program out = differentiate(program);
  CHECK(out.graphs.size() == 1);
  CHECK(out.stage == Stage::jacobian);
}

TEST_CASE("products have exact derivatives at zeros, without a division") {
  const auto gradient_of_sum = [](std::string_view op, const Numbers& at) {
    const std::string lines = fmt::format("  %p = {}\n", op) + "  %y = reduce_sum(%p; axes=[0]) : f64[]";
    return gradient(program_of_lines(lines, 1, "f64[3]"), {{{3}, at}});
  };
  const auto gradient_of_product = [](const Numbers& at) {
    return gradient(program_of_lines("  %y = reduce_prod(%a; axes=[0]) : f64[]", 1, "f64[3]"), {{{3}, at}});
  };
  CHECK(gradient_of_product({2, 3, 5}) == Numbers{15, 10, 6});
  CHECK(gradient_of_product({2, 0, 5}) == Numbers{0, 10, 0});
  CHECK(gradient_of_product({0, 3, 0}) == Numbers{0, 0, 0});
  // x₀ + x₀ x₁ + x₀ x₁ x₂
  CHECK(gradient_of_sum("cumprod(%a; axis=0, reverse=0) : f64[3]", {2, 3, 5}) == Numbers{19, 12, 6});
  CHECK(gradient_of_sum("cumprod(%a; axis=0, reverse=0) : f64[3]", {2, 0, 5}) == Numbers{1, 12, 0});
  CHECK(gradient_of_sum("cumprod(%a; axis=0, reverse=0) : f64[3]", {0, 3, 0}) == Numbers{4, 0, 0});
  CHECK(gradient_of_sum("cumprod(%a; axis=0, reverse=1) : f64[3]", {5, 0, 2}) == Numbers{0, 12, 1});
}

TEST_CASE("logcumsumexp moves its elements by their shares, however far they lie apart") {
  const std::string lines =
      "  %p = logcumsumexp(%a; axis=0, reverse=0) : f64[3]\n  %y = reduce_sum(%p; axes=[0]) : f64[]";
  const auto at = [&](const Numbers& x) {
    return gradient(program_of_lines(lines, 1, "f64[3]"), {{{3}, x}});
  };
  CHECK(at({0, -1000, -2000}) == Numbers{3, 0, 0});
  CHECK(at({-1000, 0, -2000}) == Numbers{1, 2, 0});
  CHECK(at({-1000, -1000, 0}) == Numbers{1.5, 0.5, 1});
  CHECK(at({-kInfinity, 0, 0}) == Numbers{0, 1.5, 0.5});
}

TEST_CASE("integer powers have exact derivatives at 0") {
  const auto slope = [](int exponent, double x) {
    return gradient_of(fmt::format("  %y = ipow(%a; exponent={}) : f64[]", exponent), {x});
  };
  CHECK(slope(0, 0) == Numbers{0});
  CHECK(slope(1, 0) == Numbers{1});
  CHECK(slope(2, 0) == Numbers{0});
  CHECK(slope(3, -2) == Numbers{12});
  CHECK(slope(-1, 2) == Numbers{-0.25});
  CHECK(slope(-1, 0) == Numbers{-kInfinity});
}

TEST_CASE("atan2 and mod have the derivatives of their branch, and no NaN where nothing moves") {
  CHECK(gradient_of("  %y = atan2(%a, %b) : f64[]", {0, -2}) == Numbers{-0.5, 0});
  CHECK(gradient_of("  %y = mod(%a, %b) : f64[]", {-7, 2}) == Numbers{1, 4});
  // Away from the origin by `where`: the branch not taken has the cotangent 0.
  const std::string guarded =
      "  %0 = constant(; value=f64(0)) : f64[]\n  %1 = eq(%a, %0) : bool[]\n"
      "  %2 = atan2(%a, %b) : f64[]\n  %y = where(%1, %0, %2) : f64[]";
  CHECK(gradient_of(guarded, {0, 0}) == Numbers{0, 0});
}

}  // namespace
}  // namespace mlpc
