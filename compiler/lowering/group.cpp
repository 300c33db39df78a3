#include "compiler/lowering/group.h"

#include <algorithm>
#include <map>
#include <optional>
#include <set>

#include "compiler/lowering/access.h"
#include "compiler/lowering/gather_rows.h"
#include "compiler/lowering/roots.h"
#include "compiler/lowering/row_parts.h"
#include "ir/error.h"

namespace mlpc::lowering {
namespace {

using ir::Graph;
using ir::Node;
using ir::Op;
using ir::Shape;
using ir::ValueId;

constexpr std::size_t kMostMembers = 32;  // a kernel's code grows with them, and LLVM's cost faster than that
constexpr std::size_t kSiblingsTried = 4;  // how far back a group without a common operand is looked for

/// A buffer or member that a value's expression reads, and how many leading axes are read at the same index.
using Leaves = std::map<ValueId, std::size_t>;

class Grouper {
 public:
  Grouper(const Graph& graph, const GroupingOptions& options) : graph_(graph), options_(options) {
    out_.kinds = classify(graph, options.fuse);
    out_.group_of.assign(graph.value_count(), Grouping::kNone);
  }

  Grouping run() {
    // What depends on scalar arguments alone (a learning rate, 1/B) runs before everything, so that nothing
    // waits for it.
    for_each_member([&](ValueId v) {
      if (!is_early_scalar(v)) return;
      const Leaves leaves = leaves_of(v);
      const std::int32_t first = out_.groups.empty() ? Grouping::kNone : 0;
      if (first == Grouping::kNone || joined_space(first, v, leaves)) place(v, leaves, first);
    });
    for_each_member([&](ValueId v) {
      if (group_of(v) != Grouping::kNone) return;
      const Leaves leaves = leaves_of(v);
      place(v, leaves, group_to_join(v, leaves));
    });
    collect_reads();
    return std::move(out_);
  }

 private:
  Kind kind(ValueId v) const { return out_.kinds[v.index]; }
  static bool is_member(Kind k) { return k != Kind::parameter && k != Kind::inlined; }
  std::int32_t group_of(ValueId v) const { return out_.group_of[v.index]; }

  /// Leading axes of operand k that run with the member's own leading axes.
  std::size_t operand_prefix(ValueId v, std::size_t k) const {
    const Node& node = graph_.producer(v);
    if (kind(v) == Kind::contraction || kind(v) == Kind::scatter || kind(v) == Kind::turns) return 0;
    if (node.op == Op::fold_) return folded_axis(node);
    if (kind(v) == Kind::cumulative) return running_axis(node);
    if (kind(v) != Kind::reduction)
      return is_layout(node.op) ? kept_prefix(graph_, node, k) : graph_.type(v).rank();
    const ir::Integers axes = reduced_axes(node);
    const std::size_t rank = graph_.type(graph_.operands(node)[0]).rank();
    std::size_t prefix = 0;
    while (prefix < rank && std::ranges::find(axes, static_cast<std::int64_t>(prefix)) == axes.end())
      ++prefix;
    return prefix;
  }

  /// Walks the inlined values below v, highest first, so that each is seen once with its least prefix.
  Leaves leaves_of(ValueId v) const {
    Leaves leaves, pending;
    const auto reach = [](Leaves& to, ValueId value, std::size_t prefix) {
      const auto [it, is_new] = to.emplace(value, prefix);
      if (!is_new) it->second = std::min(it->second, prefix);
    };
    const auto push_operands = [&](ValueId user, std::size_t limit) {
      const auto operands = graph_.operands(graph_.producer(user));
      for (std::size_t k = 0; k < operands.size(); ++k)
        reach(kind(operands[k]) == Kind::inlined ? pending : leaves, operands[k],
              std::min({limit, operand_prefix(user, k), graph_.type(operands[k]).rank()}));
    };
    push_operands(v, SIZE_MAX);
    while (!pending.empty()) {
      const auto [value, prefix] = *pending.rbegin();
      pending.erase(std::prev(pending.end()));
      push_operands(value, prefix);
    }
    return leaves;
  }

  static std::size_t common_prefix(const Shape& a, const Shape& b) {
    return static_cast<std::size_t>(std::ranges::mismatch(a, b).in1 - a.begin());
  }

