#include "compiler/driver/held_fixed.h"

#include "ir/copy.h"
#include "ir/error.h"
#include "ir/ops/scan.h"
#include "ir/prune.h"

namespace mlpc::driver {

using ir::Graph;
using ir::Node;
using ir::NodeId;
using ir::Op;
using ir::Role;
using ir::ValueId;

namespace {

/// Makes both graphs at once. Of a body, values are stacked results more, and their residuals sequences more.
class Holder {
 public:
  Holder(const Graph& from, Role given, Role told, std::uint32_t first_given, std::uint32_t first_told)
      : from_(from),
        given_(given),
        told_(told),
        first_given_(first_given),
        first_told_(first_told),
        values_(out_.values),
        graph_(out_.graph),
        to_values_(from, values_),
        to_graph_(from, graph_) {
    out_.values.name = out_.graph.name = from.name;
  }

  HeldFixed run() {
    to_values_.add_parameters();
    to_graph_.add_parameters();
    for (std::uint32_t i = 0; i < from_.node_count(); ++i) {
      const Node& node = from_.node({i});
      if (node.op == Op::stop_grad_) {
        to_values_.copy({i});
        to_graph_.bind(Graph::result(node), hold(to_values_.at(Graph::result(node))));
      } else if (ir::body_of(node)) {
        scan({i});
      } else {
        to_values_.copy({i});
        to_graph_.copy({i});
      }
    }
    for (const Graph::Result& r : from_.results) {
      out_.graph.results.push_back({r.name, r.role, r.index, to_graph_.at(r.value)});
      if (told_ == Role::stacked)
        out_.values.results.push_back({r.name, r.role, r.index, to_values_.at(r.value)});
    }
    return std::move(out_);
  }

 private:
  /// One more value that is told, and given.
  ValueId hold(ValueId v) {
    const std::string name = fmt::format("fixed.{}", count_);
    out_.values.results.push_back({name, told_, first_told_ + count_, v});
    return out_.graph.add_parameter(name, values_.type(v), given_, first_given_ + count_++);
  }

  void scan(NodeId id) {
    const Node& node = from_.node(id);
    ir::ops::ScanSpec spec = ir::ops::ScanSpec::of(node.attributes);
    const auto sequences = static_cast<std::uint32_t>(spec.sequence_count()),
               stacked = static_cast<std::uint32_t>(spec.stacked_count());
    const HeldFixed inside =
        Holder(spec.body.graph(), Role::sequence, Role::stacked, sequences, stacked).run();
    std::vector<ValueId> operands, fixed;
    for (ValueId v : from_.operands(node)) operands.push_back(to_values_.at(v));
    spec.body = ir::Body(inside.values);
    const std::vector<ValueId> told = ir::ops::scan(values_, spec, operands);
    for (std::uint32_t r = 0; r < told.size(); ++r)
      if (r < node.result_count)
        to_values_.bind(Graph::result(node, r), told[r]);
      else
        fixed.push_back(hold(told[r]));
    operands.clear();
    for (ValueId v : from_.operands(node)) operands.push_back(to_graph_.at(v));
    operands.insert(operands.end(), fixed.begin(), fixed.end());
    spec.body = ir::Body(inside.graph);
    const std::vector<ValueId> results = ir::ops::scan(graph_, spec, operands);
    for (std::uint32_t r = 0; r < results.size(); ++r) to_graph_.bind(Graph::result(node, r), results[r]);
  }

  const Graph& from_;
  const Role given_, told_;
  const std::uint32_t first_given_, first_told_;
  std::uint32_t count_ = 0;
  HeldFixed out_;
  ir::Builder values_, graph_;
  ir::Copier to_values_, to_graph_;
};

}  // namespace

HeldFixed hold_fixed(const Graph& graph) {
  HeldFixed out = Holder(graph, Role::residual, Role::residual, 0, 0).run();
  return {ir::pruned(out.values), ir::pruned(out.graph)};
}

}  // namespace mlpc::driver
