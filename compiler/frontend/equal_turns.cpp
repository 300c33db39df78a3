#include "compiler/frontend/equal_turns.h"

#include <algorithm>

#include "ir/error.h"

namespace mlpc::frontend {

using ir::ElementType;
using ir::Graph;
using ir::Node;
using ir::NodeId;
using ir::Op;
using ir::Role;
using ir::ValueId;

namespace {

/// Fewer turns cost little to compile, and one by one they fuse with what is around them.
constexpr std::size_t kFewestTurns = 8;

}  // namespace

TurnRecorder::TurnRecorder(Elaborator& el, Span span, const List* items)
    : target_(*el.target), loop_{{}, target_.loops_open, el.location(span)} {
  std::map<ValueId, std::string> path_of;
  if (items)
    for (const auto& [key, value] : target_.parameters)
      if (key.first == Role::param) path_of.emplace(value, el.program.params[key.second].path);
  for (std::size_t i = 0; items && i < items->items.size(); ++i) {
    const auto* tensor = items->items[i].as<Tensor>();
    const auto path = tensor ? path_of.find(tensor->id) : path_of.end();
    paths_.push_back(path == path_of.end() ? "" : path->second);
    levels_ = std::max(levels_, static_cast<int>(std::ranges::count(paths_.back(), '[')));
  }
  target_.loops_open += std::max(1, levels_);
}

TurnRecorder::~TurnRecorder() {
  target_.loops_open = loop_.depth;
  begin_turn();  // the end of the last
  if (has_rows() && loop_.begins.size() == paths_.size() + 1)
    add_runs(0, paths_.size(), 0);
  else if (loop_.turns() >= kFewestTurns)
    target_.loops_done.push_back(std::move(loop_));
}

void TurnRecorder::begin_turn() {
  loop_.begins.push_back(static_cast<std::uint32_t>(target_.graph.node_count()));
}

std::optional<TurnRecorder::Turn> TurnRecorder::turn_of(std::size_t item, int level) const {
  const std::string& path = paths_[item];
  std::size_t open = path.find('[');
  for (; level > 0 && open != std::string::npos; --level) open = path.find('[', open + 1);
  if (open == std::string::npos) return std::nullopt;
  return Turn{path.substr(0, open), std::stoll(path.substr(open + 1))};
}

/// One loop for each run of items that are made by turns 0, 1, … of a loop at this level.
void TurnRecorder::add_runs(std::size_t first, std::size_t last, int level) {
  if (level == levels_) return;
  while (first < last) {
    ElaboratedLoop run{{loop_.begins[first]}, loop_.depth + level, loop_.location};
    const std::optional<Turn> begin = turn_of(first, level);
    std::size_t end = first + 1, turn_begin = first;
    for (std::int64_t now = 0; begin && begin->second == 0 && end < last; ++end) {
      const std::optional<Turn> turn = turn_of(end, level);
      if (turn == Turn{begin->first, now}) continue;
      if (turn != Turn{begin->first, now + 1}) break;
      add_runs(turn_begin, end, level + 1);
      run.begins.push_back(loop_.begins[end]);
      turn_begin = end;
      ++now;
    }
    if (begin) add_runs(turn_begin, end, level + 1);
    run.begins.push_back(loop_.begins[end]);
    if (run.turns() >= kFewestTurns) target_.loops_done.push_back(std::move(run));
    first = end;
  }
}

GraphFacts::GraphFacts(const Target& t)
    : target(t),
      is_live(t.graph.node_count(), false),
      users(t.graph.value_count()),
      is_objective(t.graph.value_count(), false) {
  const auto need = [&](ValueId v) { is_live[t.graph.producer_id(v).index] = true; };
  for (const Target::Objective& o : t.objectives) {
    is_objective[o.value.index] = true;
    need(o.value);
  }
  for (const auto& [index, value] : t.new_state) {
    states[value].push_back(index);
    need(value);
  }
  for (const auto& [key, value] : t.parameters)
    if (key.first == Role::param || key.first == Role::state) rows.emplace(value, key);
  for (std::size_t i = t.graph.node_count(); i-- > 0;) {
    const NodeId id{static_cast<std::uint32_t>(i)};
    const Node& node = t.graph.node(id);
    for (ValueId v : t.graph.operands(node)) {
      if (is_live[i]) need(v);
      users[v.index].push_back(id);
      const Node& from = t.graph.producer(v);
      if (from.op == Op::mark_ && ir::asks_for_derivative(node.op))
        asked.insert(std::get<std::int64_t>(from.attributes[0]));
    }
  }
}

std::optional<ir::Constant> fixed_number(const Graph& graph, ValueId v) {
  const Node* node = &graph.producer(v);
  if (node->op == Op::broadcast_) node = &graph.producer(graph.operands(*node)[0]);
  if (node->op != Op::constant_) return std::nullopt;
  return std::get<ir::Constant>(node->attributes[0]);
}

std::optional<std::string> text_over_turns(const std::vector<std::string>& texts, std::size_t first_turn) {
  if (texts.size() < 2) return std::nullopt;
  const std::string &a = texts[0], &b = texts[1];
  const auto [end, unused] = std::ranges::mismatch(a, b);
  // The first difference is in a number, which begins behind the bracket before it.
  const std::size_t open = a.rfind('[', static_cast<std::size_t>(end - a.begin()));
  const std::size_t close = open == std::string::npos ? open : a.find(']', open);
  if (close == std::string::npos) return std::nullopt;
  const std::string before = a.substr(0, open + 1), after = a.substr(close);
  if (before.find("[*]") != std::string::npos) return std::nullopt;
  for (std::size_t k = 0; k < texts.size(); ++k)
    if (texts[k] != fmt::format("{}{}{}", before, first_turn + k, after)) return std::nullopt;
  return before + "*" + after;
}

namespace {

constexpr std::int32_t kOutside = -1;
constexpr std::uint32_t kNowhere = UINT32_MAX;

class Comparison {
 public:
  Comparison(const GraphFacts& facts, const ElaboratedLoop& loop, const ir::Program& program)
      : facts_(facts),
        graph_(facts.target.graph),
        program_(program),
        begin_(loop.begins.front()),
        count_(loop.turns()),
        turn_of_(loop.begins.back() - begin_, kOutside),
        place_of_(turn_of_.size(), kNowhere) {
    out_.loop = &loop;
    nodes_.resize(count_);
    for (std::size_t k = 0; k < count_; ++k)
      for (std::uint32_t i = loop.begins[k]; i < loop.begins[k + 1]; ++i) {
        const Node& node = graph_.node({i});
        if (node.op == Op::parameter_ || fixed_number(graph_, Graph::result(node))) continue;
        turn_of_[i - begin_] = static_cast<std::int32_t>(k);
      }
  }

