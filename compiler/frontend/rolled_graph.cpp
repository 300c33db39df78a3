#include "compiler/frontend/rolled_graph.h"

#include <algorithm>
#include <numeric>

#include "compiler/frontend/bodies.h"
#include "ir/error.h"
#include "ir/ops/scan.h"

namespace mlpc::frontend {

using ir::Dim;
using ir::ElementType;
using ir::Graph;
using ir::Node;
using ir::NodeId;
using ir::Op;
using ir::Role;
using ir::Shape;
using ir::Type;
using ir::ValueId;

void StackedRows::number(Role role, std::size_t count) {
  std::vector<std::uint32_t>& out = new_index_[role];
  std::uint32_t next = 0;
  for (std::uint32_t row = 0; row < count; ++row) {
    const Stack* stack = stack_of(role, row);
    const std::uint32_t first = stack ? *std::ranges::min_element(stack->rows) : row;
    out.push_back(first == row ? next++ : out[first]);
  }
}

std::vector<ir::TensorInfo> StackedRows::merged_tensors(Role role,
                                                        const std::vector<ir::TensorInfo>& table) const {
  std::vector<ir::TensorInfo> out = merged(role, table);
  for (std::uint32_t row = 0; row < table.size(); ++row) {
    const Stack* stack = stack_of(role, row);
    if (!stack || stack->rows[0] != row) continue;
    std::vector<std::string> paths;
    for (std::uint32_t r : stack->rows) paths.push_back(table[r].path);
    ir::TensorInfo& tensor = out[index(role, row)];
    tensor.path = *text_over_turns(paths);
    tensor.type = ir::ops::sequence_of(table[row].type, static_cast<std::int64_t>(stack->rows.size()));
  }
  return out;
}

namespace {

/// What a name or a path is called that two turns in a row, the first two, have.
std::string name_over_turns(const std::string& first, const std::string& second) {
  return text_over_turns({first, second}).value_or(first);
}

/// The scan of one loop, in the graph under construction.
class LoopRoller {
 public:
  LoopRoller(Elaborator& el, const Target& old, const EqualTurns& loop, const StackedRows& rows,
             ir::Builder& b, std::vector<ValueId>& map)
      : el_(el), old_(old.graph), loop_(loop), rows_(rows), b_(b), map_(map), body_("body") {
    turn_ = body_.graph.add_parameter("turn", {ElementType::i64, {}}, Role::turn);
  }

  /// Values after the loop stand for those of its turns; returns the new states of stacks, by new index.
  std::map<std::uint32_t, ValueId> run() {
    for (const Leaf& leaf : loop_.leaves) leaves_.push_back(in_body(leaf));
    for (std::size_t j = 0; j < loop_.turns[0].size(); ++j) copy_node(j);
    for (const auto& [from, index] : handed_) add_result(Role::loop, index, made(from));
    const std::size_t last = loop_.turns.size() - 1;
    std::map<TurnValue, std::uint32_t> final_of(handed_.begin(), handed_.end()), stacked;
    for (const auto& [place, turns] : loop_.exits) {
      if (*turns.rbegin() == last && !final_of.contains(place)) final_of.emplace(place, only_last(place));
      if (*turns.begin() != last) add_stacked(place, stacked);
    }
    for (const auto& [stack, place] : loop_.new_states) add_stacked(place, stacked);

    std::vector<ValueId> operands = body_.consts;
    operands.insert(operands.end(), body_.loops.begin(), body_.loops.end());
    operands.insert(operands.end(), body_.sequences.begin(), body_.sequences.end());
    const Dim length = static_cast<std::int64_t>(loop_.turns.size());
    const auto loops = static_cast<std::uint32_t>(body_.loops.size());
    const ir::ops::ScanSpec spec{ir::Body(body_.graph), length, false};
    const std::vector<ValueId> results = ir::ops::scan(b_, spec, operands);
    b_.graph().add_location(results[0], loop_.loop->location);
    for (const auto& [place, index] : final_of) {
      map_[old_value(place, last).index] = results[index];
      b_.graph().name_value(results[index], old_.value_name(old_value(place, last)));
    }
    for (const auto& [place, index] : stacked) {
      b_.graph().name_value(results[loops + index], body_.graph.value_name(made(place)));
      if (const auto turns = loop_.exits.find(place); turns != loop_.exits.end())
        for (std::size_t k : turns->second)
          if (k != last) map_[old_value(place, k).index] = row_of(results[loops + index], k);
    }
    std::map<std::uint32_t, ValueId> states;
    for (const auto& [stack, place] : loop_.new_states)
      states[rows_.index(stack.role, stack.rows[0])] = results[loops + stacked.at(place)];
    return states;
  }

