#include <doctest/doctest.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <tuple>

#include "compiler/autodiff/autodiff.h"
#include "compiler/autodiff/explain.h"
#include "ir/evaluate.h"
#include "ir/ops/scan.h"
#include "ir/prune.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "tests/support/tolerance.h"

// Loops: what op_contract_test.cpp asks of every op, it asks of scans over random bodies; here are their
// structure, closed forms and special lengths.

namespace mlpc {
namespace {

using namespace ir;

Program differentiate(const Program& program) { return autodiff::transpose(autodiff::linearise(program)); }

/// A program with a free length T whose parameters are declared by `params` ("a : f64[2]"), whose bodies come
/// first, and whose forward graph has the lines and the loss %y.
Program program_of(const std::vector<std::string>& params, std::string_view bodies, std::string_view lines) {
  std::string header, parameters;
  for (std::size_t k = 0; k < params.size(); ++k) {
    const std::string name = params[k].substr(0, params[k].find(' ')),
                      type = params[k].substr(name.size() + 3);
    header += fmt::format("param \"{}\" : {} offset {} init \"\" @0\n", name, type, 4096 * k);
    parameters += fmt::format("  %{0} = parameter param {1} \"{0}\" : {2}\n", name, k, type);
  }
  return parse_program(
      fmt::format(
          "mlpc.graph 1 graph\nmodel m : f64\nsource \"\"\ntarget \"x86-64-v4\"\ndim T\n{}"
          "input \"xs\" : f64[T, 2, 2]\ninput \"ws\" : f64[T]\ntrain \"{{}}\"\n{}graph forward {{\n{}"
          "  %xs = parameter input 0 \"xs\" : f64[T, 2, 2]\n  %ws = parameter input 1 \"ws\" : f64[T]\n"
          "{}\n  return loss_total 0 \"loss\" %y\n}}\n",
          header, bodies, parameters, lines),
      "test");
}

/// The loss and the gradients, by parameter; inputs are cosines.
std::vector<HostTensor> gradients(const Program& jacobian, const std::vector<HostTensor>& params,
                                  std::int64_t turns) {
  const Graph& grad = *jacobian.find("grad");
  std::vector<HostTensor> arguments;
  for (const Graph::Parameter& p : grad.parameters()) {
    if (p.role == Role::param) arguments.push_back(params[p.index]);
    if (p.role == Role::loss_bar) arguments.push_back({{}, {1}});
    if (p.role != Role::input) continue;
    HostTensor input{{turns}, {}};
    if (p.index == 0) input.shape = {turns, 2, 2};
    const std::int64_t count = turns * (p.index == 0 ? 4 : 1);
    for (std::int64_t i = 0; i < count; ++i) input.values.push_back(std::cos(static_cast<double>(i + 1)));
    arguments.push_back(std::move(input));
  }
  const std::vector<HostTensor> values = evaluate(grad, arguments, [&](std::string_view) { return turns; });
  std::vector<HostTensor> out(params.size() + 1);
  for (std::size_t i = 0; i < values.size(); ++i) {
    if (grad.results[i].role == Role::loss_total) out[0] = values[i];
    if (grad.results[i].role == Role::grad) out[1 + grad.results[i].index] = values[i];
  }
  return out;
}

std::vector<const Node*> scans_of(const Graph& graph) {
  std::vector<const Node*> out;
  for (std::uint32_t i = 0; i < graph.node_count(); ++i)
    if (body_of(graph.node({i}))) out.push_back(&graph.node({i}));
  return out;
}

std::size_t count_ops(const Graph& graph, Op op) {
  std::size_t count = 0;
  for (std::uint32_t i = 0; i < graph.node_count(); ++i) count += graph.node({i}).op == op;
  return count;
}

bool has_value_named(const Graph& graph, std::string_view name) {
  for (std::uint32_t i = 0; i < graph.value_count(); ++i)
    if (graph.value_name({i}) == name) return true;
  return false;
}

constexpr std::string_view kPowerBody = R"(graph body.0 {
  %t = parameter turn 0 "t" : i64[]
  %a = parameter const 0 "a" : f64[]
  %h = parameter loop 0 "h" : f64[]
  %w = parameter sequence 0 "w" : f64[]
  %p = mul(%a, %h) : f64[]
  %n = add(%p, %w) : f64[]
  return loop 0 "h" %n
}
)";