  std::optional<EqualTurns> run() {
    if (!hoist_invariants()) return std::nullopt;
    for (std::size_t i = 0; i < turn_of_.size(); ++i)
      if (turn_of_[i] != kOutside)
        nodes_[static_cast<std::size_t>(turn_of_[i])].push_back({begin_ + static_cast<std::uint32_t>(i)});
    if (!align_turns() || !find_leaves()) return std::nullopt;
    for (Leaf& leaf : out_.leaves)
      if (!classify(leaf)) return std::nullopt;
    if (!find_new_states()) return std::nullopt;
    find_exits();
    return std::move(out_);
  }

 private:
  std::int32_t turn_of(NodeId id) const {
    return id.index < begin_ || id.index - begin_ >= turn_of_.size() ? kOutside : turn_of_[id.index - begin_];
  }
  std::uint32_t place_of(NodeId id) const { return place_of_[id.index - begin_]; }
  TurnValue place_of(ValueId v) const {
    const NodeId id = graph_.producer_id(v);
    return {place_of(id), v.index - graph_.node(id).first_result};
  }
  std::int32_t turn_of(ValueId v) const { return turn_of(graph_.producer_id(v)); }

  /// Values are interned: what all turns compute alike was made in the first one only. It belongs to none.
  bool hoist_invariants() {
    for (std::size_t i = 0; i < turn_of_.size(); ++i) {
      const NodeId id{begin_ + static_cast<std::uint32_t>(i)};
      const std::int32_t turn = turn_of_[i];
      if (turn < 2) continue;
      for (ValueId v : graph_.operands(graph_.node(id))) {
        const std::int32_t made = turn_of(v);
        if (made == kOutside || made >= turn - 1) continue;
        if (made > 0) return false;  // it is read two turns later: turns have no such memory
        hoist(graph_.producer_id(v));
      }
    }
    return true;
  }
  void hoist(NodeId first) {
    std::vector<NodeId> todo = {first};
    while (!todo.empty()) {
      const NodeId id = todo.back();
      todo.pop_back();
      if (turn_of(id) == kOutside) continue;
      turn_of_[id.index - begin_] = kOutside;
      for (ValueId v : graph_.operands(graph_.node(id))) todo.push_back(graph_.producer_id(v));
    }
  }