 private:
  ValueId old_value(TurnValue place, std::size_t turn) const {
    return Graph::result(old_.node(loop_.turns[turn][place.node]), place.result);
  }
  ValueId made(TurnValue place) const { return made_[place.node][place.result]; }

  ValueId in_body(const Leaf& leaf) {
    const Type type = old_.type(leaf.values[0]);
    switch (leaf.kind) {
      case Leaf::Kind::same:
        return constant(leaf.values[0]);
      case Leaf::Kind::number:
        return number(leaf);
      case Leaf::Kind::handed: {
        const ValueId v = hand_over(body_, Role::loop, name_of(leaf.from), map_[leaf.values[0].index], type);
        const auto index = static_cast<std::uint32_t>(body_.loops.size() - 1);
        // Another leaf may hand over the same value with another beginning.
        handed_.emplace_back(leaf.from, index);
        return v;
      }
      case Leaf::Kind::row: {
        const std::string& first = old_.value_name(leaf.values[0]);
        return hand_over(body_, Role::sequence, name_over_turns(first, old_.value_name(leaf.values[1])),
                         map_[leaf.values[0].index], type);
      }
    }
    MLPC_CHECK(false, "a leaf of no kind");
  }

  /// What is the same in all turns: numbers and what repeats them are made in the body.
  ValueId constant(ValueId v) {
    const auto [it, is_new] = body_.captured.try_emplace(v);
    if (!is_new) return it->second;
    const Node& node = old_.producer(v);
    const auto operands = old_.operands(node);
    ValueId out;
    if (node.op == Op::constant_ || node.op == Op::dim_)
      out = body_.builder.value(node.op, {}, node.attributes);
    else if (node.op == Op::broadcast_ && old_.type(operands[0]).rank() == 0)
      out = body_.builder.value(node.op, {constant(operands[0])}, node.attributes);
    else
      out =
          hand_over(body_, Role::constant,
                    old_.value_name(v).empty() ? fmt::format("c{}", body_.consts.size()) : old_.value_name(v),
                    map_[v.index], old_.type(v));
    return body_.captured[v] = out;
  }

  /// base + turn * slope. In a loop in a loop, the base is a number of the turn around.
  ValueId number(const Leaf& leaf) {
    const Node& node = old_.producer(leaf.values[0]);
    const bool is_repeated = node.op == Op::broadcast_;
    const ValueId base = is_repeated ? old_.operands(node)[0] : leaf.values[0];
    const Type type = old_.type(base);
    ir::Builder& b = body_.builder;
    ValueId out = type.element == ElementType::i64 ? turn_ : b.convert(turn_, type.element);
    if (leaf.slope != 1) out = b.mul(out, b.scalar(type.element, leaf.slope));
    if (loop_.loop->depth > 0)
      out = b.add(out, hand_over(body_, Role::constant, "base", map_[base.index], type));
    else if (leaf.base != 0)
      out = b.add(out, b.scalar(type.element, leaf.base));
    return is_repeated ? b.value(Op::broadcast_, {out}, node.attributes) : out;
  }

  std::string name_of(TurnValue place) const {
    return name_over_turns(old_.value_name(old_value(place, 0)), old_.value_name(old_value(place, 1)));
  }

