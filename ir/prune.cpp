#include "ir/prune.h"

#include <algorithm>
#include <unordered_map>
#include <vector>

#include "ir/copy.h"
#include "ir/ops/scan.h"

namespace mlpc::ir {
namespace {

/// Which values of a graph are needed, and of each scan the same for its body. Needs only grow, so that it
/// may run again.
class Liveness {
 public:
  explicit Liveness(const Graph& graph) : graph_(graph), used_(graph.value_count(), false) {}

  void need(ValueId v) { used_[v.index] = true; }
  bool is_used(ValueId v) const { return used_[v.index]; }
  bool is_used(const Node& node) const {
    bool any = false;
    for (std::uint32_t r = 0; r < node.result_count; ++r) any |= is_used(Graph::result(node, r));
    return any;
  }

  void run() {
    for (std::size_t i = graph_.node_count(); i-- > 0;) {
      const NodeId id{static_cast<std::uint32_t>(i)};
      const Node& node = graph_.node(id);
      if (!is_used(node)) continue;
      const std::vector<bool> needed = body_of(node) ? scan(id) : std::vector<bool>(node.operand_count, true);
      for (std::size_t k = 0; k < node.operand_count; ++k)
        if (needed[k]) need(graph_.operands(node)[k]);
    }
  }

  const Liveness& body(NodeId id) const { return bodies_.at(id.index); }
  /// Of a scan's operands, those that it needs.
  std::vector<bool> scan_operands(NodeId id) const {
    const BodySignature& s = body_of(graph_.node(id))->signature();
    const Liveness& inside = body(id);
    std::vector<bool> out;
    for (ValueId v : s.consts) out.push_back(inside.is_used(v));
    for (std::size_t i = 0; i < s.loops.size(); ++i) out.push_back(is_live(id, i));
    for (ValueId v : s.sequences) out.push_back(inside.is_used(v));
    return out;
  }

 private:
  /// Its last value is needed, or the next turn needs it; the first one is the last where there are no turns.
  bool is_live(NodeId id, std::size_t loop) const {
    const Node& node = graph_.node(id);
    return is_used(Graph::result(node, loop)) || body(id).is_used(body_of(node)->signature().loops[loop]);
  }

  std::vector<bool> scan(NodeId id) {
    const Node& node = graph_.node(id);
    const BodySignature& s = body_of(node)->signature();
    Liveness& inside = bodies_.try_emplace(id.index, body_of(node)->graph()).first->second;
    for (std::size_t r = 0; r < s.stacked.size(); ++r)
      if (is_used(Graph::result(node, s.loops.size() + r))) inside.need(s.stacked[r]);
    for (std::size_t live = SIZE_MAX; live != count_live(id);) {
      live = count_live(id);
      for (std::size_t i = 0; i < s.loops.size(); ++i)
        if (is_live(id, i)) inside.need(s.next[i]);
      inside.run();
    }
    return scan_operands(id);
  }

  std::size_t count_live(NodeId id) const {
    std::size_t count = 0;
    for (std::size_t i = 0; i < body_of(graph_.node(id))->signature().loops.size(); ++i)
      count += is_live(id, i);
    return count;
  }

  const Graph& graph_;
  std::vector<bool> used_;
  std::unordered_map<std::uint32_t, Liveness> bodies_;  // by node
};

/// What is used of a graph's nodes, in a new one.
class Keeper {
 public:
  Keeper(const Graph& from, const Liveness& live, Graph& to)
      : from_(from), live_(live), b_(to), copier_(from, b_) {}

  Copier& copier() { return copier_; }

  void keep_nodes() {
    for (std::uint32_t i = 0; i < from_.node_count(); ++i) {
      const Node& node = from_.node({i});
      if (!live_.is_used(node)) continue;
      if (body_of(node))
        keep_scan({i});
      else
        copier_.copy({i});
      const ValueId v = Graph::result(node);
      if (copier_.has(v) && !from_.comment(v).empty())
        b_.graph().set_comment(copier_.at(v), from_.comment(v));
    }
  }

