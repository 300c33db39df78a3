#include <vector>

#include "compiler/passes/passes.h"
#include "ir/bodies.h"
#include "ir/rebuild.h"

namespace mlpc::passes {
namespace {

using ir::Builder;
using ir::Graph;
using ir::Node;
using ir::Op;
using ir::ValueId;

/// e = exp(-|x|), of which all the functions below are made, so that they do not overflow.
struct Decay {
  ValueId x, e, is_positive;
};

Decay decay_of(Builder& b, ValueId x) {
  return {x, b.exp(b.neg(b.value(Op::abs_, {x}))), b.compare(Op::gt_, x, b.full_like(x, 0))};
}

// tanh(softplus(x)) = q / (q + r), where q = 1 + 2 e, r = 2 e² for x > 0; q = e (e + 2), r = 2 for others
ValueId tanh_of_softplus(Builder& b, const Decay& d) {
  const ValueId one = b.full_like(d.e, 1), two = b.full_like(d.e, 2);
  const ValueId twice = b.add(d.e, d.e);
  const ValueId q = b.where(d.is_positive, b.add(twice, one), b.mul(d.e, b.add(d.e, two)));
  const ValueId r = b.where(d.is_positive, b.mul(twice, d.e), two);
  return b.div(q, b.add(q, r));
}

// sigmoid(x) = 1 / (1 + e) for x > 0; e / (1 + e) for others
ValueId sigmoid(Builder& b, const Decay& d) {
  const ValueId one = b.full_like(d.e, 1);
  return b.div(b.where(d.is_positive, one, d.e), b.add(d.e, one));
}

/// Values of which tanh(softplus(x)) is taken somewhere in the graph.
std::vector<bool> arguments_of_mish(const Graph& graph) {
  std::vector<bool> out(graph.value_count(), false);
  for (std::uint32_t i = 0; i < graph.node_count(); ++i) {
    const Node& node = graph.node({i});
    if (node.op != Op::tanh_) continue;
    const Node& below = graph.producer(graph.operands(node)[0]);
    if (below.op == Op::softplus_) out[graph.operands(below)[0].index] = true;
  }
  return out;
}

Graph with_one_exp(const Graph& graph) {
  const std::vector<bool> is_argument = arguments_of_mish(graph);
  return ir::rebuild(graph, [&](Builder& b, ir::Copier& copier, const Node& node) {
    if (node.op != Op::tanh_ && node.op != Op::sigmoid_) return false;
    ValueId x = graph.operands(node)[0];
    if (node.op == Op::tanh_) {
      if (graph.producer(x).op != Op::softplus_) return false;
      x = graph.operands(graph.producer(x))[0];
    }
    if (!is_argument[x.index]) return false;
    const Decay decay = decay_of(b, copier.at(x));
    copier.stand_in(Graph::result(node),
                    node.op == Op::tanh_ ? tanh_of_softplus(b, decay) : sigmoid(b, decay));
    return true;
  });
}

}  // namespace

ir::Program rewrite_bounded(const ir::Program& program) {
  return ir::with_rewritten_graphs(program, with_one_exp);
}

}  // namespace mlpc::passes