TEST_CASE("h ← a h + w has the derivatives of its polynomial, for 0, 1 and 6 turns, forward and in reverse") {
  for (const bool reverse : {false, true})
    for (const std::int64_t turns : {0, 1, 6}) {
      const Program program = program_of(
          {"a : f64[]", "h0 : f64[]"}, kPowerBody,
          fmt::format(
              "  %y = scan(%a, %h0, %ws; body=body.0, consts=1, loops=1, length=[T], reverse={}) : f64[]",
              static_cast<int>(reverse)));
      const double a = 0.75, h0 = 2;
      const std::vector<HostTensor> found = gradients(differentiate(program), {{{}, {a}}, {{}, {h0}}}, turns);
      double h = h0, derivative = 0;
      for (std::int64_t i = 0; i < turns; ++i) {
        derivative = h + a * derivative;
        h = a * h + std::cos(static_cast<double>((reverse ? turns - 1 - i : i) + 1));
      }
      CHECK(found[0].values[0] == doctest::Approx(h).epsilon(1e-14));
      CHECK(found[1].values[0] == doctest::Approx(derivative).epsilon(1e-14));
      CHECK(found[2].values[0] == doctest::Approx(std::pow(a, turns)).epsilon(1e-14));
    }
}

constexpr std::string_view kWeightedSum = R"(
  %k1 = iota(; shape=[2], axis=0, type=f64) : f64[2]
  %one = constant(; value=f64(1)) : f64[]
  %ones = broadcast(%one; shape=[2], axes=[]) : f64[2]
  %k = add(%k1, %ones) : f64[2]
  %y = einsum("i,i->", %last, %k) : f64[]
)";

TEST_CASE("steps that do not commute are pulled back last step first") {
  // h ← h Xₜ, loss = h·(1, 2): ∂/∂h0 = X₁ X₂ … (1, 2)ᵀ
  const Program program = program_of({"h0 : f64[2]"}, R"(graph body.0 {
  %t = parameter turn 0 "t" : i64[]
  %h = parameter loop 0 "h" : f64[2]
  %x = parameter sequence 0 "x" : f64[2, 2]
  %n = einsum("i,ij->j", %h, %x) : f64[2]
  return loop 0 "h" %n
}
)",
                                     "  %last = scan(%h0, %xs; body=body.0, consts=0, loops=1, length=[T], "
                                     "reverse=0) : f64[2]" +
                                         std::string(kWeightedSum));
  constexpr std::int64_t kTurns = 5;
  const std::vector<HostTensor> found = gradients(differentiate(program), {{{2}, {0.5, -0.25}}}, kTurns);
  double u = 1, v = 2;
  for (std::int64_t t = kTurns; t-- > 0;) {
    const auto x = [&](std::int64_t i) { return std::cos(static_cast<double>(4 * t + i + 1)); };
    std::tie(u, v) = std::pair(x(0) * u + x(1) * v, x(2) * u + x(3) * v);
  }
  CHECK(found[1].values[0] == doctest::Approx(u).epsilon(1e-14));
  CHECK(found[1].values[1] == doctest::Approx(v).epsilon(1e-14));
}

