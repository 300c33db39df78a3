#include <doctest/doctest.h>

#include <algorithm>
#include <random>

#include "ir/text.h"
#include "tests/compiler/frontend/sources.h"

namespace mlpc::testing {
namespace {

std::int64_t scans(const ir::Program& program, std::string_view graph_name) {
  const ir::Graph& graph = *program.find(graph_name);
  std::int64_t count = 0;
  for (std::uint32_t i = 0; i < graph.node_count(); ++i) count += graph.node({i}).op == ir::Op::scan_;
  return count;
}

ir::Program of_lines(const std::string& lines) {
  return program_of(model("input x[B, 3]; input t[B, 3]\n" + lines));
}

/// How many loops of a model's lines became scans, while training.
std::int64_t rolled(const std::string& lines) { return scans(of_lines(lines), "forward"); }

/// Numbers for every input, parameter and state of a graph, rows of stacks by their own paths: the same for
/// all programs.
std::vector<double> numbers_of(const std::string& name, std::size_t count) {
  std::mt19937 random(static_cast<unsigned>(std::hash<std::string>()(name)));
  std::vector<double> out(count);
  for (double& x : out) x = std::uniform_real_distribution<double>(0.1, 1)(random);
  return out;
}

Values given(const ir::Program& program, const std::map<std::string, std::string>& renamed) {
  Values out;
  for (const auto* table : {&program.params, &program.state})
    for (const ir::TensorInfo& tensor : *table)
      for (const ir::TensorInfo& row : ir::rows_of(tensor)) {
        const auto other = renamed.find(row.path);
        const std::size_t count = static_cast<std::size_t>(*row.type.element_count().constant());
        const std::vector<double> numbers =
            numbers_of(other == renamed.end() ? row.path : other->second, count);
        out[tensor.path].insert(out[tensor.path].end(), numbers.begin(), numbers.end());
      }
  out["x"] = numbers_of("x", 6);
  out["t"] = numbers_of("t", 6);
  return out;
}

/// The results by name, rows of stacks as if they stood alone.
Values results(const ir::Program& program, std::string_view graph,
               const std::map<std::string, std::string>& renamed = {}) {
  Values out;
  for (auto& [name, values] : run(program, graph, given(program, renamed), 2)) {
    const auto stack = std::ranges::find(program.state, name, &ir::TensorInfo::path);
    if (stack == program.state.end()) {
      out[name] = values;
      continue;
    }
    std::size_t at = 0;
    for (const ir::TensorInfo& row : ir::rows_of(*stack)) {
      const auto count = static_cast<std::size_t>(*row.type.element_count().constant());
      const auto other = renamed.find(row.path);
      const auto begin = values.begin() + static_cast<std::ptrdiff_t>(at);
      out[other == renamed.end() ? row.path : other->second].assign(
          begin, begin + static_cast<std::ptrdiff_t>(count));
      at += count;
    }
  }
  return out;
}

constexpr const char* kBlock = R"(layer block(n)(x[B, m], k) {
  state seen = 0
  param g = 1
  z = x |> dense(n, tanh)
  seen <- seen + sum(z)
  return x + g * (z |> dense(m)) / k
}
)";

}  // namespace

