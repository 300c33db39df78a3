#include <algorithm>
#include <map>

#include "compiler/passes/passes.h"
#include "ir/copy.h"
#include "ir/error.h"

namespace mlpc::passes {
namespace {

using ir::Builder;
using ir::Graph;
using ir::Node;
using ir::Op;
using ir::Role;
using ir::ValueId;
using Extents = std::function<std::int64_t(std::string_view)>;

/// Which values of a gradient graph belong to which segment of its forward part.
class Segments {
 public:
  static constexpr std::int64_t kBackward = -1, kEverywhere = -2;  // parameters, and what is made of nothing

  Segments(const Graph& graph, std::int64_t count, const Extents& value_of_dim)
      : graph_(graph), of_(graph.value_count(), kEverywhere), is_kept_(graph.value_count(), false) {
    find_backward();
    find_end();
    cut(count, value_of_dim);
    find_kept();
  }

  std::int64_t of(ValueId v) const { return of_[v.index]; }
  /// It crosses a cut, or is a result, or belongs to the last segment: it is there when the backward part
  /// runs.
  bool is_kept(ValueId v) const { return is_kept_[v.index]; }
  /// Whether the forward part itself needs the node: others are what only derivatives use.
  bool is_primal(ir::NodeId id) const { return id.index < end_; }

 private:
  void find_backward() {
    for (const Graph::Parameter& p : graph_.parameters())
      if (p.role == Role::loss_bar) of_[p.value.index] = kBackward;
    for_each_node([&](const Node& node) {
      if (std::ranges::any_of(graph_.operands(node), [&](ValueId v) { return of(v) == kBackward; }))
        set(node, kBackward);
    });
  }

  /// Behind the last node that a forward result needs stand only partial derivatives.
  void find_end() {
    for (const Graph::Result& r : graph_.results)
      if (of(r.value) != kBackward) end_ = std::max(end_, graph_.producer_id(r.value).index + 1);
  }

  bool is_forward(const Node& node) const {
    return node.op != Op::parameter_ && of(Graph::result(node)) != kBackward && node.operand_count > 0;
  }

  double bytes_of(const Node& node, const Extents& value_of_dim) const {
    if (std::holds_alternative<ir::LayoutLowering>(ir::def(node.op).lowering)) return 0;
    double bytes = 0;
    for (std::uint32_t r = 0; r < node.result_count; ++r) {
      const ir::Type& type = graph_.type(Graph::result(node, r));
      const auto count = static_cast<double>(type.element_count().evaluate(value_of_dim).value_or(INT64_MAX));
      bytes += count * ir::size_of(type.element);
    }
    return bytes;
  }

  /// Primal nodes by their place among all bytes; a partial derivative belongs where its last operand does.
  void cut(std::int64_t count, const Extents& value_of_dim) {
    double total = 0, before = 0;
    for_each_node([&](const Node& node) {
      if (is_forward(node)) total += bytes_of(node, value_of_dim);
    });
    last_ = count - 1;
    std::uint32_t index = 0;
    for_each_node([&](const Node& node) {
      const bool is_primal = index++ < end_;
      if (!is_forward(node)) return;
      std::int64_t segment = 0;
      for (ValueId v : graph_.operands(node)) segment = std::max(segment, of(v));
      if (is_primal && total > 0)
        segment = std::max(segment, static_cast<std::int64_t>(static_cast<double>(count) * before / total));
      before += bytes_of(node, value_of_dim);
      set(node, std::min(segment, last_));
    });
  }

  void find_kept() {
    for (std::uint32_t i = 0; i < of_.size(); ++i) is_kept_[i] = of_[i] == last_;
    for (const Graph::Result& r : graph_.results)
      if (of(r.value) != kBackward) is_kept_[r.value.index] = true;
    for (std::uint32_t i = 0; i < end_; ++i) {
      const Node& node = graph_.node({i});
      if (!is_forward(node)) continue;
      for (ValueId v : graph_.operands(node))
        if (of(v) >= 0 && of(v) < of(Graph::result(node))) is_kept_[v.index] = true;
    }
    // Partial derivatives are made where they are read, unless all that they are made of is there.
    for (std::uint32_t i = end_; i < graph_.node_count(); ++i) {
      const Node& node = graph_.node({i});
      if (!is_forward(node)) continue;
      const bool is_made = std::ranges::all_of(graph_.operands(node),
                                               [&](ValueId v) { return of(v) < 0 || is_kept_[v.index]; });
      for (std::uint32_t r = 0; r < node.result_count; ++r)
        is_kept_[node.first_result + r] = is_made && of(Graph::result(node, r)) == last_;
    }
  }

  void set(const Node& node, std::int64_t segment) {
    for (std::uint32_t r = 0; r < node.result_count; ++r) of_[node.first_result + r] = segment;
  }

  template <typename F>
  void for_each_node(F f) const {
    for (std::uint32_t i = 0; i < graph_.node_count(); ++i) f(graph_.node({i}));
  }

  const Graph& graph_;
  std::vector<std::int64_t> of_;  // by value
  std::vector<bool> is_kept_;     // by value
  std::uint32_t end_ = 0;
  std::int64_t last_ = 0;
};

class Recomputer {
 public:
  Recomputer(const Graph& graph, const Segments& segments)
      : graph_(graph), segments_(segments), b_(out_), first_(graph, b_), again_(graph, b_) {}

  Graph run() {
    out_.name = graph_.name;
    first_.add_parameters();
    for (std::uint32_t i = 0; i < graph_.node_count(); ++i) {
      const Node& node = graph_.node({i});
      if (node.op == Op::parameter_) continue;
      if (segments_.of(Graph::result(node)) == Segments::kBackward)
        copy_backward({i});
      else if (segments_.is_primal({i}) || segments_.is_kept(Graph::result(node)) || node.operand_count == 0)
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

  bool is_there(ValueId v) const {
    const std::int64_t segment = segments_.of(v);
    return segment < 0 || segments_.is_kept(v);
  }

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
    std::map<std::uint32_t, std::int64_t> nodes;  // by index: the segment for which it is computed again
    while (!pending.empty()) {
      const ir::NodeId id = graph_.producer_id(pending.back());
      pending.pop_back();
      if (!nodes.emplace(id.index, segments_.of(Graph::result(graph_.node(id)))).second) continue;
      for (ValueId operand : graph_.operands(graph_.node(id)))
        if (!is_there(operand) && !again_.has(operand)) pending.push_back(operand);
    }
    for (const auto& [index, segment] : nodes) {
      std::vector<ValueId> operands;
      for (ValueId operand : graph_.operands(graph_.node({index})))
        operands.push_back(is_there(operand) ? read_again(operand, segment) : again_.at(operand));
      again_.copy_with({index}, operands);
    }
  }

  /// Numbers are numbers wherever they are read.
  ValueId read_again(ValueId v, std::int64_t segment) {
    const Node& node = graph_.producer(v);
    const bool is_number = node.op != Op::parameter_ && node.operand_count == 0;
    return is_number ? first_.at(v) : b_.value(Op::recompute_, {first_.at(v)}, {segment});
  }

  const Graph& graph_;
  const Segments& segments_;
  Graph out_;
  Builder b_;
  ir::Copier first_, again_;
};

}  // namespace

ir::Program recompute_segments(const ir::Program& program, std::int64_t segments,
                               const Extents& value_of_dim) {
  MLPC_CHECK(segments > 0, "{} segments", segments);
  ir::Program out = program;
  if (Graph* grad = out.find("grad"))
    *grad = Recomputer(*grad, Segments(*grad, segments, value_of_dim)).run();
  return out;
}

}  // namespace mlpc::passes
