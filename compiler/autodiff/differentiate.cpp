#include <algorithm>
#include <unordered_map>

#include "compiler/autodiff/algebra.h"
#include "compiler/autodiff/autodiff.h"
#include "compiler/autodiff/linearise.h"
#include "compiler/autodiff/transpose.h"
#include "ir/copy.h"
#include "ir/error.h"
#include "ir/prune.h"

namespace mlpc::autodiff {
namespace {

using ir::Builder;
using ir::Graph;
using ir::MaybeValue;
using ir::Role;
using ir::ValueId;

/// A program from a file may be well typed and yet have no forward graph, or another one's linear graph.
void check_linear_stage(const ir::Program& program) {
  const Graph* forward = program.find("forward");
  const Graph* linear = program.find("linear");
  if (!forward || !linear) fail("a program of stage linear has the graphs `forward` and `linear`");
  std::unordered_map<std::uint32_t, ValueId> residuals;  // by index
  for (const Graph::Result& r : forward->results)
    if (r.role == Role::residual) residuals.emplace(r.index, r.value);
  for (const Graph::Parameter& p : linear->parameters()) {
    if (p.role == Role::tangent) continue;
    const auto found = p.role == Role::residual ? residuals.find(p.index) : residuals.end();
    if (found == residuals.end() || forward->type(found->second) != linear->type(p.value))
      fail("graph linear: `{}` is no tangent, and no residual of the graph forward", p.name);
  }
  for (const Graph::Result& r : linear->results)
    if (linear->type(r.value) != ir::Type{program.element, {}})
      fail("graph linear: the result `{}` is no scalar of the model's type", r.name);
}

/// The forward graph in `grad`, without its residuals, which are returned in the order of the linear graph's
/// parameters; and the cotangent of the loss, of the model's type.
std::vector<ValueId> copy_forward(const Graph& forward, const Graph& linear, Builder& b) {
  ir::Copier copier(forward, b);
  copier.add_parameters();
  b.graph().add_parameter("loss_bar", {ir::ElementType::f64, {}}, Role::loss_bar);
  copier.copy_all();
  std::unordered_map<std::uint32_t, ValueId> by_index;
  for (Graph::Result r : forward.results) {
    r.value = copier.at(r.value);
    if (r.role == Role::residual)
      by_index.emplace(r.index, r.value);
    else
      b.graph().results.push_back(std::move(r));
  }
  std::vector<ValueId> residuals;
  for (const Graph::Parameter& p : linear.parameters())
    if (p.role == Role::residual) residuals.push_back(by_index.at(p.index));
  return residuals;
}

void add_gradients(const ir::Program& program, const Graph& linear, const std::vector<MaybeValue>& cotangents,
                   Builder& b) {
  std::vector<MaybeValue> by_param(program.params.size());
  std::size_t next = 0;
  for (const Graph::Parameter& p : linear.parameters())
    if (p.role == Role::tangent) by_param.at(p.index) = cotangents[next++];
  for (std::uint32_t i = 0; i < program.params.size(); ++i) {
    const std::string& path = program.params[i].path;
    const ValueId gradient = by_param[i] ? *by_param[i] : b.full(program.params[i].type, 0);
    if (!by_param[i]) b.graph().set_comment(gradient, fmt::format("∂L/∂{} = 0: no path leads there", path));
    b.graph().results.push_back({path, Role::grad, i, gradient});
  }
}

Graph gradient_graph(const ir::Program& program) {
  const Graph& linear = *program.find("linear");
  Graph grad;
  grad.name = "grad";
  Builder b(grad);
  const std::vector<ValueId> residuals = copy_forward(*program.find("forward"), linear, b);
  const std::size_t forward_nodes = grad.node_count(), forward_values = grad.value_count();
  const auto loss_bar = std::ranges::find(grad.parameters(), Role::loss_bar, &Graph::Parameter::role)->value;
  const ValueId seed =
      program.element == ir::ElementType::f64 ? loss_bar : b.convert(loss_bar, program.element);
  std::vector<MaybeValue> seeds;
  for (const Graph::Result& r : linear.results)
    seeds.push_back(r.role == Role::loss_total ? MaybeValue(seed) : std::nullopt);
  const ChainRule chain_rule(linear);
  add_gradients(program, linear, pull_back(b, linear, seeds, {residuals, forward_values, &chain_rule}), b);
  describe_primal(grad, forward_nodes);
  return ir::without_dead_nodes(std::move(grad));  // zeros that a loop's tangents started from
}

}  // namespace

ir::Program linearise(const ir::Program& program) {
  ir::Program out = program;
  out.stage = ir::Stage::linear;
  const Graph* forward = program.find("forward");
  if (!forward) return out;  // a model without a loss
  std::vector<std::size_t> moving;
  for (std::size_t i = 0; i < forward->parameters().size(); ++i)
    if (forward->parameters()[i].role == Role::param) moving.push_back(i);
  std::vector<bool> matters;
  for (const Graph::Result& r : forward->results) matters.push_back(r.role == Role::loss_total);
  Linearised parts = linearise(*forward, moving, matters);
  const auto at = std::ranges::find(out.graphs, "forward", &Graph::name);
  *at = std::move(parts.primal);
  out.graphs.insert(at + 1, std::move(parts.linear));
  return out;
}

ir::Program transpose(const ir::Program& program) {
  ir::Program out = program;
  out.stage = ir::Stage::jacobian;
  if (!program.find("linear") && !program.find("forward")) return out;  // a model without a loss
  check_linear_stage(program);
  Graph grad = gradient_graph(program);
  std::erase_if(out.graphs, [](const Graph& g) { return g.name == "linear"; });
  *out.find("forward") = std::move(grad);
  return out;
}

}  // namespace mlpc::autodiff
