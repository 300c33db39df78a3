#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <map>
#include <sstream>

#include "compiler/autodiff/explain.h"
#include "compiler/codegen/jit.h"
#include "compiler/codegen/object.h"
#include "compiler/driver/compile.h"
#include "compiler/driver/gradcheck.h"
#include "runtime/model.h"

// Loops that stay loops: what they cost, and that nothing else about them can be told.

namespace mlpc {
namespace {

constexpr std::int64_t kRows = 7;

/// Residual blocks with batch norm, which `loops` apply to x.
driver::Source net(const std::string& loops, std::string_view type = "f64") {
  return {R"(layer bnorm()(x[B, n]) {
  param g[n] = 1; state m[n] = 0
  mu = if training { mean(x, axis = 0) } else { m }
  m <- 0.9 * m + 0.1 * mu
  return (x - mu[_, :]) * g
}
layer block()(x[B, n]) { return x + (x |> bnorm() |> dense(n, relu) |> dense(n)) / 10 }
model m : )" + std::string(type) +
              R"( {
  const depth = 8
  input x[B, 3]; input y[B] : i32
)" + loops + R"(
  z = x |> dense(3) as head
  output p = softmax(z)
  loss ce = mean(cross_entropy(z, y))
  loss l2 = 1e-3 * sumsq(params("*.W"))
  train { optimizer = adamw(lr = 0.01); seed = 5 }
}
)",
          "m.net"};
}

const std::string kLoop = "for i in 0..depth { x = x |> block() }";

class Trained {
 public:
  explicit Trained(const driver::Source& source, int steps)
      : jit_(driver::compile(source, {})), model(jit_.table()) {
    weights = model.zero_weights();
    runtime::initialise(model, weights, 3);
    fill(model.params(), weights.params);
    const std::vector<double> x = numbers("x", 3 * kRows);
    const std::int32_t y[kRows] = {0, 1, 2, 0, 1, 2, 0};
    const std::int64_t dims[] = {kRows};
    runtime::Call grad(model, model.entry("grad"), dims, {}),
        step(model, model.entry("train_step"), dims, {});
    for (runtime::Call* call : {&grad, &step}) {
      call->use(weights);
      call->set_input(0, x.data());
      call->set_input(1, y);
    }
    grad.run();
    grads = grad.grads;
    for (int i = 0; i < steps; ++i) {
      step.args.step = i;
      step.run();
      losses.push_back(step.results[0].as<double>()[0]);
    }
  }

  /// A tensor's numbers in a buffer, by a path that both nets give it.
  std::map<std::string, std::vector<double>> named(const auto& rows, const runtime::Bytes& buffer) const {
    std::map<std::string, std::vector<double>> out;
    for (const mlpc_tensor& row : rows) {
      std::vector<double>& to = out[shared_path(row.name)];
      to.resize(static_cast<std::size_t>(row.bytes) / 8);
      std::memcpy(to.data(), buffer.data() + row.offset, static_cast<std::size_t>(row.bytes));
    }
    return out;
  }

 private:
  /// block_2[3].… of the second of two loops of four turns is block[7].….
  static std::string shared_path(std::string path) {
    if (const std::size_t at = path.find("block_2["); at != std::string::npos)
      path = path.substr(0, at) + "block[" + std::to_string(path[at + 8] - '0' + 4) + path.substr(at + 9);
    return path;
  }
  static std::vector<double> numbers(const std::string& path, std::size_t count) {
    std::vector<double> out;
    std::size_t n = std::hash<std::string>()(path);
    for (std::size_t i = 0; i < count; ++i) {
      n = n * 6364136223846793005u + 1442695040888963407u;
      out.push_back(static_cast<double>(n >> 40) / 0x1p24 - 0.5);
    }
    return out;
  }
  void fill(const auto& rows, runtime::Bytes& buffer) {
    for (const mlpc_tensor& row : rows) {
      const std::vector<double> values =
          numbers(shared_path(row.name), static_cast<std::size_t>(row.bytes) / 8);
      std::memcpy(buffer.data() + row.offset, values.data(), static_cast<std::size_t>(row.bytes));
    }
  }

  codegen::JitModel jit_;

 public:
  const runtime::Model model;
  runtime::Weights weights;
  runtime::Bytes grads;
  std::vector<double> losses;
};