  /// The space of group g once v is a member, or nullopt.
  std::optional<Shape> joined_space(std::int32_t g, ValueId v, const Leaves& leaves) const {
    const Group& group = out_.groups[static_cast<std::size_t>(g)];
    const Shape& shape = graph_.type(v).shape;
    const bool is_closed =
        group.is_cumulative || group.is_scatter || group.is_turns || group.is_row_parts || group.sums_much;
    if (group.members.size() >= kMostMembers || is_closed) return std::nullopt;
    std::size_t prefix = common_prefix(group.space, shape);
    if (const auto axis = joined_axis(graph_.producer(v))) prefix = std::min(prefix, *axis);
    for (const auto& [leaf, kept] : leaves)
      if (group_of(leaf) == g) prefix = std::min(prefix, kept);
    const bool is_whole = prefix == group.space.size();
    if (group.is_contraction && !(is_whole && shape.size() == prefix && kind(v) == Kind::elementwise))
      return std::nullopt;
    if (prefix == 0 && !(group.space.empty() && shape.empty())) return std::nullopt;
    return Shape(group.space.begin(), group.space.begin() + static_cast<std::ptrdiff_t>(prefix));
  }

  /// Whether a group and v read an array both, so that one pass reads it once.
  bool share_array(std::int32_t g, const Leaves& leaves) const {
    const std::set<ValueId>& arrays = arrays_read_[static_cast<std::size_t>(g)];
    return std::ranges::any_of(leaves, [&](const auto& leaf) { return arrays.contains(leaf.first); });
  }

  /// Of what has a number of elements, such as all parameters' updates: kernels for those alone are equal,
  /// and code for one of them is enough.
  static bool has_equals(const Shape& shape) {
    return !shape.empty() && std::ranges::all_of(shape, [](const ir::Dim& d) { return d.is_constant(); });
  }

  /// The last group that v reads of; then, where v cannot join that, one that runs later over the same space.
  std::int32_t group_to_join(ValueId v, const Leaves& leaves) const {
    const bool is_alone = kind(v) == Kind::contraction || kind(v) == Kind::cumulative ||
                          kind(v) == Kind::scatter || kind(v) == Kind::turns || has_row_parts(v);
    if (!options_.fuse || is_alone) return Grouping::kNone;
    std::int32_t latest = Grouping::kNone;
    for (const auto& [leaf, kept] : leaves) latest = std::max(latest, group_of(leaf));
    if (latest >= 0 && joined_space(latest, v, leaves)) return latest;
    const auto count = static_cast<std::int32_t>(out_.groups.size());
    for (std::int32_t g = count - 1; g > latest && g >= count - static_cast<std::int32_t>(kSiblingsTried);
         --g) {
      const Group& group = out_.groups[static_cast<std::size_t>(g)];
      const std::optional<Shape> space = joined_space(g, v, leaves);
      const bool is_same_space =
          space && space->size() == group.space.size() && graph_.type(v).rank() == space->size();
      if (!group.is_contraction && is_same_space && (!has_equals(group.space) || share_array(g, leaves)))
        return g;
    }
    return Grouping::kNone;
  }

  bool has_row_parts(ValueId v) const {
    const bool is_sum = kind(v) == Kind::contraction || kind(v) == Kind::reduction;
    return options_.has_row_parts && is_sum && row_parts_of(graph_, v);
  }

  template <typename F>
  void for_each_member(F f) {
    for (std::uint32_t i = 0; i < graph_.node_count(); ++i)
      if (const ValueId v = Graph::result(graph_.node({i})); is_member(kind(v))) f(v);
  }

  bool is_early_scalar(ValueId v) const {
    if (graph_.type(v).rank() != 0 || kind(v) != Kind::elementwise || !options_.fuse) return false;
    return std::ranges::all_of(leaves_of(v), [&](const auto& leaf) {
      const bool is_scalar_argument =
          kind(leaf.first) == Kind::parameter && graph_.type(leaf.first).rank() == 0;
      return is_scalar_argument || group_of(leaf.first) == 0;
    });
  }

  /// All results of a scan, whose first is given.
  void place_turns(ValueId first) {
    Group group{{}, {}};
    group.is_turns = true;
    for (std::uint32_t r = 0; r < graph_.producer(first).result_count; ++r) {
      group.members.push_back({first.index + r});
      out_.group_of[first.index + r] = static_cast<std::int32_t>(out_.groups.size());
    }
    out_.groups.push_back(std::move(group));
  }