/// i, f, g, o = σ, σ, tanh, σ of z; c ← f c + i g, h ← o tanh(c): of a row of 2, in two values of 2.
constexpr std::string_view kCellBody = R"(graph body.0 {
  %t = parameter turn 0 "t" : i64[]
  %U = parameter const 0 "U" : f64[2, 2]
  %V = parameter const 1 "V" : f64[2, 2]
  %b = parameter const 2 "b" : f64[2]
  %h = parameter loop 0 "h" : f64[2, 2]
  %c = parameter loop 1 "c" : f64[2, 2]
  %n = parameter loop 2 "n" : i64[]
  %x = parameter sequence 0 "x" : f64[2, 2]
  %hu = einsum("bi,ij->bj", %h, %U) : f64[2, 2]
  %zu = add(%hu, %x) : f64[2, 2]
  %bs = broadcast(%b; shape=[2, 2], axes=[1]) : f64[2, 2]
  %z = add(%zu, %bs) : f64[2, 2]
  %Vt = transpose(%V; permutation=[1, 0]) : f64[2, 2]
  %gu = einsum("bi,ij->bj", %h, %Vt) : f64[2, 2]
  %gz = add(%gu, %x) : f64[2, 2]
  %f = sigmoid(%z) : f64[2, 2]
  %g = tanh(%gz) : f64[2, 2]
  %fc = mul(%f, %c) : f64[2, 2]
  %c_next = add(%fc, %g) : f64[2, 2]
  %tanh_c = tanh(%c_next) : f64[2, 2]
  %h_next = mul(%f, %tanh_c) : f64[2, 2]
  %n_next = add(%n, %t) : i64[]
  return loop 0 "h" %h_next
  return loop 1 "c" %c_next
  return loop 2 "n" %n_next
  return stacked 0 "hs" %h_next
}
)";

Program cell() {
  return program_of({"U : f64[2, 2]", "V : f64[2, 2]", "b : f64[2]"}, kCellBody, R"(
  %zero = constant(; value=f64(0)) : f64[]
  %n0 = constant(; value=i64(0)) : i64[]
  %h0 = broadcast(%zero; shape=[2, 2], axes=[]) : f64[2, 2]
  %h, %c, %n, %hs = scan(%U, %V, %b, %h0, %h0, %n0, %xs; body=body.0, consts=3, loops=3, length=[T], reverse=0) : f64[2, 2], f64[2, 2], i64[], f64[T, 2, 2]
  %squares = mul(%hs, %hs) : f64[T, 2, 2]
  %y = reduce_sum(%squares; axes=[0, 1, 2]) : f64[]
)");
}

TEST_CASE("a cell's weights are contracted over all turns when they are over; its bias is a carried sum") {
  const Program jacobian = differentiate(cell());
  const Graph grad = pruned(*jacobian.find("grad"));
  const std::vector<const Node*> scans = scans_of(grad);
  REQUIRE(scans.size() == 2);
  const BodySignature &forward = body_of(*scans[0])->signature(), &backward = body_of(*scans[1])->signature();
  const Graph& turn = body_of(*scans[1])->graph();
  CHECK(forward.loops.size() == 2);       // n is not read
  CHECK(forward.stacked.size() == 6);     // hs, and h, c, f, g, tanh c: the partials are computed again
  CHECK(backward.loops.size() == 3);      // h.bar, c.bar, and the sum of b.bar: neither U.bar nor V.bar
  CHECK(backward.sequences.size() == 5);  // what is stacked but h, and hs.bar, without h, which no turn reads
  CHECK(count_ops(turn, Op::einsum_) == 2);  // z̄ Uᵀ and z̄ V
  CHECK(count_ops(turn, Op::tanh_) + count_ops(turn, Op::sigmoid_) == 0);
  std::size_t over_turns = 0;
  for (std::uint32_t i = 0; i < grad.node_count(); ++i)
    if (const Node& node = grad.node({i}); node.op == Op::einsum_)
      over_turns += std::get<std::string>(node.attributes[0]).find("->ij") != std::string::npos;
  CHECK(over_turns == 2);
  for (const char* name : {"h.bar", "c.bar", "f.bar", "z.bar"}) CHECK(has_value_named(turn, name));
  CHECK(has_value_named(grad, "U.bar"));
}

