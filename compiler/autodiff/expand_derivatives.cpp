#include <algorithm>

#include "compiler/autodiff/autodiff.h"
#include "compiler/autodiff/jacobian.h"
#include "compiler/autodiff/merge_scans.h"
#include "compiler/autodiff/path.h"
#include "compiler/autodiff/transpose.h"
#include "ir/bodies.h"
#include "ir/rebuild.h"

namespace mlpc::autodiff {
namespace {

using ir::Builder;
using ir::Graph;
using ir::MaybeValue;
using ir::Node;
using ir::Op;
using ir::ValueId;
using Values = std::vector<ValueId>;

/// Targets that are differentiated together: all of them, or each alone where one depends on another, since
/// the derivative with respect to each is the total one.
std::vector<Values> independent(const Graph& graph, const Values& targets) {
  if (targets.size() == 1 || !depend_on_each_other(graph, targets)) return {targets};
  std::vector<Values> out;
  for (ValueId v : targets) out.push_back({v});
  return out;
}

/// x̄ = Jᵀ ȳ for each target.
Values cotangents(Builder& b, ValueId y, ValueId y_bar, const Values& targets) {
  Values out;
  for (const Values& together : independent(b.graph(), targets)) {
    const std::optional<Path> path = path_between(b, together, y);
    std::vector<MaybeValue> found(together.size());
    if (path) {
      const std::vector<MaybeValue> seeds = {y_bar};
      found = pull_back(b, path->linear, seeds, {path->residuals, b.graph().value_count()});
    }
    for (std::size_t i = 0; i < together.size(); ++i)
      out.push_back(found[i] ? *found[i] : b.full(b.type(together[i]), 0));
  }
  return out;
}

/// ẏ = J ẋ
ValueId tangent(Builder& b, ValueId y, const Values& targets, const Values& tangents) {
  MaybeValue total;
  std::size_t next = 0;
  for (const Values& together : independent(b.graph(), targets)) {
    const std::span<const ValueId> given = std::span(tangents).subspan(next, together.size());
    next += together.size();
    const std::optional<Path> path = path_between(b, together, y);
    if (!path) continue;
    const ValueId term = push_along(b, path->linear, given, path->residuals);
    total = total ? b.add(*total, term) : term;
  }
  return total ? *total : b.full(b.type(y), 0);
}

/// What a node that asks for derivatives computes from operands x.
Values derivatives(Builder& b, Op op, Values x) {
  const auto from = [&](std::size_t first) {
    return Values(x.begin() + static_cast<std::ptrdiff_t>(first), x.end());
  };
  if (op == Op::grad_) return cotangents(b, x[0], b.full(b.type(x[0]), 1), from(1));
  if (op == Op::vjp_) return cotangents(b, x[0], x[1], from(2));
  if (op == Op::jacobian_) return {jacobian(b, x[0], x[1])};
  const std::size_t count = x.size() / 2;  // jvp
  const Values tangents = from(1 + count);
  x.resize(1 + count);
  return {tangent(b, x[0], from(1), tangents)};
}

Graph without_derivatives(const Graph& graph) {
  return ir::rebuild(graph, [&](Builder& b, ir::Copier& copier, const Node& node) {
    if (!ir::asks_for_derivative(node.op)) return false;
    const Values found = derivatives(b, node.op, copier.operands(node));
    for (std::uint32_t r = 0; r < node.result_count; ++r) copier.stand_in(Graph::result(node, r), found[r]);
    return true;
  });
}

/// Marks have done their work: what was marked and what was not are one value again.
Graph without_marks(const Graph& graph) {
  return ir::rebuild(graph, [&](Builder& b, ir::Copier& copier, const Node& node) {
    if (node.op != Op::mark_) return false;
    const ValueId marked = Graph::result(node), v = copier.operands(node)[0];
    copier.bind(marked, v);
    b.graph().name_value(v, graph.value_name(marked));
    return true;
  });
}

bool has_derivatives(const Graph& graph) {
  for (std::uint32_t i = 0; i < graph.node_count(); ++i)
    if (const Op op = graph.node({i}).op; op == Op::mark_ || ir::asks_for_derivative(op)) return true;
  return false;
}

Graph expanded(const Graph& graph) {
  return has_derivatives(graph) ? with_merged_scans(without_marks(without_derivatives(graph))) : graph;
}

}  // namespace

ir::Program expand_derivatives(const ir::Program& program) {
  return ir::with_rewritten_graphs(program, expanded);
}

}  // namespace mlpc::autodiff
