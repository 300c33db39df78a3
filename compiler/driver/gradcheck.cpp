#include "compiler/driver/gradcheck.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <functional>
#include <limits>
#include <map>

#include "compiler/autodiff/autodiff.h"
#include "ir/error.h"
#include "ir/evaluate.h"
#include "ir/prune.h"
#include "runtime/abi.h"

namespace mlpc::driver {
namespace {

using ir::Graph;
using ir::HostTensor;
using ir::Program;
using ir::Role;
using ir::Type;

constexpr std::int64_t kExtent = 3;  // of a free dim that is not given
// A kink within the difference's reach spoils it, a small step rounds: the check passes at the first step
// that agrees.
constexpr std::array kSteps = {1e-3, 1e-4, 1e-5, 1e-6, 1e-7};
constexpr double kTolerance = 1e-6;  // of Σ|gᵢ vᵢ|
constexpr double kRoundings = 100;   // of the loss, in each difference
constexpr double kAdjointTolerance = 1e-10;

/// SplitMix64, as the ABI has it.
class Random {
 public:
  explicit Random(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next() { return mlpc_mix64(state_++); }
  std::int64_t below(std::int64_t bound) {
    return static_cast<std::int64_t>(next() % static_cast<std::uint64_t>(bound));
  }
  double between(double low, double high) {
    return low + (high - low) * static_cast<double>(next() >> 11) * 0x1p-53;
  }

 private:
  std::uint64_t state_;
};

double dot(const HostTensor& a, const HostTensor& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.values.size(); ++i) sum += a.values[i] * b.values[i];
  return sum;
}

double magnitude(const HostTensor& a, const HostTensor& b) {
  double sum = 0;
  for (std::size_t i = 0; i < a.values.size(); ++i) sum += std::abs(a.values[i] * b.values[i]);
  return sum;
}

class Checker {
 public:
  Checker(const Program& program, const GradcheckOptions& options)
      : expanded_(ir_expanded(program)),
        linear_(autodiff::linearise(expanded_)),
        jacobian_(autodiff::transpose(linear_)),
        random_(options.seed),
        seed_(options.seed) {
    for (const std::string& dim : program.dims) dims_[dim] = kExtent;
    for (const auto& [name, extent] : options.dims) {
      if (!dims_.contains(name)) fail("`{}` is no free dim of the model", name);
      dims_[name] = extent;
    }
    check_dims();
    make_loss_graph();
    draw();
    loss();  // what stands under stop_grad is held as it is here
  }

  GradcheckReport run() {
    add("{:<28} {:<18} {:>12} {:>12}\n", "parameter", "shape", "|gradient|", "error");
    for (std::size_t k = 0; k < expanded_.params.size(); ++k) check_parameter(k);
    check_adjoint();
    return std::move(report_);
  }

 private:
  static Program ir_expanded(const Program& program) {
    if (program.stage != ir::Stage::graph)
      fail("gradcheck starts from the source or from a dump of stage graph, not {}", name_of(program.stage));
    if (!program.find("forward")) fail("the model has no loss: there is no gradient to check");
    return autodiff::expand_derivatives(program);
  }

  template <typename... T>
  void add(fmt::format_string<T...> format, T&&... values) {
    report_.text += fmt::format(format, std::forward<T>(values)...);
  }

  std::int64_t value_of(std::string_view dim) const { return dims_.at(std::string(dim)); }
  std::int64_t extent(const ir::Dim& dim) const {
    return dim.evaluate([&](std::string_view name) { return value_of(name); }).value_or(0);
  }

  void check_dims() const {
    for (const ir::DimCheck& check : expanded_.checks) {
      const bool is_equal = check.relation == ir::DimCheck::Relation::equal;
      const std::int64_t left = extent(check.left), right = extent(check.right);
      if (is_equal ? left != right : left < right)
        fail("the model needs {} {} {}, and here that is {} and {}: give other dims by --dim",
             check.left.text(), is_equal ? "==" : ">=", check.right.text(), left, right);
    }
  }

  void make_loss_graph() {
    loss_graph_ = *expanded_.find("forward");
    std::erase_if(loss_graph_.results, [](const Graph::Result& r) { return r.role != Role::loss_total; });
    loss_graph_ = ir::pruned(loss_graph_);
  }

  HostTensor filled(const Type& type, const std::function<double()>& draw) const {
    HostTensor out;
    std::int64_t count = 1;
    for (const ir::Dim& dim : type.shape) {
      out.shape.push_back(extent(dim));
      count *= out.shape.back();
    }
    for (std::int64_t i = 0; i < count; ++i) out.values.push_back(draw());
    return out;
  }

  HostTensor drawn_input(const ir::InputInfo& input) {
    constexpr double kMostBytes = 256;
    return filled(input.type, [&]() -> double {
      if (ir::is_float(input.type.element)) return random_.between(-1, 1);
      if (input.index_bound > 0) return static_cast<double>(random_.below(input.index_bound));
      if (input.type.element == ir::ElementType::u8) return std::floor(random_.between(0, kMostBytes));
      return static_cast<double>(random_.below(2));
    });
  }