TEST_CASE("a cell's gradients are difference quotients, for 0, 1 and 5 turns") {
  const Program program = cell(), jacobian = differentiate(program);
  verify(jacobian);
  const std::vector<HostTensor> at = {
      {{2, 2}, {0.5, -0.75, 0.25, 1}}, {{2, 2}, {-0.5, 0.125, 0.75, 0.5}}, {{2}, {0.25, -0.5}}};
  for (const std::int64_t turns : {0, 1, 5}) {
    const std::vector<HostTensor> found = gradients(jacobian, at, turns);
    for (std::size_t k = 0; k < at.size(); ++k)
      for (std::size_t i = 0; i < at[k].values.size(); ++i) {
        const auto loss = [&](double t) {
          std::vector<HostTensor> moved = at;
          moved[k].values[i] += t;
          return gradients(jacobian, moved, turns)[0].values[0];
        };
        const double quotient = testing::five_point_difference(loss, testing::kSmoothStep);
        CHECK(found[1 + k].values[i] ==
              doctest::Approx(quotient).epsilon(testing::kSmoothDifference).scale(1));
      }
  }
}

TEST_CASE(
    "what does not depend on the turn is kept once, numbers not at all, and inputs are read where they are") {
  // h ← h exp(a) + 3 h w: the residuals are exp(a), w and 3 w
  const Program program =
      program_of({"a : f64[]", "h0 : f64[]"}, R"(graph body.0 {
  %t = parameter turn 0 "t" : i64[]
  %a = parameter const 0 "a" : f64[]
  %h = parameter loop 0 "h" : f64[]
  %w = parameter sequence 0 "w" : f64[]
  %e = exp(%a) : f64[]
  %p = mul(%h, %e) : f64[]
  %three = constant(; value=f64(3)) : f64[]
  %w3 = mul(%w, %three) : f64[]
  %q = mul(%h, %w3) : f64[]
  %n = add(%p, %q) : f64[]
  return loop 0 "h" %n
}
)",
                 "  %last = scan(%a, %h0, %ws; body=body.0, consts=1, loops=1, length=[T], "
                 "reverse=0) : f64[]\n  %y = exp(%last) : f64[]");
  const Program linear = autodiff::linearise(program);
  const std::vector<const Node*> primal = scans_of(*linear.find("forward")),
                                 tangent = scans_of(*linear.find("linear"));
  REQUIRE(primal.size() == 1);
  REQUIRE(tangent.size() == 1);
  CHECK(body_of(*primal[0])->signature().stacked.size() == 1);  // h
  CHECK(count_ops(*linear.find("forward"), Op::exp_) == 2);     // exp(a), hoisted, and that of the loss
  const Graph& turn = body_of(*tangent[0])->graph();
  CHECK(count_ops(turn, Op::exp_) == 0);
  CHECK(body_of(*tangent[0])->signature().consts.size() == 2);     // a.dot, exp(a)
  CHECK(body_of(*tangent[0])->signature().sequences.size() == 2);  // h, w
  for (const char* name : {"a.dot", "h.dot"}) CHECK(has_value_named(turn, name));
}

TEST_CASE("noise in a body is what the turn drew, in both directions") {
  // h ← h (mask ? a : 1): ∂h/∂a = n aⁿ⁻¹ h0 for the n turns of the mask
  const Program program = program_of({"a : f64[]"}, R"(graph body.0 {
  %t = parameter turn 0 "t" : i64[]
  %a = parameter const 0 "a" : f64[]
  %zero = constant(; value=i64(0)) : i64[]
  %h = parameter loop 0 "h" : f64[]
  %m = bernoulli(%zero, %zero, %t, %zero; shape=[], type=f64, probability=f64(0.5), stream=3) : f64[]
  %none = constant(; value=f64(0)) : f64[]
  %is = gt(%m, %none) : bool[]
  %one = constant(; value=f64(1)) : f64[]
  %f = where(%is, %a, %one) : f64[]
  %n = mul(%h, %f) : f64[]
  return loop 0 "h" %n
}
)",
                                     "  %one = constant(; value=f64(1)) : f64[]\n  %y = scan(%a, %one; "
                                     "body=body.0, consts=1, loops=1, length=[T], reverse=0) : f64[]");
  const double a = 0.75;
  const std::vector<HostTensor> found = gradients(differentiate(program), {{{}, {a}}}, 40);
  const double n = std::round(std::log(found[0].values[0]) / std::log(a));
  CHECK(n > 5);
  CHECK(n < 35);
  CHECK(found[1].values[0] == doctest::Approx(n * std::pow(a, n - 1)).epsilon(1e-12));
}

