#include "compiler/autodiff/merge_scans.h"

#include <algorithm>
#include <map>
#include <optional>

#include "compiler/autodiff/scan_residuals.h"
#include "ir/ops/scan.h"
#include "ir/rebuild.h"

namespace mlpc::autodiff {
namespace {

using ir::Builder;
using ir::Graph;
using ir::Node;
using ir::NodeId;
using ir::Role;
using ir::ValueId;
using ir::ops::ScanSpec;

/// By stacked result of `less`: the number of the same one of `more`; nullopt where `more` does not compute
/// all that `less` does.
std::optional<std::vector<std::size_t>> stacked_in(const ir::Body& more, const ir::Body& less) {
  const ir::BodySignature &to = more.signature(), &from = less.signature();
  if (to.consts.size() != from.consts.size() || to.loops.size() != from.loops.size() ||
      to.sequences.size() != from.sequences.size())
    return std::nullopt;
  Graph graph = more.graph();
  const std::size_t count = graph.node_count();
  Builder b(graph);
  ir::Copier copier(less.graph(), b);
  copier.bind(from.turn, to.turn);
  const auto bind = [&](const std::vector<ValueId>& these, const std::vector<ValueId>& those) {
    for (std::size_t i = 0; i < these.size(); ++i) copier.bind(these[i], those[i]);
  };
  bind(from.consts, to.consts);
  bind(from.loops, to.loops);
  bind(from.sequences, to.sequences);
  std::vector<ValueId> results = from.next;
  results.insert(results.end(), from.stacked.begin(), from.stacked.end());
  const std::vector<bool> wanted =
      ancestors(less.graph(), results, std::vector<bool>(less.graph().value_count(), false));
  for (std::uint32_t i = 0; i < wanted.size(); ++i)
    if (wanted[i] && !copier.has({i}))
      copier.copy(less.graph().producer_id({i}));  // interned, if it is there
  if (graph.node_count() != count) return std::nullopt;
  for (std::size_t i = 0; i < from.next.size(); ++i)
    if (copier.at(from.next[i]) != to.next[i]) return std::nullopt;
  std::vector<std::size_t> out;
  for (ValueId v : from.stacked) {
    const auto found = std::ranges::find(to.stacked, copier.at(v));
    if (found == to.stacked.end()) return std::nullopt;
    out.push_back(static_cast<std::size_t>(found - to.stacked.begin()));
  }
  return out;
}

/// The scan that stands for another.
struct Standin {
  NodeId node;
  std::vector<std::size_t> stacked;  // by stacked result
};

std::map<std::uint32_t, Standin> standins(const Graph& graph) {
  std::map<std::vector<ValueId>, std::vector<NodeId>> by_operands;
  for (std::uint32_t i = 0; i < graph.node_count(); ++i)
    if (const Node& node = graph.node({i}); ir::body_of(node)) {
      const std::span<const ValueId> operands = graph.operands(node);
      by_operands[{operands.begin(), operands.end()}].push_back({i});
    }
  std::map<std::uint32_t, Standin> out;
  for (const auto& [operands, nodes] : by_operands)
    for (std::size_t i = 0; i < nodes.size(); ++i)
      for (std::size_t j = nodes.size() - 1; j > i; --j) {
        const ScanSpec less = ScanSpec::of(graph.node(nodes[i]).attributes),
                       more = ScanSpec::of(graph.node(nodes[j]).attributes);
        if (less.length != more.length || less.reverse != more.reverse) continue;
        const auto stacked = stacked_in(more.body, less.body);
        if (!stacked) continue;
        out.emplace(nodes[i].index, Standin{nodes[j], *stacked});
        break;
      }
  return out;
}

}  // namespace

Graph with_merged_scans(const Graph& graph) {
  const std::map<std::uint32_t, Standin> found = standins(graph);
  if (found.empty()) return graph;
  return ir::rebuild(graph, [&](Builder& b, ir::Copier& copier, const Node& node) {
    const auto standin = found.find(graph.producer_id(Graph::result(node)).index);
    if (standin == found.end()) return false;
    const ScanSpec spec = ScanSpec::of(graph.node(standin->second.node).attributes);
    const std::vector<ValueId> results = ir::ops::scan(b, spec, copier.operands(node));
    for (std::uint32_t r = 0; r < node.result_count; ++r) {
      const std::size_t loops = spec.loop_count();
      copier.stand_in(Graph::result(node, r),
                      results[r < loops ? r : loops + standin->second.stacked[r - loops]]);
    }
    return true;
  });
}

}  // namespace mlpc::autodiff
