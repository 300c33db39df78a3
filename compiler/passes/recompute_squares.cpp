#include <algorithm>

#include "compiler/passes/passes.h"
#include "compiler/passes/recompute.h"

namespace mlpc::passes {
namespace {

using ir::Graph;
using ir::Node;
using ir::Op;
using ir::ValueId;

/// How the number of elements grows with the free dims.
int degree_of(const ir::Type& type) { return type.element_count().degree(); }

class SquareFinder {
 public:
  explicit SquareFinder(const Graph& graph) : graph_(graph), parts_(graph), is_square_(graph.value_count()) {}

  /// Whether there are any.
  bool run() {
    for_each_forward([&](const Node& node) {
      if (node.op != Op::einsum_ || degree(node) <= degree_of_operands(node)) return;
      least_ = std::min(least_, degree(node));
    });
    if (least_ == INT32_MAX) return false;
    for_each_forward([&](const Node& node) {
      const bool is_square =
          (node.op == Op::einsum_ && degree(node) > degree_of_operands(node)) || keeps_square(node);
      for (std::uint32_t r = 0; r < node.result_count; ++r)
        is_square_[node.first_result + r] = is_square && degree_of_result(node, r) >= least_;
    });
    parts_.keep_results();
    for_each_forward([&](const Node& node) {
      const bool is_made =
          parts_.is_primal(graph_.producer_id(Graph::result(node))) || parts_.is_made_of_kept(node);
      for (std::uint32_t r = 0; r < node.result_count; ++r)
        if (is_made && !is_square_[node.first_result + r]) parts_.keep(Graph::result(node, r));
    });
    return true;
  }

  const ForwardParts& parts() const { return parts_; }

 private:
  int degree_of_result(const Node& node, std::uint32_t r) const {
    return degree_of(graph_.type(Graph::result(node, r)));
  }
  int degree(const Node& node) const { return degree_of_result(node, 0); }
  int degree_of_operands(const Node& node) const {
    int greatest = 0;
    for (ValueId v : graph_.operands(node)) greatest = std::max(greatest, degree_of(graph_.type(v)));
    return greatest;
  }

  /// Made of a square, and cheaply.
  bool keeps_square(const Node& node) const {
    return node.op != Op::einsum_ && node.op != Op::scan_ &&
           std::ranges::any_of(graph_.operands(node), [&](ValueId v) { return is_square_[v.index]; });
  }

  template <typename F>
  void for_each_forward(F f) const {
    for (std::uint32_t i = 0; i < graph_.node_count(); ++i)
      if (const Node& node = graph_.node({i}); parts_.is_forward(node)) f(node);
  }

  const Graph& graph_;
  ForwardParts parts_;
  std::vector<bool> is_square_;  // by value
  int least_ = INT32_MAX;        // degree of a square
};

bool has_recomputed(const Graph& graph) {
  for (std::uint32_t i = 0; i < graph.node_count(); ++i)
    if (graph.node({i}).op == Op::recompute_) return true;
  return false;
}

}  // namespace

ir::Program recompute_squares(const ir::Program& program) {
  const Graph* grad = program.find("grad");
  if (!grad || has_recomputed(*grad)) return program;  // by segments, which were asked for
  SquareFinder squares(*grad);
  if (!squares.run()) return program;
  ir::Program out = program;
  *out.find("grad") = with_recomputation(*grad, squares.parts());
  return out;
}

}  // namespace mlpc::passes
