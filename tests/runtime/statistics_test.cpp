#include "runtime/statistics.h"

#include <doctest/doctest.h>

#include <cmath>

#include "tests/runtime/linear_model.h"

namespace mlpc::runtime {
namespace {

constexpr std::int64_t kRows = 20;

struct Fixture {
  Fixture() {
    const mlpc_entry* const entries[] = {&model.entry("grad")};
    data = make_dataset(model, linear_data(kRows), entries);
    initialise(model, weights, 3);
  }

  std::vector<ParameterNorms> norms(std::int64_t batch) {
    Batches batches(data, std::vector<Split>{{0, batch}});
    return parameter_norms(model, weights, batches, {3, 0, 1, 0}, {});
  }

  double loss() {
    Batches batches(data, {});
    return evaluate(model, weights, batches, {})[0].value;
  }

  Model model = linear();
  Dataset data;
  Weights weights;
};

}  // namespace

TEST_CASE("statistics: norms are those of the parameter and of the gradient of the mean loss") {
  Fixture f;
  const auto norms = f.norms(kRows);
  REQUIRE(norms.size() == 2);
  CHECK(norms[0].name == "fc.W");
  auto* w = reinterpret_cast<float*>(f.weights.params.data());
  CHECK(norms[0].value ==
        doctest::Approx(std::sqrt(double(w[0]) * w[0] + double(w[1]) * w[1] + double(w[2]) * w[2])));
  // The loss is quadratic, so central differences are exact but for rounding in f32.
  double squares = 0;
  for (float* element : {w, w + 1, w + 2}) {
    const float old = *element;
    *element = old + 0.5F;
    const double above = f.loss();
    *element = old - 0.5F;
    squares += std::pow(above - f.loss(), 2);
    *element = old;
  }
  CHECK(norms[0].gradient == doctest::Approx(std::sqrt(squares)).epsilon(1e-5));
}

TEST_CASE("statistics: a gradient over batches, the short one too, is the gradient over all rows") {
  Fixture f;
  const auto whole = f.norms(kRows), parts = f.norms(8);
  for (std::size_t i : {0U, 1U}) {
    CHECK(parts[i].gradient == doctest::Approx(whole[i].gradient).epsilon(1e-6));
    CHECK(parts[i].value == whole[i].value);
  }
}

}  // namespace mlpc::runtime