TEST_CASE("a loop and the one that its gradient runs are one") {
  const Program program = program_of({"a : f64[]"}, kPowerBody, R"(
  %m = mark(%a; id=0) : f64[]
  %one = constant(; value=f64(1)) : f64[]
  %last = scan(%m, %one, %ws; body=body.0, consts=1, loops=1, length=[T], reverse=0) : f64[]
  %g = grad(%last, %m) : f64[]
  %y = mul(%g, %last) : f64[])");
  const Program expanded = autodiff::expand_derivatives(program);
  CHECK(scans_of(pruned(*expanded.find("forward"))).size() == 2);  // forward and back
  const double a = 0.75;
  const std::vector<HostTensor> found = gradients(differentiate(expanded), {{{}, {a}}}, 3);
  // h₃ = a³ + a² w₁ + a w₂ + w₃, y = h₃ h₃′, y′ = h₃′² + h₃ h₃″
  const double w1 = std::cos(1.0), w2 = std::cos(2.0), w3 = std::cos(3.0);
  const double h = a * a * a + a * a * w1 + a * w2 + w3, d = 3 * a * a + 2 * a * w1 + w2;
  CHECK(found[0].values[0] == doctest::Approx(h * d).epsilon(1e-14));
  CHECK(found[1].values[0] == doctest::Approx(d * d + h * (6 * a + 2 * w1)).epsilon(1e-14));
}

TEST_CASE("the Hessian's product through a loop is its closed form, in each order of the directions") {
  // h ← a h + wₜ from h = 1: h″ = Σ k(k-1) aᵏ⁻² w₍T₋k₎ with w₀ = 1; y = h″ v, ∂y/∂v = h″, ∂y/∂a = h‴ v
  const char* start =
      "  %m = mark(%a; id=0) : f64[]\n  %one = constant(; value=f64(1)) : f64[]\n"
      "  %last = scan(%m, %one, %ws; body=body.0, consts=1, loops=1, length=[T], reverse=0) : f64[]\n";
  for (const char* product : {"  %g = grad(%last, %m) : f64[]\n  %y = jvp(%g, %m, %v) : f64[]",
                              "  %g = jvp(%last, %m, %v) : f64[]\n  %y = grad(%g, %m) : f64[]",
                              "  %g = grad(%last, %m) : f64[]\n  %y = vjp(%g, %v, %m) : f64[]"})
    for (const std::int64_t turns : {0, 1, 6}) {
      const Program program =
          program_of({"a : f64[]", "v : f64[]"}, kPowerBody, std::string(start) + product);
      const double a = 0.75, v = -1.5;
      double second = 0, third = 0;
      for (std::int64_t k = 2; k <= turns; ++k) {
        const double w = k == turns ? 1 : std::cos(static_cast<double>(turns - k));
        const auto n = static_cast<double>(k);
        second += w * n * (n - 1) * std::pow(a, k - 2);
        third += k > 2 ? w * n * (n - 1) * (n - 2) * std::pow(a, k - 3) : 0;
      }
      const std::vector<HostTensor> found =
          gradients(differentiate(autodiff::expand_derivatives(program)), {{{}, {a}}, {{}, {v}}}, turns);
      CHECK(found[0].values[0] == doctest::Approx(second * v).epsilon(1e-13));
      CHECK(found[1].values[0] == doctest::Approx(third * v).epsilon(1e-13));
      CHECK(found[2].values[0] == doctest::Approx(second).epsilon(1e-13));
    }
}

