#include "compiler/frontend/roll_up.h"

#include <algorithm>

#include "compiler/frontend/equal_turns.h"
#include "compiler/frontend/rolled_graph.h"
#include "ir/error.h"

namespace mlpc::frontend {

using ir::NodeId;
using ir::Role;
using ir::ValueId;

namespace {

using Row = std::pair<Role, std::uint32_t>;

/// The loops of one depth, in all graphs.
class Level {
 public:
  Level(Elaborator& el, const std::vector<Target*>& targets, std::vector<bool>& is_frozen, int depth)
      : el_(el), targets_(targets), is_frozen_(is_frozen) {
    for (Target* t : targets_) {
      facts_.emplace_back(*t);
      std::vector<EqualTurns>& loops = loops_.emplace_back();
      for (const ElaboratedLoop& loop : t->loops_done)
        if (loop.depth == depth)
          if (std::optional<EqualTurns> equal = equal_turns(facts_.back(), loop, el_.program))
            if (std::ranges::all_of(equal->leaves, [&](const Leaf& l) { return fits_one_tensor(l); }))
              loops.push_back(std::move(*equal));
    }
  }

  /// Whether anything changed.
  bool run() {
    while (drop_loops_with_rows_elsewhere()) {
    }
    if (std::ranges::all_of(loops_, [](const auto& list) { return list.empty(); })) return false;
    StackedRows rows;
    for (const auto& list : loops_)
      for (const EqualTurns& loop : list)
        for (const Leaf& leaf : loop.leaves)
          if (leaf.stack) rows.take(*leaf.stack);
    rows.number(Role::param, el_.program.params.size());
    rows.number(Role::state, el_.program.state.size());
    for (std::size_t i = 0; i < targets_.size(); ++i) roll_graph(el_, *targets_[i], loops_[i], rows);
    is_frozen_ = rows.merged(Role::param, is_frozen_);
    el_.param_draws = rows.merged(Role::param, el_.param_draws);
    el_.state_draws = rows.merged(Role::state, el_.state_draws);
    el_.program.params = rows.merged_tensors(Role::param, el_.program.params);
    el_.program.state = rows.merged_tensors(Role::state, el_.program.state);
    return true;
  }

 private:
  bool fits_one_tensor(const Leaf& leaf) const {
    if (!leaf.stack) return true;
    const bool is_param = leaf.stack->role == Role::param;
    const auto& draws = is_param ? el_.param_draws : el_.state_draws;
    return std::ranges::all_of(leaf.stack->rows, [&](std::uint32_t row) {
      const std::uint32_t first = leaf.stack->rows[0];
      return draws[row] == draws[first] && (!is_param || is_frozen_[row] == is_frozen_[first]);
    });
  }

  /// Whether some were dropped: what they read was a row to others.
  bool drop_loops_with_rows_elsewhere() {
    std::map<Row, Stack> stack_of;
    std::set<Stack> bad;
    for (const auto& list : loops_)
      for (const EqualTurns& loop : list)
        for (const Leaf& leaf : loop.leaves)
          if (leaf.stack)
            for (std::uint32_t row : leaf.stack->rows) {
              const auto [it, is_new] = stack_of.try_emplace({leaf.stack->role, row}, *leaf.stack);
              if (it->second != *leaf.stack) bad.insert({it->second, *leaf.stack});
            }
    for (std::size_t i = 0; i < targets_.size(); ++i) add_escapes(i, stack_of, bad);
    bool any = false;
    for (auto& list : loops_)
      any |= std::erase_if(list, [&](const EqualTurns& loop) {
               return std::ranges::any_of(loop.leaves,
                                          [&](const Leaf& l) { return l.stack && bad.contains(*l.stack); });
             }) > 0;
    return any;
  }

  /// Stacks of which a graph reads or writes a row outside of its equal turns.
  void add_escapes(std::size_t i, const std::map<Row, Stack>& stack_of, std::set<Stack>& bad) const {
    const Target& t = *targets_[i];
    std::set<NodeId> inside;
    std::set<Stack> written;
    for (const EqualTurns& loop : loops_[i]) {
      for (const auto& turn : loop.turns) inside.insert(turn.begin(), turn.end());
      for (const auto& [stack, place] : loop.new_states) written.insert(stack);
    }
    for (const auto& [value, row] : facts_[i].rows) {
      const auto stack = stack_of.find(row);
      if (stack == stack_of.end()) continue;
      const auto is_outside = [&](NodeId user) {
        return facts_[i].is_live[user.index] && !inside.contains(user);
      };
      const bool escapes =
          facts_[i].is_objective[value.index] || facts_[i].states.contains(value) ||
          std::ranges::any_of(facts_[i].users[value.index], is_outside) ||
          (row.first == Role::state && t.new_state.contains(row.second) && !written.contains(stack->second));
      if (escapes) bad.insert(stack->second);
    }
  }

  Elaborator& el_;
  const std::vector<Target*>& targets_;
  std::vector<bool>& is_frozen_;
  std::vector<GraphFacts> facts_;
  std::vector<std::vector<EqualTurns>> loops_;  // by target
};

}  // namespace

bool roll_up(Elaborator& el, const std::vector<Target*>& targets, std::vector<bool>& is_frozen) {
  int deepest = -1;
  for (const Target* t : targets)
    for (const ElaboratedLoop& loop : t->loops_done) deepest = std::max(deepest, loop.depth);
  bool is_rolled = false;
  for (int depth = deepest; depth >= 0; --depth) is_rolled |= Level(el, targets, is_frozen, depth).run();
  return is_rolled;
}

}  // namespace mlpc::frontend
