#pragma once

#include <map>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "compiler/frontend/elaborator.h"

// Which loops have equal turns. They were elaborated turn by turn, so equality is not inferred from the
// source but seen in the graph: node by node, turn by turn.

namespace mlpc::frontend {

/// Notes which nodes a loop's turns make, for as long as it lives.
class TurnRecorder {
 public:
  /// `items`: what the loop runs through, if it is a list. Of parameters that loops made, those of one turn
  /// are read in one turn.
  TurnRecorder(Elaborator& el, Span span, const List* items = nullptr);
  ~TurnRecorder();
  TurnRecorder(const TurnRecorder&) = delete;
  void begin_turn();
  /// Whether items are parameters that loops made.
  bool has_rows() const { return levels_ > 0; }

 private:
  /// A turn of the loop at a level of those around a parameter: of "block[3].W", "block" and 3.
  using Turn = std::pair<std::string, std::int64_t>;
  std::optional<Turn> turn_of(std::size_t item, int level) const;
  void add_runs(std::size_t first, std::size_t last, int level);

  Target& target_;
  ElaboratedLoop loop_;
  std::vector<std::string> paths_;  // of items; empty for those that no loop made
  int levels_ = 0;                  // most loops around an item
};

/// Where in its turn a value is made: by which of its nodes, as which result.
struct TurnValue {
  std::uint32_t node = 0, result = 0;
  friend auto operator<=>(const TurnValue&, const TurnValue&) = default;
};

/// Parameters or states that are one thing in each turn: rows of what will be one tensor.
struct Stack {
  ir::Role role = ir::Role::param;
  std::vector<std::uint32_t> rows;  // indexes in the table, by turn
  friend auto operator<=>(const Stack&, const Stack&) = default;
};

/// What is read at one place from outside of the turn; turn by turn.
struct Leaf {
  enum class Kind : std::uint8_t {
    same,    // one value in all turns
    number,  // base + turn * slope, repeated to the leaf's type
    handed,  // what the turn before made at `from`; values[0] in the first turn
    row,     // of a stack
  } kind = Kind::same;
  std::vector<ir::ValueId> values;
  double base = 0, slope = 0;
  TurnValue from;
  std::optional<Stack> stack;
};

/// A loop whose turns are one graph, leaves aside.
struct EqualTurns {
  const ElaboratedLoop* loop = nullptr;
  std::vector<std::vector<ir::NodeId>> turns;  // the node at each place, by turn
  struct Operand {
    bool is_leaf;
    std::size_t leaf;
    TurnValue made;  // in the same turn
  };
  std::vector<std::vector<Operand>> operands;  // by node of a turn
  std::vector<Leaf> leaves;
  std::map<TurnValue, std::set<std::size_t>> exits;  // what is read after the loop, of which turns
  std::map<Stack, TurnValue> new_states;             // what `<-` gave to the rows of a stack
};

/// What is known of a target's graph.
struct GraphFacts {
  explicit GraphFacts(const Target& target);
  const Target& target;
  std::vector<bool> is_live;                                       // by node: a result needs it
  std::vector<std::vector<ir::NodeId>> users;                      // by value
  std::vector<bool> is_objective;                                  // by value
  std::map<ir::ValueId, std::vector<std::uint32_t>> states;        // by their new values
  std::map<ir::ValueId, std::pair<ir::Role, std::uint32_t>> rows;  // params and states
  std::set<std::int64_t> asked;                                    // marks by which derivatives are taken
};

/// "block[*].W" of block[0].W, block[1].W, …; nullopt where the texts differ elsewhere, or skip a number.
std::optional<std::string> text_over_turns(const std::vector<std::string>& texts, std::size_t first_turn = 0);

/// Of a constant, or of one that is repeated: a leaf wherever it stands, since it may be another turn's, too.
std::optional<ir::Constant> fixed_number(const ir::Graph& graph, ir::ValueId v);

/// nullopt where its turns are not equal, or too few to be worth a loop.
std::optional<EqualTurns> equal_turns(const GraphFacts& facts, const ElaboratedLoop& loop,
                                      const ir::Program& program);

}  // namespace mlpc::frontend