  void copy_node(std::size_t j) {
    const Node node = old_.node(loop_.turns[0][j]);
    std::vector<ValueId> operands;
    for (const EqualTurns::Operand& o : loop_.operands[j])
      operands.push_back(o.is_leaf ? leaves_[o.leaf] : made(o.made));
    const Node& copy = body_.graph.node(body_.builder.make(node.op, operands, node.attributes));
    std::vector<ValueId>& results = made_.emplace_back();
    for (std::uint32_t r = 0; r < node.result_count; ++r) {
      const TurnValue place{static_cast<std::uint32_t>(j), r};
      results.push_back(Graph::result(copy, r));
      body_.graph.name_value(results[r], name_of(place));
      describe(results[r], place);
    }
  }

  /// Where it was written; the layers that led there are those of all turns.
  void describe(ValueId v, TurnValue place) {
    const auto &first = old_.locations(old_value(place, 0)), &second = old_.locations(old_value(place, 1));
    for (std::size_t i = 0; i < first.size(); ++i) {
      ir::SourceLocation l = el_.program.locations[first[i]];
      if (first.size() == second.size())
        l.application = name_over_turns(l.application, el_.program.locations[second[i]].application);
      body_.graph.add_location(v, el_.location(l));
    }
  }

  void add_result(Role role, std::uint32_t index, ValueId v) {
    body_.graph.results.push_back({body_.graph.value_name(v), role, index, v});
  }

  /// A loop value that no turn reads: what the last one makes.
  std::uint32_t only_last(TurnValue place) {
    const Type type = old_.type(old_value(place, 0));
    hand_over(body_, Role::loop, name_of(place), b_.full(type, 0), type);
    const auto index = static_cast<std::uint32_t>(body_.loops.size() - 1);
    add_result(Role::loop, index, made(place));
    return index;
  }

  void add_stacked(TurnValue place, std::map<TurnValue, std::uint32_t>& stacked) {
    const auto [it, is_new] = stacked.try_emplace(place, static_cast<std::uint32_t>(stacked.size()));
    if (is_new) add_result(Role::stacked, it->second, made(place));
  }

  /// One turn's of a stacked result.
  ValueId row_of(ValueId stacked, std::size_t turn) {
    const Type type = b_.type(stacked);
    Shape start(type.rank(), 0), extents = type.shape;
    start[0] = static_cast<std::int64_t>(turn);
    extents[0] = 1;
    const ValueId row = b_.slice(stacked, start, extents, ir::Integers(type.rank(), 1));
    return b_.reshape(row, ir::ops::element_of(type).shape);
  }

  Elaborator& el_;
  const Graph& old_;
  const EqualTurns& loop_;
  const StackedRows& rows_;
  ir::Builder& b_;
  std::vector<ValueId>& map_;  // by old value
  Target body_;
  ValueId turn_;
  std::vector<ValueId> leaves_;                              // in the body
  std::vector<std::vector<ValueId>> made_;                   // by node of a turn, by result
  std::vector<std::pair<TurnValue, std::uint32_t>> handed_;  // and the loop value's index
};

/// Copies a graph, but for the turns of its loops.
class GraphRoller {
 public:
  GraphRoller(Elaborator& el, Target& target, const std::vector<EqualTurns>& loops, const StackedRows& rows)
      : el_(el),
        target_(target),
        old_(target.graph),
        loops_(loops),
        rows_(rows),
        is_skipped_(old_.node_count(), false),
        map_(old_.value_count()),
        b_(graph_) {
    graph_.name = old_.name;
    for (const EqualTurns& loop : loops)
      for (const auto& turn : loop.turns)
        for (NodeId id : turn) is_skipped_[id.index] = true;
  }

