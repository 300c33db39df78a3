#include "runtime/statistics.h"

#include <cmath>

namespace mlpc::runtime {
namespace {

double element(std::span<const std::byte> bytes, mlpc_type type, std::size_t i) {
  if (type == MLPC_F32) return reinterpret_cast<const float*>(bytes.data())[i];
  return reinterpret_cast<const double*>(bytes.data())[i];
}

/// One parameter's gradient, summed over batches.
struct GradientSum {
  explicit GradientSum(const mlpc_tensor& parameter)
      : tensor(parameter), sum(static_cast<std::size_t>(parameter.bytes / size_of(type_of(parameter)))) {}

  void add(const Bytes& grads, double share) {
    const auto part = part_of(grads, tensor);
    for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += share * element(part, type_of(tensor), i);
  }

  const mlpc_tensor& tensor;
  std::vector<double> sum;
};

ParameterNorms norms_of(const GradientSum& gradient, const Bytes& params) {
  const auto values = part_of(params, gradient.tensor);
  double value = 0, slope = 0;
  for (std::size_t i = 0; i < gradient.sum.size(); ++i) {
    const double w = element(values, type_of(gradient.tensor), i);
    value += w * w;
    slope += gradient.sum[i] * gradient.sum[i];
  }
  return {gradient.tensor.name, std::sqrt(value), std::sqrt(slope)};
}

}  // namespace

std::vector<ParameterNorms> parameter_norms(const Model& model, Weights& weights, Batches& batches,
                                            const Moment& now, const Workers& workers) {
  const mlpc_entry& entry = model.entry("grad");
  Calls calls(model, entry, workers);
  std::vector<GradientSum> gradients;
  for (const mlpc_tensor& parameter : model.params()) gradients.emplace_back(parameter);
  for (std::int64_t turn = 0; turn < batches.count(); ++turn) {
    Call& call = calls.at(batches.dims_at(turn));
    call.use(weights);
    call.args.seed = now.seed;
    call.args.step = now.step;
    call.args.steps = now.steps;
    call.args.epoch = now.epoch;
    call.args.row_offset = turn * batches.batch();
    batches.run(call, turn);
    const double share =
        static_cast<double>(batches.rows_at(turn)) / static_cast<double>(batches.row_count());
    for (GradientSum& gradient : gradients) gradient.add(call.grads, share);
  }
  std::vector<ParameterNorms> out;
  for (const GradientSum& gradient : gradients) out.push_back(norms_of(gradient, weights.params));
  return out;
}

}  // namespace mlpc::runtime