  void place(ValueId v, const Leaves& leaves, std::int32_t g) {
    if (kind(v) == Kind::turns) return place_turns(v);
    if (has_row_parts(v)) {
      out_.groups.push_back({graph_.type(v).shape, {v}});
      out_.groups.back().is_row_parts = true;
    }
    if (g == Grouping::kNone) {
      g = static_cast<std::int32_t>(out_.groups.size());
      out_.groups.push_back({graph_.type(v).shape, {}, kind(v) == Kind::contraction});
      out_.groups.back().sums_much = kind(v) == Kind::contraction && sums_much(graph_, v);
      if (kind(v) == Kind::scatter) {
        out_.groups.back().is_scatter = true;
        out_.groups.back().space.clear();
      }
      if (const auto axis = joined_axis(graph_.producer(v))) out_.groups.back().space.resize(*axis);
      if (kind(v) == Kind::cumulative) {
        out_.groups.back().is_cumulative = true;
        out_.groups.back().space.resize(running_axis(graph_.producer(v)));
      }
    }
    Group& group = out_.groups[static_cast<std::size_t>(g)];
    if (!group.members.empty()) group.space = joined_space(g, v, leaves).value();
    group.members.push_back(v);
    out_.group_of[v.index] = g;
    arrays_read_.resize(out_.groups.size());
    for (const auto& [leaf, prefix] : leaves)
      if (graph_.type(leaf).rank() > 0) arrays_read_[static_cast<std::size_t>(g)].insert(leaf);
  }

  /// Whether a member has one nest of loops behind the space, with lanes innermost whatever the target.
  bool ends_in_lanes(ValueId v) const {
    const Node& node = graph_.producer(v);
    if (joined_axis(node)) return false;  // a loop for each part
    if (kind(v) != Kind::reduction || node.op == Op::fold_) return true;
    const std::size_t rank = graph_.type(graph_.operands(node)[0]).rank();
    return std::ranges::count(reduced_axes(node), static_cast<std::int64_t>(rank) - 1) == 0;
  }

  /// Whether the loops of `first` are open still where `later` is computed, for which all members up to it
  /// have to be known: they are members over the same loops, none of which waits for a turn of the others.
  bool share_loops(const Group& group, ValueId first, ValueId later) const {
    if (graph_.type(first).rank() == group.space.size()) return true;
    auto member = std::ranges::find(group.members, first);
    const auto is_alike = [&](ValueId v) {
      return graph_.type(v).shape == graph_.type(first).shape && ends_in_lanes(v) && !out_.is_turned[v.index];
    };
    if (!ends_in_lanes(first)) return false;
    while (*member != later)
      if (!is_alike(*++member)) return false;
    return true;
  }

  /// Reads another member at an index other than its own; of a concat that is a part's.
  bool is_turned(ValueId member, const Leaves& leaves) const {
    const auto has_other_index = [&](const Leaves& read) {
      return std::ranges::any_of(read, [&](const auto& leaf) {
        return group_of(leaf.first) == group_of(member) && leaf.second < graph_.type(leaf.first).rank();
      });
    };
    const Node& node = graph_.producer(member);
    if (!joined_axis(node)) return has_other_index(leaves);
    return std::ranges::any_of(graph_.operands(node), [&](ValueId part) {
      return kind(part) == Kind::inlined && has_other_index(leaves_of(part));
    });
  }

  void collect_reads() {
    out_.is_turned.assign(graph_.value_count(), false);
    out_.is_reloaded.assign(graph_.value_count(), false);
    for (const Group& group : out_.groups) {
      Leaves reads;
      std::vector<Leaves> leaves;  // by member
      for (ValueId member : group.members) {
        leaves.push_back(leaves_of(member));
        out_.is_turned[member.index] = is_turned(member, leaves.back());
      }
      for (std::size_t i = 0; i < leaves.size(); ++i)
        for (const auto& [leaf, prefix] : leaves[i]) {
          const ValueId member = group.members[i];
          if (group_of(leaf) == group_of(member) && !share_loops(group, leaf, member))
            out_.is_reloaded[leaf.index] = true;
          const auto [it, is_new] = reads.emplace(leaf, prefix);
          if (!is_new) it->second = std::min(it->second, prefix);
        }
      auto& list = out_.reads.emplace_back();
      for (const auto& [leaf, prefix] : reads) list.push_back({leaf, prefix});
    }
  }

  const Graph& graph_;
  const GroupingOptions& options_;
  Grouping out_;
  std::vector<std::set<ValueId>> arrays_read_;  // by group
};

}  // namespace

Grouping group_values(const Graph& graph, const GroupingOptions& options) {
  Grouping out = Grouper(graph, options).run();
  if (options.gathers_rows) gather_rows(graph, out);
  return out;
}

}  // namespace mlpc::lowering
