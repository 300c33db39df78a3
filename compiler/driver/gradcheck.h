#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "ir/program.h"

namespace mlpc::driver {

struct GradcheckOptions {
  std::vector<std::pair<std::string, std::int64_t>> dims;  // extents of free dims; others are 3
  std::uint64_t seed = 0;                                  // of parameters, inputs, noise and directions
};

struct GradcheckReport {
  std::string text;  // a line for each parameter, and the dot-product test
  bool passed = true;
};

/// Checks the gradient of a program's training loss in f64, by the evaluator, at random inputs, with noise
/// and state held fixed: each parameter's against finite differences along a random direction, and all
/// together by ⟨L̄, J ẋ⟩ = ⟨Jᵀ L̄, ẋ⟩. Requires stage `graph`. Throws mlpc::Error where there is no loss, or
/// the dims break a relation that the model needs.
GradcheckReport gradcheck(const ir::Program& program, const GradcheckOptions& options);

}  // namespace mlpc::driver
