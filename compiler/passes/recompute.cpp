#include "compiler/passes/recompute.h"

#include <algorithm>
#include <map>

#include "ir/copy.h"

namespace mlpc::passes {

using ir::Builder;
using ir::Graph;
using ir::Node;
using ir::Op;
using ir::Role;
using ir::ValueId;

ForwardParts::ForwardParts(const Graph& graph)
    : graph_(graph), of_(graph.value_count(), kEverywhere), is_kept_(graph.value_count(), false) {
  for (const Graph::Parameter& p : graph.parameters())
    if (p.role == Role::loss_bar) of_[p.value.index] = kBackward;
  for (std::uint32_t i = 0; i < graph.node_count(); ++i) {
    const Node& node = graph.node({i});
    if (node.op == Op::parameter_ || node.operand_count == 0) continue;
    const bool is_backward =
        std::ranges::any_of(graph.operands(node), [&](ValueId v) { return of(v) == kBackward; });
    set(node, is_backward ? kBackward : 0);
  }
  for (const Graph::Result& r : graph.results)
    if (of(r.value) != kBackward) end_ = std::max(end_, graph.producer_id(r.value).index + 1);
}

void ForwardParts::set(const Node& node, std::int64_t part) {
  for (std::uint32_t r = 0; r < node.result_count; ++r) of_[node.first_result + r] = part;
}

void ForwardParts::keep_results() {
  for (const Graph::Result& r : graph_.results)
    if (of(r.value) != kBackward) is_kept_[r.value.index] = true;
}

bool ForwardParts::is_made_of_kept(const Node& node) const {
  return std::ranges::all_of(graph_.operands(node), [&](ValueId v) { return of(v) < 0 || is_kept(v); });
}

namespace {

class Recomputer {
 public:
  Recomputer(const Graph& graph, const ForwardParts& parts)
      : graph_(graph), parts_(parts), b_(out_), first_(graph, b_), again_(graph, b_) {}

  Graph run() {
    out_.name = graph_.name;
    first_.add_parameters();
    for (std::uint32_t i = 0; i < graph_.node_count(); ++i) {
      const Node& node = graph_.node({i});
      if (node.op == Op::parameter_) continue;
      if (parts_.of(Graph::result(node)) == ForwardParts::kBackward)
        copy_backward({i});
      else if (parts_.is_primal({i}) || parts_.is_kept(Graph::result(node)) || node.operand_count == 0)
        first_.copy({i});
      if (first_.has(Graph::result(node))) copy_comment(Graph::result(node));
    }
    for (Graph::Result r : graph_.results) {
      r.value = first_.at(r.value);
      out_.results.push_back(std::move(r));
    }
    return std::move(out_);
  }

 private:
  void copy_comment(ValueId v) {
    if (out_.comment(first_.at(v)).empty()) out_.set_comment(first_.at(v), graph_.comment(v));
  }

  bool is_there(ValueId v) const { return parts_.of(v) < 0 || parts_.is_kept(v); }

  void copy_backward(ir::NodeId id) {
    std::vector<ValueId> operands;
    for (ValueId v : graph_.operands(graph_.node(id))) {
      if (!is_there(v)) recompute(v);
      operands.push_back(is_there(v) ? first_.at(v) : again_.at(v));
    }
    first_.copy_with(id, operands);
  }

  /// v again, from what is there: its ancestors in order, as far as they are not there either.
  void recompute(ValueId v) {
    if (again_.has(v)) return;
    std::vector<ValueId> pending = {v};
    std::map<std::uint32_t, std::int64_t> nodes;  // by index: the part that it is of
    while (!pending.empty()) {
      const ir::NodeId id = graph_.producer_id(pending.back());
      pending.pop_back();
      if (!nodes.emplace(id.index, parts_.of(Graph::result(graph_.node(id)))).second) continue;
      for (ValueId operand : graph_.operands(graph_.node(id)))
        if (!is_there(operand) && !again_.has(operand)) pending.push_back(operand);
    }
    for (const auto& [index, part] : nodes) {
      std::vector<ValueId> operands;
      for (ValueId operand : graph_.operands(graph_.node({index})))
        operands.push_back(is_there(operand) ? read_again(operand, part) : again_.at(operand));
      again_.copy_with({index}, operands);
    }
  }

  /// Numbers are numbers wherever they are read.
  ValueId read_again(ValueId v, std::int64_t part) {
    const Node& node = graph_.producer(v);
    const bool is_number = node.op != Op::parameter_ && node.operand_count == 0;
    return is_number ? first_.at(v) : b_.value(Op::recompute_, {first_.at(v)}, {part});
  }

  const Graph& graph_;
  const ForwardParts& parts_;
  Graph out_;
  Builder b_;
  ir::Copier first_, again_;
};

}  // namespace

Graph with_recomputation(const Graph& graph, const ForwardParts& parts) {
  return Recomputer(graph, parts).run();
}

}  // namespace mlpc::passes