  /// Parameters and state as `init` makes them; parameters moved a little, so that none sits on a kink by
  /// being 0.
  void draw() {
    for (const ir::InputInfo& input : expanded_.inputs) inputs_.push_back(drawn_input(input));
    params_.resize(expanded_.params.size());
    state_.resize(expanded_.state.size());
    if (const Graph* init = expanded_.find("init")) {
      const std::vector<HostTensor> results = evaluated(*init, {});
      for (std::size_t i = 0; i < results.size(); ++i) {
        const Graph::Result& r = init->results[i];
        if (r.role == Role::param) params_[r.index] = results[i];
        if (r.role == Role::state) state_[r.index] = results[i];
      }
    }
    constexpr double kMoved = 0.1;
    for (std::size_t k = 0; k < params_.size(); ++k) {
      const Type& type = expanded_.params[k].type;
      if (params_[k].values.empty()) params_[k] = filled(type, [] { return 0.5; });
      for (double& x : params_[k].values) x += random_.between(-kMoved, kMoved);
      directions_.push_back(filled(type, [&] { return random_.between(-1, 1); }));
      const double norm = std::sqrt(dot(directions_[k], directions_[k]));
      for (double& x : directions_[k].values) x /= norm;
    }
    for (std::size_t k = 0; k < state_.size(); ++k)
      if (state_[k].values.empty()) state_[k] = filled(expanded_.state[k].type, [] { return 1; });
  }

  HostTensor argument(const Graph& graph, const Graph::Parameter& p,
                      const std::vector<HostTensor>& residuals) const {
    switch (p.role) {
      case Role::input:
        return inputs_[p.index];
      case Role::param:
        return params_[p.index];
      case Role::state:
        return state_[p.index];
      case Role::tangent:
        return directions_[p.index];
      case Role::residual:
        return residuals[p.index];
      case Role::seed:
        return {{}, {static_cast<double>(seed_)}};
      case Role::steps:
      case Role::loss_bar:
        return {{}, {1}};
      case Role::step:
      case Role::epoch:
      case Role::row_offset:
        return {{}, {0}};
      default:
        fail("graph {}: `{}` has a role that no check knows", graph.name, p.name);
    }
  }

  std::vector<HostTensor> evaluated(const Graph& graph, const std::vector<HostTensor>& residuals,
                                    const ir::ValueHook& hook = nullptr) const {
    std::vector<HostTensor> arguments;
    for (const Graph::Parameter& p : graph.parameters()) arguments.push_back(argument(graph, p, residuals));
    return ir::evaluate(graph, arguments, [&](std::string_view name) { return value_of(name); }, hook);
  }

  double loss() { return evaluated(loss_graph_, {}, held_.hook())[0].values[0]; }

  /// f'(0) of the loss along parameter k's direction, by five points.
  double difference(std::size_t k, double step) {
    const HostTensor at = params_[k];
    const auto f = [&](double t) {
      for (std::size_t i = 0; i < at.values.size(); ++i)
        params_[k].values[i] = at.values[i] + t * directions_[k].values[i];
      return loss();
    };
    const double out = (8 * (f(step) - f(-step)) - (f(2 * step) - f(-2 * step))) / (12 * step);
    params_[k] = at;
    return out;
  }

  const std::vector<HostTensor>& gradients() {
    if (!gradients_.empty()) return gradients_;
    const Graph& grad = *jacobian_.find("grad");
    const std::vector<HostTensor> results = evaluated(grad, {});
    gradients_.resize(params_.size());
    for (std::size_t i = 0; i < results.size(); ++i)
      if (grad.results[i].role == Role::grad) gradients_[grad.results[i].index] = results[i];
    return gradients_;
  }

  void check_parameter(std::size_t k) {
    const HostTensor& gradient = gradients()[k];
    const double product = dot(gradient, directions_[k]), scale = magnitude(gradient, directions_[k]);
    double least = std::numeric_limits<double>::infinity();
    bool passed = false;
    for (double step : kSteps) {
      const double error = std::abs(difference(k, step) - product);
      const double rounding = kRoundings * std::numeric_limits<double>::epsilon() * std::abs(loss()) / step;
      least = std::min(least, error);
      passed = error <= kTolerance * scale + rounding;
      if (passed) break;
    }
    report_.passed &= passed;
    const ir::TensorInfo& info = expanded_.params[k];
    add("{:<28} {:<18} {:>12.4e} {:>12.1e} {}\n", info.path, info.type.text(),
        std::sqrt(dot(gradient, gradient)), least, passed ? "ok" : "FAIL");
  }

  void check_adjoint() {
    const Graph& forward = *linear_.find("forward");
    const std::vector<HostTensor> results = evaluated(forward, {});
    std::vector<HostTensor> residuals;
    for (std::size_t i = 0; i < results.size(); ++i)
      if (forward.results[i].role == Role::residual) residuals.push_back(results[i]);
    const std::vector<HostTensor> tangents = evaluated(*linear_.find("linear"), residuals);
    const double pushed = tangents.empty() ? 0 : tangents[0].values[0];
    double pulled = 0, scale = 0;
    for (std::size_t k = 0; k < params_.size(); ++k) {
      pulled += dot(gradients()[k], directions_[k]);
      scale += magnitude(gradients()[k], directions_[k]);
    }
    const bool passed = std::abs(pushed - pulled) <= kAdjointTolerance * scale;
    report_.passed &= passed;
    add("dot product: J·v = {:.17g}, Jᵀ·1·v = {:.17g} {}\n", pushed, pulled, passed ? "ok" : "FAIL");
  }

  const Program expanded_, linear_, jacobian_;
  Random random_;
  const std::uint64_t seed_;
  std::map<std::string, std::int64_t> dims_;
  Graph loss_graph_;  // `forward` with the loss alone
  ir::HeldConstants held_;
  std::vector<HostTensor> inputs_, params_, state_, directions_, gradients_;
  GradcheckReport report_;
};

}  // namespace

GradcheckReport gradcheck(const Program& program, const GradcheckOptions& options) {
  return Checker(program, options).run();
}

}  // namespace mlpc::driver
