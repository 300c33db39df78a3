#pragma once

#include <algorithm>
#include <string>

#include "runtime/data.h"
#include "runtime/model.h"

extern "C" const mlpc_model* linear_model(std::uint32_t abi);

namespace mlpc::runtime {

inline Model linear() { return Model(linear_model(MLPC_ABI_VERSION)); }

/// The table with other settings of the trainer; the text must outlive the model.
inline Model linear_with(const char* train) {
  auto table = std::make_shared<mlpc_model>(*linear_model(MLPC_ABI_VERSION));
  table->train = train;
  return Model(table.get(), table);
}

/// n rows that follow y = x·(1, -2, 3) + 0.5 + k/10.
inline Inputs linear_data(std::int64_t n) {
  Tensor x = Tensor::zeros(MLPC_F32, {n, 3}), k = Tensor::zeros(MLPC_I32, {n}),
         y = Tensor::zeros(MLPC_F32, {n});
  for (std::int64_t i = 0; i < n; ++i) {
    std::uint32_t words[4] = {static_cast<std::uint32_t>(i), 0, 0, 0};
    mlpc_philox(99, words);
    float sum = 0.5F;
    for (std::size_t j = 0; j < 3; ++j) {
      constexpr float kWeights[] = {1, -2, 3};
      const float value = static_cast<float>(words[j] >> 8) * 0x1p-23F - 1;
      x.as<float>()[static_cast<std::size_t>(i) * 3 + j] = value;
      sum += kWeights[j] * value;
    }
    const auto row = static_cast<std::size_t>(i);
    k.as<std::int32_t>()[row] = static_cast<std::int32_t>(words[3] % 4);
    y.as<float>()[row] = sum + 0.1F * static_cast<float>(words[3] % 4);
  }
  Inputs out;
  out.emplace("x", Input{std::move(x), "x=X"});
  out.emplace("k", Input{std::move(k), "k=K"});
  out.emplace("y", Input{std::move(y), "y=Y"});
  return out;
}

/// What the error says, or "" if there is none.
template <typename F>
std::string problem_of(F f) {
  try {
    f();
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

}  // namespace mlpc::runtime
