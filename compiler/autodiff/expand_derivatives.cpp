#include <algorithm>

#include "compiler/autodiff/autodiff.h"
#include "compiler/autodiff/jacobian.h"
#include "compiler/autodiff/merge_scans.h"
#include "compiler/autodiff/path.h"
#include "compiler/autodiff/transpose.h"
#include "ir/bodies.h"
#include "ir/copy.h"

namespace mlpc::autodiff {
namespace {

using ir::Builder;
using ir::Graph;
using ir::MaybeValue;
using ir::Node;
using ir::NodeId;
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

class Expander {
 public:
  explicit Expander(const Graph& source) : source_(source), b_(out_), copier_(source, b_) {}

  Graph run() {
    out_.name = source_.name;
    copier_.add_parameters();
    for (std::uint32_t i = 0; i < source_.node_count(); ++i) {
      if (ir::asks_for_derivative(source_.node({i}).op))
        expand({i});
      else
        copier_.copy({i});
    }
    for (Graph::Result r : source_.results) {
      r.value = copier_.at(r.value);
      out_.results.push_back(std::move(r));
    }
    return std::move(out_);
  }

 private:
  void expand(NodeId id) {
    const Node& node = source_.node(id);
    const Values derivatives = derivatives_of(node);
    for (std::uint32_t r = 0; r < node.result_count; ++r) {
      const ValueId from = Graph::result(node, r), to = derivatives[r];
      copier_.bind(from, to);
      out_.name_value(to, source_.value_name(from));
      for (std::uint32_t location : source_.locations(from)) out_.add_location(to, location);
    }
  }

  Values derivatives_of(const Node& node) {
    Values x;
    for (ValueId v : source_.operands(node)) x.push_back(copier_.at(v));
    const auto from = [&](std::size_t first) {
      return Values(x.begin() + static_cast<std::ptrdiff_t>(first), x.end());
    };
    if (node.op == Op::grad_) return cotangents(b_, x[0], b_.full(b_.type(x[0]), 1), from(1));
    if (node.op == Op::vjp_) return cotangents(b_, x[0], x[1], from(2));
    if (node.op == Op::jacobian_) return {jacobian(b_, x[0], x[1])};
    const std::size_t count = x.size() / 2;  // jvp
    const Values tangents = from(1 + count);
    x.resize(1 + count);
    return {tangent(b_, x[0], from(1), tangents)};
  }

  const Graph& source_;
  Graph out_;
  Builder b_;
  ir::Copier copier_;
};

/// Marks have done their work: what was marked and what was not are one value again.
Graph without_marks(const Graph& graph) {
  Graph out;
  out.name = graph.name;
  Builder b(out);
  ir::Copier copier(graph, b);
  copier.add_parameters();
  for (std::uint32_t i = 0; i < graph.node_count(); ++i) {
    const Node& node = graph.node({i});
    const ValueId v = Graph::result(node);
    if (node.op != Op::mark_) {
      copier.copy({i});
      continue;
    }
    copier.bind(v, copier.at(graph.operands(node)[0]));
    out.name_value(copier.at(v), graph.value_name(v));
  }
  for (Graph::Result r : graph.results) {
    r.value = copier.at(r.value);
    out.results.push_back(std::move(r));
  }
  return out;
}

bool has_derivatives(const Graph& graph) {
  for (std::uint32_t i = 0; i < graph.node_count(); ++i)
    if (const Op op = graph.node({i}).op; op == Op::mark_ || ir::asks_for_derivative(op)) return true;
  return false;
}

Graph expanded(const Graph& graph) {
  return has_derivatives(graph) ? with_merged_scans(without_marks(Expander(graph).run())) : graph;
}

}  // namespace

ir::Program expand_derivatives(const ir::Program& program) {
  ir::Program out = program;
  ir::BodyMapper map(expanded);
  for (Graph& graph : out.graphs) graph = map(graph);
  return out;
}

}  // namespace mlpc::autodiff