  /// The nodes at one place, marks that no derivative asks for alike.
  bool are_alike(NodeId a, NodeId b) const {
    const Node &m = graph_.node(a), &n = graph_.node(b);
    if (m.op != n.op || m.operand_count != n.operand_count || m.result_count != n.result_count) return false;
    for (std::uint32_t r = 0; r < m.result_count; ++r)
      if (graph_.type(Graph::result(m, r)) != graph_.type(Graph::result(n, r))) return false;
    if (m.attributes == n.attributes) return true;
    const auto is_asked = [&](const Node& mark) {
      return facts_.asked.contains(std::get<std::int64_t>(mark.attributes[0]));
    };
    return m.op == Op::mark_ && !is_asked(m) && !is_asked(n);
  }

  /// Leaves in each turn the nodes that some turn needs, the same in all, and numbers them.
  bool align_turns() {
    for (std::size_t k = 2; k < count_; ++k)
      if (nodes_[k].size() != nodes_[1].size()) return false;
    std::size_t kept = 0;
    for (std::size_t j = 0; j < nodes_[1].size(); ++j) {
      bool is_needed = false;
      for (std::size_t k = 1; k < count_; ++k) is_needed |= facts_.is_live[nodes_[k][j].index];
      if (!is_needed) continue;
      for (std::size_t k = 1; k < count_; ++k) {
        if (!are_alike(nodes_[1][j], nodes_[k][j])) return false;
        place_of_[nodes_[k][j].index - begin_] = static_cast<std::uint32_t>(kept);
        nodes_[k][kept] = nodes_[k][j];
      }
      ++kept;
    }
    for (std::size_t k = 1; k < count_; ++k) nodes_[k].resize(kept);
    return kept > 0 && align_first_turn();
  }

  /// The first turn may have made other things, which nothing needs.
  bool align_first_turn() {
    const std::vector<NodeId>& pattern = nodes_[1];
    std::size_t kept = 0;
    for (NodeId id : std::vector(nodes_[0])) {
      if (kept < pattern.size() && fits(id, pattern[kept])) {
        place_of_[id.index - begin_] = static_cast<std::uint32_t>(kept);
        nodes_[0][kept++] = id;
      } else if (facts_.is_live[id.index]) {
        return false;
      }
    }
    nodes_[0].resize(kept);
    return kept == pattern.size();
  }
  /// Whether a node of the first turn stands where this one of the second does.
  bool fits(NodeId first, NodeId second) const {
    if (!are_alike(first, second)) return false;
    const auto a = graph_.operands(graph_.node(first)), b = graph_.operands(graph_.node(second));
    for (std::size_t i = 0; i < a.size(); ++i) {
      const bool is_own = turn_of(a[i]) == 0;
      if (is_own != (turn_of(b[i]) == 1) || (is_own && place_of(a[i]) != place_of(b[i]))) return false;
    }
    return true;
  }

  bool find_leaves() {
    std::map<std::vector<ValueId>, std::size_t> known;
    for (std::size_t j = 0; j < nodes_[0].size(); ++j) {
      std::vector<EqualTurns::Operand>& operands = out_.operands.emplace_back();
      for (std::size_t i = 0; i < graph_.node(nodes_[0][j]).operand_count; ++i) {
        std::vector<ValueId> values;
        std::size_t own = 0;
        for (std::size_t k = 0; k < count_; ++k) {
          values.push_back(graph_.operands(graph_.node(nodes_[k][j]))[i]);
          own += turn_of(values[k]) == static_cast<std::int32_t>(k);
        }
        if (own == 0) {
          const auto [leaf, is_new] = known.try_emplace(values, out_.leaves.size());
          if (is_new) out_.leaves.push_back({.values = std::move(values)});
          operands.push_back({true, leaf->second, {}});
          continue;
        }
        const auto is_elsewhere = [&](ValueId v) { return place_of(v) != place_of(values[0]); };
        if (own != count_ || std::ranges::any_of(values, is_elsewhere)) return false;
        operands.push_back({false, 0, place_of(values[0])});
      }
    }
    out_.turns = nodes_;
    return true;
  }

  bool classify(Leaf& leaf) const {
    const std::vector<ValueId>& v = leaf.values;
    for (ValueId x : v)
      if (graph_.type(x) != graph_.type(v[0])) return false;
    if (std::ranges::all_of(v, [&](ValueId x) { return x == v[0]; })) return turn_of(v[0]) == kOutside;
    return is_number(leaf) || is_handed(leaf) || is_row(leaf);
  }