TEST_CASE("equal turns are one scan, their parameters one tensor, and all else is as if they were not") {
  // Ten turns are a loop, twice five are not.
  const auto net = [](const std::string& loops) {
    return program_of(std::string(kBlock) + model("input x[B, 3]; input t[B, 3]; s = 0 * sum(x)\n" + loops +
                                                  "output y = x; output last = f\n"
                                                  "loss e = mean((x - t)^2) + s\n"
                                                  "loss l2 = 0.1 * sumsq(params(\"*.W\"))"));
  };
  const std::string body = " { f = block(4)(x, 10); x = f; s = s + sum(f) * (@ + 1) / 100 }\n";
  const auto turns = [&](const std::string& range, const std::string& number) {
    std::string text = body;
    return "for i in " + range + text.replace(text.find('@'), 1, number);
  };
  const ir::Program loop = net("f = x\n" + turns("0..10", "i"));
  const ir::Program alone = net("f = x\n" + turns("0..5", "i") + turns("5..10", "i"));
  CHECK(scans(loop, "forward") == 2);  // the blocks, and their part of l2
  CHECK(scans(alone, "forward") == 0);
  CHECK(paths(loop.params) == Names{"block[*].g", "block[*].dense.W", "block[*].dense.b",
                                    "block[*].dense_2.W", "block[*].dense_2.b"});
  CHECK(loop.params[1].type.text() == "f64[10, 3, 4]");
  CHECK(paths(loop.state) == Names{"block[*].seen"});
  CHECK(ir::rows_of(loop.params).size() == alone.params.size());
  std::map<std::string, std::string> renamed;
  for (const auto* table : {&alone.params, &alone.state})
    for (const ir::TensorInfo& tensor : *table) {
      const std::string& path = tensor.path;  // block_2[3].g is block[8].g
      if (path.starts_with("block_2["))
        renamed[path] = "block[" + std::to_string(path[8] - '0' + 5) + path.substr(9);
    }
  for (const char* graph : {"infer", "loss", "forward"}) {
    const Values a = results(loop, graph), b = results(alone, graph, renamed);
    CHECK(a.size() == b.size());
    for (const auto& [name, values] : a) {
      CAPTURE(name);
      REQUIRE(b.contains(name));
      CHECK(values == b.at(name));
    }
  }
}

TEST_CASE("turns that differ stay apart") {
  const std::string e = "\noutput y = x; loss e = mean((x - t)^2)";
  const std::string tail = " { x = x |> dense(3, tanh) }" + e;
  CHECK(rolled("for i in 0..8" + tail) == 1);
  CHECK(rolled("for i in 0..7" + tail) == 0);  // too few
  CHECK(rolled("x = x |> repeat(8, residual(dense(3)))" + e) == 1);
  CHECK(rolled("d = dense(3); x = x |> repeat(8, d)" + e) == 1);  // shared
  CHECK(rolled("for n in [3, 3, 3, 3, 3, 3, 3, 3]" + tail) == 1);
  CHECK(rolled("for n in [3, 3, 3, 5, 3, 3, 3, 3] { x = x |> dense(n) |> dense(3) }" + e) == 0);
  CHECK(rolled("for i in 0..8 { x = x * (0.5 * i + 1) }" + e) == 1);  // a number of the turn
  CHECK(rolled("for i in 0..8 { x = x * 2^i }" + e) == 0);
  CHECK(rolled("for i in 0..8 { x = x |> dropout(i / 10) }" + e) == 0);
  CHECK(rolled("for i in 0..8 { x = x |> dropout(0.5) }" + e) == 1);
  CHECK(rolled("for i in 0..8 { if i == 3 { x = tanh(x) } else { x = sin(x) } }" + e) == 0);
  CHECK(rolled("a = x\nfor i in 0..8 { b = sin(x) + cos(a); a = x; x = b }" + e) ==
        0);  // of two turns before
  CHECK(rolled("for i in 0..8 { v = x; x = x + grad(sum(v^3), v) }" + e) == 0);
}

TEST_CASE("a parameter that something else reads, or that is frozen alone, is none of a stack") {
  const std::string tail =
      "for i in 0..9 { x = x |> dense(3, tanh) as d }\noutput y = x; loss e = mean((x - t)^2)\n";
  const auto stacks = [&](const std::string& more) {
    const std::vector<std::string> names = paths(of_lines(tail + more).params);
    return std::ranges::count(names, "d[*].W") + std::ranges::count(names, "d[*].b");
  };
  CHECK(stacks("") == 2);
  CHECK(stacks("loss l2 = sumsq(params(\"d*.W\"))") == 2);
  CHECK(stacks("s = 0 * sum(x)\nfor p in params(\"*\") { s = s + sum(abs(p)) }\nloss l1 = s") == 2);
  CHECK(stacks("loss l2 = sumsq(params(\"d[3].W\"))") == 0);
  const std::string train = "train { optimizer = adam(); freeze = ";
  CHECK(stacks(train + "[\"d*.b\"] }") == 2);
  CHECK(stacks(train + "[\"d[4].b\"] }") == 0);
}

