#include <doctest/doctest.h>

#include <algorithm>
#include <cmath>

#include "tests/compiler/frontend/sources.h"

// Layers of the library, each against numbers computed by hand. PyTorch's are in tests/oracle.

namespace mlpc::testing {
namespace {

/// x[1, 1, 3, 3] = 1 … 9 through a layer, with the parameters given.
Numbers image(const std::string& layer, const Values& params = {}) {
  Values given = params;
  given["x"] = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  return run(program_of(model("input x[1, 1, 3, 3]\n l = " + layer + "\n output y = l(x)")), "infer", given)
      .at("y");
}

}  // namespace

TEST_CASE("conv keeps the extent with its padding, moves by its stride, and spreads by its dilation") {
  const Values ones = {{"l.W", Numbers(9, 1)}, {"l.b", {100}}};
  CHECK(image("conv(1, 3)", ones) == Numbers{112, 121, 116, 127, 145, 133, 124, 139, 128});
  CHECK(image("conv(1, 3, stride = 2)", ones) == Numbers{112, 116, 124, 128});
  CHECK(image("conv(1, 3, dilation = 2)", ones).size() == 9);
  const Values two = {{"l.W", {1, 10, 100, 1000}}};
  CHECK(image("conv(1, 2, padding = 0, bias = false)", two) == Numbers{5421, 6532, 8754, 9865});
  CHECK(image("conv(1, 2, padding = 0, dilation = 2, bias = false)", two) == Numbers{9731});
  CHECK(image("conv(1, 2, padding = [[1, 0], [0, 1]], stride = [2, 3], bias = false)", two) ==
        Numbers{2100, 8754});
  CHECK(image("conv(1, [1, 3], padding = 0, bias = false)", {{"l.W", {1, 10, 100}}}) ==
        Numbers{321, 654, 987});
  CHECK(fails_with(model("input x[1, 1, 3, 3]\n output y = x |> conv(1, 2)"), "assert-failed"));
  CHECK(fails_with(model("input x[1, 1, 3, 3]\n output y = x |> conv(1, 5, padding = 0)"), "bad-index"));
}

TEST_CASE("groups see their own channels") {
  const std::string head = "input x[1, 2, 1, 2]\n l = ";
  const Values x = {{"x", {1, 2, 3, 4}}, {"l.W", {1, 10, 100, 1000}}, {"l.conv.W", {1, 10}}};
  CHECK(run(program_of(model(head + "conv(4, 1, groups = 2, bias = false)\n output y = l(x)")), "infer", x)
            .at("y") == Numbers{1, 2, 10, 20, 300, 400, 3000, 4000});
  CHECK(run(program_of(model(head + "depthwise(1, bias = false)\n output y = l(x)")), "infer", x).at("y") ==
        Numbers{1, 2, 30, 40});
  CHECK(fails_with(model(head + "conv(3, 1, groups = 2)\n output y = l(x)"), "assert-failed"));
}

TEST_CASE("a transposed convolution spreads its input") {
  const Values given = {{"x", {1, 2}}, {"l.W", {1, 10, 100}}};
  const std::string lines =
      "input x[1, 1, 1, 2]\n l = conv_transposed(1, [1, 3], stride = [1, 2], bias = false)\n";
  CHECK(run(program_of(model(lines + "output y = l(x)")), "infer", given).at("y") ==
        Numbers{1, 10, 102, 20, 200});
}

TEST_CASE("conv_1d is the convolution of sequences") {
  const Values given = {{"x", {1, 2, 3, 4}}, {"l.W", {1, 10, 100}}};
  const auto y = [&](const std::string& layer) {
    return run(program_of(model("input x[1, 1, T]\n l = " + layer + "\n output y = l(x)")), "infer", given, 4)
        .at("y");
  };
  CHECK(y("conv_1d(1, 3, bias = false)") == Numbers{210, 321, 432, 43});
  CHECK(y("conv_1d(1, 3, padding = [2, 0], bias = false)") == Numbers{100, 210, 321, 432});
  CHECK(y("conv_1d(1, 3, padding = 0, bias = false)") == Numbers{321, 432});
}

TEST_CASE("pooling takes the largest element or the mean of windows") {
  CHECK(image("max_pool(2)") == Numbers{5});
  CHECK(image("max_pool(2, stride = 1)") == Numbers{5, 6, 8, 9});
  CHECK(image("max_pool(3, stride = 2, padding = 1)") == Numbers{5, 6, 8, 9});
  CHECK(image("avg_pool(3)") == Numbers{5});
  CHECK(image("avg_pool([1, 3], stride = [2, 1])") == Numbers{2, 8});
  CHECK(image("global_pool()") == Numbers{5});
}

TEST_CASE("both directions of a recurrent layer stand beside each other") {
  const ir::Program program = program_of(
      model("input x[1, 2, 1]\n output y = x |> bidirectional(rnn(1), rnn(1))\n output z = x |> gru(2)"));
  CHECK(paths(program.params).front() == "rnn.W");
  const Numbers y =
      run(program, "infer",
          {{"x", {0.5, 0.5}}, {"rnn.W", {1}}, {"rnn.U", {1}}, {"rnn_2.W", {1}}, {"rnn_2.U", {1}}})
          .at("y");
  CHECK(y[0] == y[3]);
  CHECK(y[1] == y[2]);
  CHECK(y[0] != y[1]);
}

TEST_CASE("an orthogonal matrix has orthonormal rows or columns") {
  for (const char* shape : {"3, 5", "5, 3", "4, 4"}) {
    const ir::Program program =
        program_of(model("param U[" + std::string(shape) +
                         "] ~ orthogonal\n"
                         "output a = U @ transpose(U)\n output b = transpose(U) @ U"));
    const Values drawn = run(program, "init", {{"seed", {7}}});
    const Values out = run(program, "infer", {{"U", drawn.at("U")}});
    double off = 1e9;  // of the smaller of both
    for (const char* name : {"a", "b"}) {
      const Numbers& m = out.at(name);
      const auto n = static_cast<std::size_t>(std::lround(std::sqrt(static_cast<double>(m.size()))));
      double worst = 0;
      for (std::size_t i = 0; i < m.size(); ++i)
        worst = std::max(worst, std::abs(m[i] - (i % (n + 1) == 0 ? 1.0 : 0.0)));
      off = std::min(off, worst);
    }
    CHECK(off < 1e-12);
  }
  CHECK(fails_with(model("param b[3] ~ orthogonal\n output y = b"), "bad-initialiser"));
}

}  // namespace mlpc::testing