TEST_CASE("a cell's Hessian's product is the difference quotient of its gradient") {
  // y = ⟨∂L/∂U, p⟩ + ⟨∂L/∂V, q⟩ + ⟨∂L/∂b, r⟩ for constants p, q, r: its gradient is H (p, q, r)
  const std::string text = print(cell());
  const std::size_t from = text.find("  %zero = "), to = text.find("  return loss_total");
  std::string lines = text.substr(from, to - from);
  for (const char* weight : {"U", "V", "b"})
    for (std::size_t at = 0; (at = lines.find(fmt::format("%{},", weight), at)) != std::string::npos; at += 3)
      lines.insert(at + 2, "m");
  lines =
      "  %Um = mark(%U; id=0) : f64[2, 2]\n  %Vm = mark(%V; id=1) : f64[2, 2]\n"
      "  %bm = mark(%b; id=2) : f64[2]\n" +
      lines;
  lines.replace(lines.find("%y = "), 2, "%L");
  lines +=
      "  %gU, %gV, %gb = grad(%L, %Um, %Vm, %bm) : f64[2, 2], f64[2, 2], f64[2]\n"
      "  %pc = stop_grad(%p) : f64[2, 2]\n  %qc = stop_grad(%q) : f64[2, 2]\n"
      "  %rc = stop_grad(%r) : f64[2]\n  %y0 = einsum(\"ij,ij->\", %gU, %pc) : f64[]\n"
      "  %y1 = einsum(\"ij,ij->\", %gV, %qc) : f64[]\n  %y2 = einsum(\"i,i->\", %gb, %rc) : f64[]\n"
      "  %y01 = add(%y0, %y1) : f64[]\n  %y = add(%y01, %y2) : f64[]\n";
  const Program product = program_of(
      {"U : f64[2, 2]", "V : f64[2, 2]", "b : f64[2]", "p : f64[2, 2]", "q : f64[2, 2]", "r : f64[2]"},
      kCellBody, lines);
  const std::vector<HostTensor> at = {
      {{2, 2}, {0.5, -0.75, 0.25, 1}}, {{2, 2}, {-0.5, 0.125, 0.75, 0.5}}, {{2}, {0.25, -0.5}}};
  const std::vector<HostTensor> direction = {
      {{2, 2}, {1, 0.5, -0.25, 0.75}}, {{2, 2}, {0.5, -1, 0.25, -0.75}}, {{2}, {-0.5, 1.5}}};
  std::vector<HostTensor> both = at;
  both.insert(both.end(), direction.begin(), direction.end());
  const Program jacobian = differentiate(cell()),
                second = differentiate(autodiff::expand_derivatives(product));
  for (const std::int64_t turns : {0, 1, 5}) {
    const std::vector<HostTensor> found = gradients(second, both, turns);
    const auto gradient = [&](double t) {
      std::vector<HostTensor> moved = at;
      for (std::size_t k = 0; k < at.size(); ++k)
        for (std::size_t i = 0; i < at[k].values.size(); ++i)
          moved[k].values[i] += t * direction[k].values[i];
      return gradients(jacobian, moved, turns);
    };
    constexpr double kStep = testing::kSmoothStep;
    const std::vector<HostTensor> f1 = gradient(kStep), b1 = gradient(-kStep), f2 = gradient(2 * kStep),
                                  b2 = gradient(-2 * kStep);
    for (std::size_t k = 1; k <= at.size(); ++k)
      for (std::size_t i = 0; i < at[k - 1].values.size(); ++i) {
        const double quotient = testing::five_point_difference(b2[k].values[i], b1[k].values[i],
                                                               f1[k].values[i], f2[k].values[i], kStep);
        CHECK(found[k].values[i] == doctest::Approx(quotient).epsilon(testing::kSmoothDifference).scale(1));
      }
  }
}

TEST_CASE("dumps and explain say what a loop's Jacobian is") {
  const std::string text = print(differentiate(cell()));
  CHECK(text.find("Σₜ (∏ of J((h, c, n)′, (h, c, n)) of the turns after t) · J((h, c, n)′, U)ₜ, T turns") !=
        std::string::npos);
  const std::string told = autodiff::explain(autodiff::linearise(cell()), "U");
  CHECK(told.find("scan(·, ") != std::string::npos);
  CHECK(told.find("each turn:\n    graph body.0 {\n") != std::string::npos);
  CHECK(told.find("h.dot = parameter loop 0") != std::string::npos);
}

}  // namespace
}  // namespace mlpc
