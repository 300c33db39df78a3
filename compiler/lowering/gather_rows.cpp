#include "compiler/lowering/gather_rows.h"

#include <algorithm>
#include <numeric>
#include <optional>
#include <tuple>

#include "compiler/lowering/row_parts.h"
#include "ir/ops/einsum.h"

namespace mlpc::lowering {
namespace {

using ir::Dim;
using ir::Graph;
using ir::Node;
using ir::Op;
using ir::ValueId;

/// Elements of a layer: a row is 128 FMAs of a vector, or fewer.
constexpr std::int64_t kMostWeights = 1 << 12;

/// The free extent that a group's outermost loop runs over, or whose parts it sums; nullopt: it has none.
std::optional<Dim> rows_of(const Graph& graph, const Group& group) {
  if (group.is_row_parts) return row_parts_of(graph, group.members.front())->rows;
  if (group.space.empty() || group.space[0].is_constant()) return std::nullopt;
  return group.space[0];
}

bool is_small(const ir::Type& type) {
  const std::optional<std::int64_t> count = type.element_count().constant();
  return count && *count <= kMostWeights;
}

/// x W with a small W, or what has a small result, as X'δ does.
bool is_narrow_contraction(const Graph& graph, ValueId v) {
  const Node& node = graph.producer(v);
  const auto operands = graph.operands(node);
  if (operands.size() > 2) return false;
  if (is_small(graph.type(v))) return true;
  const auto small = std::ranges::count_if(operands, [&](ValueId o) { return is_small(graph.type(o)); });
  return small + 1 == static_cast<std::ptrdiff_t>(operands.size()) && graph.type(v).rank() == 2;
}

bool is_narrow(const Graph& graph, const Grouping& grouping) {
  for (const Group& group : grouping.groups) {
    if (group.is_turns || group.is_scatter || group.is_cumulative) return false;
    if (group.is_contraction && !is_narrow_contraction(graph, group.members.front())) return false;
  }
  // What is computed again lies in memory for as short a time as it can, for that was asked for.
  for (std::uint32_t i = 0; i < graph.node_count(); ++i)
    if (const Op op = graph.node({i}).op; op == Op::window_ || op == Op::fold_ || op == Op::recompute_)
      return false;
  return std::ranges::any_of(grouping.groups, &Group::is_contraction);
}

class RowGatherer {
 public:
  RowGatherer(const Graph& graph, Grouping& grouping) : graph_(graph), g_(grouping) {}

  void run() {
    for (const Group& group : g_.groups) rows_.push_back(rows_of(graph_, group));
    const auto is_whole = [&](const Group& group) { return is_whole_sum(group); };
    g_.parts_join =
        std::ranges::any_of(g_.groups, &Group::is_row_parts) && std::ranges::none_of(g_.groups, is_whole);
    find_levels();
    std::vector<std::size_t> order(g_.groups.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    // Parts go last where they are not to be in a phase.
    std::ranges::sort(order, {}, [&](std::size_t g) {
      return std::tuple(levels_[g], kind_of_rows(g), !g_.parts_join && g_.groups[g].is_row_parts, g);
    });
    apply(order);
    g_.is_gathered = true;
  }

 private:
  bool is_whole_sum(const Group& group) const {
    const ValueId v = group.members.front();
    return group.is_contraction && is_small(graph_.type(v)) && !row_parts_of(graph_, v);
  }

  /// How often what the group reads, and so on, waited for all rows.
  void find_levels() {
    std::int32_t loss = Grouping::kNone;
    for (const Graph::Result& r : graph_.results)
      if (r.role == ir::Role::loss_total) loss = g_.group_of[r.value.index];
    for (std::size_t g = 0; g < g_.groups.size(); ++g) {
      int level = 0;
      const auto after = [&](std::int32_t other) {
        if (other < 0 || other >= static_cast<std::int32_t>(g)) return;
        const auto o = static_cast<std::size_t>(other);
        level = std::max(level, levels_[o] + (rows_[o] && rows_[o] != rows_[g] ? 1 : 0));
      };
      for (const Grouping::Read& read : g_.reads[g]) after(g_.group_of[read.value.index]);
      if (has_row_parts(g)) after(static_cast<std::int32_t>(g) - 1);
      // Nothing persistent is written before the loss is known.
      if (writes_persistent(g)) after(loss);
      levels_.push_back(level);
    }
  }

  bool has_row_parts(std::size_t g) const {
    return g > 0 && g_.groups[g - 1].is_row_parts &&
           g_.groups[g - 1].members.front() == g_.groups[g].members.front();
  }

  bool writes_persistent(std::size_t g) const {
    return std::ranges::any_of(graph_.results, [&](const Graph::Result& r) {
      const bool is_persistent =
          r.role == ir::Role::param || r.role == ir::Role::state || r.role == ir::Role::slot;
      return is_persistent && g_.group_of[r.value.index] == static_cast<std::int32_t>(g);
    });
  }

  /// What has no rows comes first, such as a weight that is turned; then one extent after the other.
  std::size_t kind_of_rows(std::size_t g) const {
    if (!rows_[g]) return 0;
    return 1 + static_cast<std::size_t>(std::ranges::find(rows_, rows_[g]) - rows_.begin());
  }

  void apply(const std::vector<std::size_t>& order) {
    Grouping old = g_;
    std::vector<std::int32_t> now(order.size());
    for (std::size_t i = 0; i < order.size(); ++i) {
      g_.groups[i] = std::move(old.groups[order[i]]);
      g_.reads[i] = std::move(old.reads[order[i]]);
      now[order[i]] = static_cast<std::int32_t>(i);
    }
    for (std::int32_t& g : g_.group_of)
      if (g != Grouping::kNone) g = now[static_cast<std::size_t>(g)];
  }

  const Graph& graph_;
  Grouping& g_;
  std::vector<std::optional<Dim>> rows_;
  std::vector<int> levels_;
};

}  // namespace

void gather_rows(const Graph& graph, Grouping& grouping) {
  if (is_narrow(graph, grouping)) RowGatherer(graph, grouping).run();
}

}  // namespace mlpc::lowering
