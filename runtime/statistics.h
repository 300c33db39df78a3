#pragma once

#include <string>
#include <vector>

#include "runtime/dataset.h"

namespace mlpc::runtime {

/// Of one parameter W, the Euclidean norms of all its elements.
struct ParameterNorms {
  std::string name;  // its path
  double value;      // ‖W‖
  double gradient;   // ‖∂loss/∂W‖, of the mean loss over all rows; not what `clip` made of it
};

/// What a training has reached: the numbers that random draws and schedules depend on.
struct Moment {
  std::uint64_t seed;
  std::int64_t step, steps, epoch;
};

/// Norms at these weights. The gradient costs one pass over the data: the entry `grad` on each batch, in the
/// order of the data, weighted by rows and summed in f64. Noise is drawn as the step after `now` draws it.
std::vector<ParameterNorms> parameter_norms(const Model& model, Weights& weights, Batches& batches,
                                            const Moment& now, const Workers& workers);

}  // namespace mlpc::runtime