TEST_CASE("loops in loops are scans in scans, whose turns are numbered and drawn as they were") {
  const auto net = [](std::int64_t outer) {
    return program_of(
        "layer inner()(x[B, m]) { for j in 0..9 { x = x + (x |> dense(m, tanh) |> dropout(0.5)) / (j + 10) "
        "}\n"
        "return x }\n" +
        model("input x[B, 3]; input t[B, 3]\nfor i in 0.." + std::to_string(outer) +
              " { noise e[B, 3] ~ normal(0, 1); x = e + (x |> inner()) }\noutput y = x; loss l = mean((x - "
              "t)^2)"));
  };
  const ir::Program nested = net(8), apart = net(7);
  CHECK(paths(nested.params) == Names{"inner[*].dense[*].W", "inner[*].dense[*].b"});
  CHECK(nested.params[0].type.text() == "f64[8, 9, 3, 3]");
  CHECK(ir::rows_of(nested.params)[13].path == "inner[1].dense[4].W");
  CHECK(paths(apart.params)[0] == "inner[0].dense[*].W");
  // The rows of `apart` are the first of `nested`.
  const std::vector<double> some = run(nested, "init", {}).at("inner[*].dense[*].W");
  for (std::int64_t k = 0; k < 7; ++k) {
    const std::vector<double> row = run(apart, "init", {}).at(fmt::format("inner[{}].dense[*].W", k));
    CHECK(std::equal(row.begin(), row.end(), some.begin() + 81 * k));
  }
  std::vector<double> sorted = some;
  std::ranges::sort(sorted);
  CHECK(std::ranges::adjacent_find(sorted) == sorted.end());  // each its own
}

TEST_CASE("the optimizer's graph of a stack is elementwise, or a scan of rows") {
  const auto update = [](const std::string& optimizer, const std::string& definition) {
    return program_of(definition + model("input x[B, 3]; input t[B, 3]\nfor i in 0..8 { x = x |> dense(3) }\n"
                                         "output y = x; loss l = mean((x - t)^2)\ntrain { optimizer = " +
                                         optimizer + "; clip = norm(1) }"));
  };
  const ir::Program adam = update("adam()", "");
  CHECK(scans(adam, "update") == 0);
  CHECK(paths(adam.slots) == Names{"m/dense[*].W", "v/dense[*].W", "m/dense[*].b", "v/dense[*].b"});
  CHECK(adam.slots[0].type.text() == "f64[8, 3, 3]");
  // A parameter's own norm is that of its row.
  const ir::Program scaled = update("scaled()",
                                    "optimizer scaled()(p, g) { state n[1] = 0\n n <- n + sumsq(g)\n"
                                    " return p - g / (1 + sumsq(p)) }\n");
  CHECK(scans(scaled, "update") == 2);
  CHECK(scaled.slots[1].type.text() == "f64[8, 1]");
  Values in = {{"dense[*].b", {}}, {"dense[*].b.grad", {}}};
  for (int k = 0; k < 24; ++k) {
    in["dense[*].b"].push_back(k);
    in["dense[*].b.grad"].push_back(1e-3);
  }
  const std::vector<double> out = run(scaled, "update", in).at("dense[*].b");
  CHECK(out[3] == doctest::Approx(3 - 1e-3 / (1 + 9 + 16 + 25)));
}

}  // namespace mlpc::testing