  bool is_number(Leaf& leaf) const {
    std::vector<ir::Constant> c;
    for (ValueId v : leaf.values) {
      const std::optional<ir::Constant> number = fixed_number(graph_, v);
      if (!number) return false;
      c.push_back(*number);
    }
    const ElementType type = c[0].type;
    if (type != ElementType::i64 && !ir::is_float(type)) return false;
    leaf.kind = Leaf::Kind::number;
    const auto rounded = [&](double x) { return ir::Constant::of(type, x); };
    leaf.base = c[0].as_double();
    leaf.slope = rounded(c[1].as_double() - leaf.base).as_double();
    // As the turns will compute it, in the same type.
    for (std::size_t k = 0; k < count_; ++k)
      if (rounded(rounded(static_cast<double>(k) * leaf.slope).as_double() + leaf.base) != c[k]) return false;
    return true;
  }

  bool is_handed(Leaf& leaf) const {
    leaf.kind = Leaf::Kind::handed;
    if (turn_of(leaf.values[0]) != kOutside || turn_of(leaf.values[1]) != 0) return false;
    leaf.from = place_of(leaf.values[1]);
    if (leaf.from.node == kNowhere) return false;
    for (std::size_t k = 1; k < count_; ++k)
      if (turn_of(leaf.values[k]) != static_cast<std::int32_t>(k) - 1 ||
          place_of(leaf.values[k]) != leaf.from)
        return false;
    return true;
  }

  bool is_row(Leaf& leaf) const {
    leaf.kind = Leaf::Kind::row;
    Stack stack;
    std::vector<std::string> paths;
    for (ValueId v : leaf.values) {
      const auto row = facts_.rows.find(v);
      if (row == facts_.rows.end()) return false;
      stack.role = row->second.first;
      stack.rows.push_back(row->second.second);
      paths.push_back(table(stack.role)[stack.rows.back()].path);
    }
    leaf.stack = std::move(stack);
    return text_over_turns(paths).has_value();
  }
  const std::vector<ir::TensorInfo>& table(Role role) const {
    return role == Role::param ? program_.params : program_.state;
  }

  bool find_new_states() {
    const auto& states = facts_.target.new_state;
    for (const Leaf& leaf : out_.leaves) {
      if (leaf.kind != Leaf::Kind::row || leaf.stack->role != Role::state) continue;
      const std::vector<std::uint32_t>& rows = leaf.stack->rows;
      const auto first = states.find(rows[0]);
      if (first == states.end()) {
        for (std::uint32_t row : rows)
          if (states.contains(row)) return false;
        continue;
      }
      const auto is_made_by = [&](std::size_t k) {
        const auto found = states.find(rows[k]);
        return found != states.end() && turn_of(found->second) == static_cast<std::int32_t>(k) &&
               place_of(found->second) == place_of(first->second);
      };
      for (std::size_t k = 0; k < count_; ++k)
        if (!is_made_by(k)) return false;
      out_.new_states.emplace(*leaf.stack, place_of(first->second));
    }
    return true;
  }

  void find_exits() {
    std::set<std::uint32_t> stacked;
    for (const auto& [stack, place] : out_.new_states) stacked.insert(stack.rows.begin(), stack.rows.end());
    for (std::size_t k = 0; k < count_; ++k)
      for (std::uint32_t j = 0; j < nodes_[k].size(); ++j) {
        const Node& node = graph_.node(nodes_[k][j]);
        for (std::uint32_t r = 0; r < node.result_count; ++r)
          if (is_read_after(Graph::result(node, r), stacked)) out_.exits[{j, r}].insert(k);
      }
  }
  bool is_read_after(ValueId v, const std::set<std::uint32_t>& stacked) const {
    if (facts_.is_objective[v.index]) return true;
    if (const auto found = facts_.states.find(v); found != facts_.states.end())
      for (std::uint32_t state : found->second)
        if (!stacked.contains(state)) return true;
    return std::ranges::any_of(facts_.users[v.index], [&](NodeId user) { return turn_of(user) == kOutside; });
  }

  const GraphFacts& facts_;
  const Graph& graph_;
  const ir::Program& program_;
  const std::uint32_t begin_;
  const std::size_t count_;
  std::vector<std::int32_t> turn_of_;       // by node from begin_ on
  std::vector<std::uint32_t> place_of_;     // in its turn
  std::vector<std::vector<NodeId>> nodes_;  // by turn
  EqualTurns out_;
};

}  // namespace

std::optional<EqualTurns> equal_turns(const GraphFacts& facts, const ElaboratedLoop& loop,
                                      const ir::Program& program) {
  return Comparison(facts, loop, program).run();
}

}  // namespace mlpc::frontend
