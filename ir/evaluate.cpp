#include "ir/evaluate.h"

#include <algorithm>

#include "ir/error.h"

namespace mlpc::ir {
namespace {

constexpr std::int64_t kMostElements = std::int64_t{1} << 27;  // of one value: 1 GiB

class Evaluator {
 public:
  Evaluator(const Graph& graph, const std::function<std::int64_t(std::string_view)>& value_of_dim,
            const ValueHook& hook)
      : graph_(graph),
        hook_(hook),
        value_of_([&value_of_dim](const Dim& dim) { return extent(dim, value_of_dim); }) {
    values_.resize(graph.value_count());
  }

  void bind(std::span<const HostTensor> parameters) {
    if (parameters.size() != graph_.parameters().size())
      fail("graph {} has {} parameters, {} are given", graph_.name, graph_.parameters().size(),
           parameters.size());
    for (std::size_t i = 0; i < parameters.size(); ++i) {
      const Graph::Parameter& parameter = graph_.parameters()[i];
      const HostTensor& given = parameters[i];
      if (given.shape != shape_of(parameter.value) || given.values.size() != count_of(given.shape))
        fail("graph {}: `{}` is {}, and is given in another shape", graph_.name, parameter.name,
             graph_.type(parameter.value).text());
      values_[parameter.value.index] = given;
      if (hook_) hook_(graph_, parameter.value, values_[parameter.value.index]);
    }
  }

  void run() {
    for (std::uint32_t i = 0; i < graph_.node_count(); ++i)
      if (graph_.node({i}).op != Op::parameter_) compute(graph_.node({i}));
  }

  std::vector<HostTensor>& values() { return values_; }

 private:
  static std::int64_t extent(const Dim& dim,
                             const std::function<std::int64_t(std::string_view)>& value_of_dim) {
    const std::optional<std::int64_t> value = dim.evaluate(value_of_dim);
    if (!value) fail("the extent {} does not fit in 64 bits", dim.text());
    return *value;
  }

  std::vector<std::int64_t> shape_of(ValueId v) const {
    std::vector<std::int64_t> shape;
    for (const Dim& dim : graph_.type(v).shape) {
      shape.push_back(value_of_(dim));
      if (shape.back() < 0) fail("graph {}: the extent {} is {}", graph_.name, dim.text(), shape.back());
    }
    return shape;
  }

  std::size_t count_of(const std::vector<std::int64_t>& shape) const {
    if (std::ranges::find(shape, 0) != shape.end()) return 0;  // whatever the other extents are
    std::int64_t count = 1;
    for (std::int64_t extent : shape)
      if (__builtin_mul_overflow(count, extent, &count) || count > kMostElements)
        fail("graph {}: a value has more than {} elements", graph_.name, kMostElements);
    return static_cast<std::size_t>(count);
  }

  void compute(const Node& node) {
    if (asks_for_derivative(node.op))
      fail("graph {}: `{}` is evaluated after expand_derivatives only", graph_.name, def(node.op).name);
    std::vector<Type> types;
    std::vector<std::vector<std::int64_t>> shapes;
    for (std::uint32_t r = 0; r < node.result_count; ++r) {
      types.push_back(graph_.type(Graph::result(node, r)));
      shapes.push_back(shape_of(Graph::result(node, r)));
      count_of(shapes.back());
    }
    std::vector<const HostTensor*> operands;
    for (ValueId v : graph_.operands(node)) operands.push_back(&values_[v.index]);
    const ReferenceContext context{types, shapes, node.attributes, value_of_, &hook_};
    std::vector<HostTensor> results = def(node.op).reference(context, operands);
    MLPC_CHECK(results.size() == types.size(), "the reference of {} gives {} results", def(node.op).name,
               results.size());
    for (std::uint32_t r = 0; r < node.result_count; ++r) {
      MLPC_CHECK(results[r].shape == shapes[r] && results[r].values.size() == count_of(shapes[r]),
                 "the reference of {} gives another shape than its type", def(node.op).name);
      values_[node.first_result + r] = std::move(results[r]);
      if (hook_) hook_(graph_, Graph::result(node, r), values_[node.first_result + r]);
    }
  }

  const Graph& graph_;
  const ValueHook& hook_;
  std::function<std::int64_t(const Dim&)> value_of_;
  std::vector<HostTensor> values_;  // by value
};

}  // namespace

std::vector<HostTensor> evaluate_all(const Graph& graph, std::span<const HostTensor> parameters,
                                     const std::function<std::int64_t(std::string_view)>& value_of_dim,
                                     const ValueHook& hook) {
  Evaluator evaluator(graph, value_of_dim, hook);
  evaluator.bind(parameters);
  evaluator.run();
  return std::move(evaluator.values());
}

std::vector<HostTensor> evaluate(const Graph& graph, std::span<const HostTensor> parameters,
                                 const std::function<std::int64_t(std::string_view)>& value_of_dim,
                                 const ValueHook& hook) {
  const std::vector<HostTensor> values = evaluate_all(graph, parameters, value_of_dim, hook);
  std::vector<HostTensor> results;
  for (const Graph::Result& result : graph.results) results.push_back(values[result.value.index]);
  return results;
}

ValueHook HeldConstants::hook() {
  is_first_ = held_.empty();
  next_ = 0;
  return [this](const Graph& graph, ValueId v, HostTensor& value) {
    if (graph.producer(v).op != Op::stop_grad_) return;
    if (is_first_)
      held_.push_back(value);
    else
      value = held_.at(next_++);
  };
}

}  // namespace mlpc::ir