 private:
  void keep_scan(NodeId id) {
    const Node& node = from_.node(id);
    const std::vector<bool> needed = live_.scan_operands(id);
    ops::ScanSpec spec = ops::ScanSpec::of(node.attributes);
    const std::size_t consts = spec.const_count(), loops = spec.loop_count();
    std::vector<bool> kept;  // by result
    for (std::uint32_t r = 0; r < node.result_count; ++r)
      kept.push_back(r < loops ? needed[consts + r] : live_.is_used(Graph::result(node, r)));
    std::vector<ValueId> operands;
    for (std::size_t k = 0; k < node.operand_count; ++k)
      if (needed[k]) operands.push_back(copier_.at(from_.operands(node)[k]));
    spec.body = body(id, needed, kept);
    const std::vector<ValueId> results = ops::scan(b_, spec, operands);
    for (std::uint32_t r = 0, next = 0; r < node.result_count; ++r)
      if (kept[r]) copier_.stand_in(Graph::result(node, r), results[next++]);
  }

  /// The body with those of its parameters and results that are kept, numbered anew.
  Body body(NodeId id, const std::vector<bool>& operands, const std::vector<bool>& results) const {
    const ops::ScanSpec spec = ops::ScanSpec::of(from_.node(id).attributes);
    const Graph& old = spec.body.graph();
    Graph out;
    out.name = old.name;
    Keeper keeper(old, live_.body(id), out);
    const std::size_t loops_begin = spec.const_count(), sequences_begin = loops_begin + spec.loop_count();
    const auto number = [](const std::vector<bool>& list, std::size_t begin, std::size_t i) {
      const auto from = list.begin() + static_cast<std::ptrdiff_t>(begin);
      return static_cast<std::uint32_t>(std::count(from, from + static_cast<std::ptrdiff_t>(i), true));
    };
    for (Graph::Parameter p : old.parameters()) {
      const std::size_t begin = p.role == Role::loop       ? loops_begin
                                : p.role == Role::sequence ? sequences_begin
                                                           : 0;
      if (p.role != Role::turn && !operands[begin + p.index]) continue;
      if (p.role != Role::turn) p.index = number(operands, begin, p.index);
      keeper.copier().add_parameter(p);
    }
    keeper.keep_nodes();
    for (Graph::Result r : old.results) {
      const std::size_t begin = r.role == Role::loop ? 0 : spec.loop_count();
      if (!results[begin + r.index]) continue;
      r.index = number(results, begin, r.index);
      r.value = keeper.copier().at(r.value);
      out.results.push_back(std::move(r));
    }
    return Body(std::move(out));
  }

  const Graph& from_;
  const Liveness& live_;
  Builder b_;
  Copier copier_;
};

Graph kept_of(const Graph& graph, const Liveness& live, bool keeps_parameters) {
  Graph kept;
  kept.name = graph.name;
  Keeper keeper(graph, live, kept);
  for (const Graph::Parameter& p : graph.parameters())
    if (keeps_parameters || live.is_used(p.value)) keeper.copier().add_parameter(p);
  keeper.keep_nodes();
  for (Graph::Result result : graph.results) {
    result.value = keeper.copier().at(result.value);
    kept.results.push_back(std::move(result));
  }
  return kept;
}

Liveness liveness_of(const Graph& graph) {
  Liveness live(graph);
  for (const Graph::Result& r : graph.results) live.need(r.value);
  live.run();
  return live;
}

}  // namespace

Graph pruned(const Graph& graph) { return kept_of(graph, liveness_of(graph), false); }

Graph without_dead_nodes(Graph graph) {
  const Liveness live = liveness_of(graph);
  for (std::uint32_t i = 0; i < graph.node_count(); ++i) {
    const Node& node = graph.node({i});
    if (body_of(node) || (node.op != Op::parameter_ && !live.is_used(node)))
      return kept_of(graph, live, true);
  }
  return graph;
}

}  // namespace mlpc::ir