  void run() {
    for (const Graph::Parameter& p : old_.parameters()) parameters_.emplace(p.value, &p);
    std::vector<std::uint32_t> new_index;
    std::size_t next = 0;
    for (std::uint32_t i = 0; i <= old_.node_count(); ++i) {
      // Loops of one depth follow each other; the record is in their order.
      while (next < loops_.size() && loops_[next].loop->begins.back() == i) {
        LoopRoller roller(el_, target_, loops_[next++], rows_, b_, map_);
        new_states_.merge(roller.run());
      }
      new_index.push_back(static_cast<std::uint32_t>(graph_.node_count()));
      if (i < old_.node_count() && !is_skipped_[i]) copy({i});
    }
    finish(new_index);
  }

 private:
  void copy(NodeId id) {
    const Node& node = old_.node(id);
    if (node.op == Op::parameter_) return add_parameter(*parameters_.at(Graph::result(node)));
    std::vector<ValueId> operands;
    for (ValueId v : old_.operands(node)) operands.push_back(map_[v.index]);
    // Of a turn, no result needs it. What no result needs else is copied: another turn around may need it.
    if (std::ranges::find(operands, ValueId{}) != operands.end()) return;
    const Node& copy = graph_.node(b_.make(node.op, operands, node.attributes));
    for (std::uint32_t r = 0; r < node.result_count; ++r)
      stand_in(Graph::result(node, r), Graph::result(copy, r));
  }

  void stand_in(ValueId from, ValueId to) {
    map_[from.index] = to;
    graph_.name_value(to, old_.value_name(from));
    for (std::uint32_t location : old_.locations(from)) graph_.add_location(to, location);
  }

  void add_parameter(const Graph::Parameter& p) {
    const bool is_row = p.role == Role::param || p.role == Role::state;
    const std::uint32_t index = is_row ? rows_.index(p.role, p.index) : p.index;
    const Stack* stack = is_row ? rows_.stack_of(p.role, p.index) : nullptr;
    const auto [it, is_new] = added_.try_emplace({p.role, index});
    if (is_new && stack) {
      const auto& table = p.role == Role::param ? el_.program.params : el_.program.state;
      std::vector<std::string> paths;
      for (std::uint32_t row : stack->rows) paths.push_back(table[row].path);
      it->second = graph_.add_parameter(
          *text_over_turns(paths),
          ir::ops::sequence_of(old_.type(p.value), static_cast<std::int64_t>(stack->rows.size())), p.role,
          index);
      graph_.add_location(it->second, table[stack->rows[0]].location);
    } else if (is_new) {
      it->second = graph_.add_parameter(p.name, old_.type(p.value), p.role, index, old_.value_name(p.value));
      stand_in(p.value, it->second);
    }
    map_[p.value.index] = it->second;
  }

  void finish(const std::vector<std::uint32_t>& new_index) {
    for (Target::Objective& o : target_.objectives) o.value = map_[o.value.index];
    for (const auto& [index, value] : target_.new_state) {
      const std::uint32_t to = rows_.index(Role::state, index);
      new_states_.try_emplace(to, map_[value.index]);
    }
    target_.new_state = std::move(new_states_);
    target_.parameters = std::move(added_);
    for (ElaboratedLoop& loop : target_.loops_done)
      for (std::uint32_t& begin : loop.begins) begin = new_index[begin];
    target_.graph = std::move(graph_);
  }

  Elaborator& el_;
  Target& target_;
  const Graph& old_;
  const std::vector<EqualTurns>& loops_;
  const StackedRows& rows_;
  std::vector<bool> is_skipped_;  // by node: of a turn
  std::vector<ValueId> map_;      // by old value
  std::map<ValueId, const Graph::Parameter*> parameters_;
  std::map<std::pair<Role, std::uint32_t>, ValueId> added_;
  std::map<std::uint32_t, ValueId> new_states_;  // by new index
  Graph graph_;
  ir::Builder b_;
};

}  // namespace

void roll_graph(Elaborator& el, Target& target, const std::vector<EqualTurns>& loops,
                const StackedRows& rows) {
  GraphRoller(el, target, loops, rows).run();
}

}  // namespace mlpc::frontend