/// What two nets made of the same tensors.
void check_equal(const std::map<std::string, std::vector<double>>& a,
                 const std::map<std::string, std::vector<double>>& b) {
  REQUIRE(a.size() == b.size());
  for (const auto& [path, values] : a) {
    CAPTURE(path);
    REQUIRE(b.contains(path));
    CHECK(values == b.at(path));
  }
}

/// Instructions of a program's LLVM IR: lines of its functions.
std::int64_t instructions(const ir::KernelProgram& program) {
  std::istringstream text(codegen::emit_text(program, codegen::TextFormat::llvm_ir));
  std::int64_t count = 0;
  for (std::string line; std::getline(text, line);) count += line.starts_with("  ");
  return count;
}

TEST_CASE("a loop's gradients and training have the bits of the same layers written apart") {
  const Trained loop(net(kLoop), 5);
  const Trained apart(net("for i in 0..4 { x = x |> block() }\nfor i in 0..4 { x = x |> block() }"), 5);
  check_equal(loop.named(loop.model.params(), loop.grads), apart.named(apart.model.params(), apart.grads));
  check_equal(loop.named(loop.model.params(), loop.weights.params),
              apart.named(apart.model.params(), apart.weights.params));
  check_equal(loop.named(loop.model.state(), loop.weights.state),
              apart.named(apart.model.state(), apart.weights.state));
  check_equal(loop.named(loop.model.slots(), loop.weights.slots),
              apart.named(apart.model.slots(), apart.weights.slots));
  CHECK(loop.losses == apart.losses);
  CHECK(loop.losses.back() < loop.losses.front());
}

TEST_CASE("a thousand equal blocks are the kernels of ten, and about the instructions") {
  const auto compiled = [](const char* depth) {
    return driver::compile(net(kLoop, "f32"), {.defines = {{"depth", depth}}, .target = "x86-64-v3"});
  };
  const ir::KernelProgram ten = compiled("10"), thousand = compiled("1000");
  CHECK(ten.kernels.size() == thousand.kernels.size());
  // The optimizer's loops end as the numbers of elements do.
  CHECK(std::abs(instructions(thousand) - instructions(ten)) * 20 < instructions(ten));
}

TEST_CASE("--unroll writes equal turns out") {
  const ir::Program rolled = driver::graphs(net(kLoop), {}, driver::StopAt::graph),
                    apart = driver::graphs(net(kLoop), {.unrolls = true}, driver::StopAt::graph);
  CHECK(rolled.params[0].path == "block[*].bnorm.g");
  CHECK(apart.params[0].path == "block[0].bnorm.g");
  CHECK(ir::rows_of(rolled.params).size() == apart.params.size());
}

TEST_CASE("the table of a loop's parameters has a row for each turn, one after the other") {
  const codegen::JitModel jit(driver::compile(net(kLoop), {}));
  const runtime::Model model(jit.table());
  std::vector<std::string> paths;
  std::int64_t end = 0;
  for (const mlpc_tensor& row : model.params()) {
    if (std::string_view(row.name).ends_with(".dense.W")) {
      CHECK((paths.empty() || row.offset == end));
      CHECK(runtime::shape_of(row) == runtime::Shape{3, 3});
      end = row.offset + row.bytes;
      paths.emplace_back(row.name);
    }
  }
  CHECK(paths.size() == 8);
  CHECK(paths.front() == "block[0].dense.W");
  CHECK(paths.back() == "block[7].dense.W");
  runtime::Weights weights = model.zero_weights();
  runtime::initialise(model, weights, 1);
  std::vector<double> drawn;
  for (const mlpc_tensor& row : model.params())
    if (std::string_view(row.name).ends_with(".dense.W")) {
      double first = 0;
      std::memcpy(&first, weights.params.data() + row.offset, sizeof first);
      drawn.push_back(first);
    }
  std::ranges::sort(drawn);
  CHECK(std::ranges::adjacent_find(drawn) == drawn.end());
}

TEST_CASE("gradcheck takes a loop's parameters together; explain finds one turn's") {
  const auto at = [](driver::StopAt stage) { return driver::graphs(net(kLoop), {}, stage); };
  const driver::GradcheckReport report = driver::gradcheck(at(driver::StopAt::graph), {});
  CHECK(report.passed);
  CHECK(report.text.find("block[*].dense_2.W ") != std::string::npos);
  const std::string text = autodiff::explain(at(driver::StopAt::linear), "block[7].dense.b");
  CHECK(text.starts_with("block[7].dense.b is one turn's of block[*].dense.b"));
}

}  // namespace
}  // namespace mlpc
