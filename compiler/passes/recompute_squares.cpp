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
    parts_.for_each_forward([&](ir::NodeId, const Node& node) {
      if (is_square_product(node)) least_ = std::min(least_, degree(node));
    });
    if (least_ == INT32_MAX) return false;
    parts_.for_each_forward([&](ir::NodeId, const Node& node) {
      if (!is_square_product(node) && !keeps_square(node)) return;
      for (std::uint32_t r = 0; r < node.result_count; ++r) {
        const ValueId v = Graph::result(node, r);
        is_square_[v.index] = degree_of(graph_.type(v)) >= least_;
      }
    });
    parts_.keep_results();
    parts_.for_each_forward([&](ir::NodeId id, const Node& node) {
      if (!parts_.is_primal(id) && !parts_.is_made_of_kept(node)) return;
      for (std::uint32_t r = 0; r < node.result_count; ++r)
        if (const ValueId v = Graph::result(node, r); !is_square_[v.index]) parts_.keep(v);
    });
    return true;
  }

  const ForwardParts& parts() const { return parts_; }

 private:
  int degree(const Node& node) const { return degree_of(graph_.type(Graph::result(node))); }

  bool is_square_product(const Node& node) const {
    return node.op == Op::einsum_ && std::ranges::all_of(graph_.operands(node), [&](ValueId v) {
             return degree_of(graph_.type(v)) < degree(node);
           });
  }

  /// Made of a square, and cheaply.
  bool keeps_square(const Node& node) const {
    return node.op != Op::einsum_ && node.op != Op::scan_ &&
           std::ranges::any_of(graph_.operands(node), [&](ValueId v) { return is_square_[v.index]; });
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
