#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <string_view>
#include <vector>

#include "ir/graph.h"
#include "ir/op.h"

namespace mlpc::ir {

/// The oracle: what a graph computes, node by node by the references of its ops, in f64. Slow and plain.
///   parameters: one for each of the graph's parameters, in their order
/// Returns one for each of the graph's results. Throws mlpc::Error where a parameter has not the shape of its
/// type, or an extent is negative or too large.
std::vector<HostTensor> evaluate(const Graph& graph, std::span<const HostTensor> parameters,
                                 const std::function<std::int64_t(std::string_view)>& value_of_dim,
                                 const ValueHook& hook = nullptr);

/// The same, for every value of the graph.
std::vector<HostTensor> evaluate_all(const Graph& graph, std::span<const HostTensor> parameters,
                                     const std::function<std::int64_t(std::string_view)>& value_of_dim,
                                     const ValueHook& hook = nullptr);

/// For difference quotients: what stands under stop_grad stays as it was in the first evaluation, in every
/// turn of every loop.
class HeldConstants {
 public:
  /// The hook of one evaluation, which has to end before the next begins.
  ValueHook hook();

 private:
  std::vector<HostTensor> held_;  // in the order of evaluation
  std::size_t next_ = 0;
  bool is_first_ = true;
};

}  // namespace mlpc::ir
