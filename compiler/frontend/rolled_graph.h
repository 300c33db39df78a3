#pragma once

#include <map>
#include <vector>

#include "compiler/frontend/equal_turns.h"

namespace mlpc::frontend {

/// Where the rows of tables go when some of them become one.
class StackedRows {
 public:
  void take(const Stack& stack) {
    for (std::uint32_t row : stack.rows) stack_of_.emplace(std::pair{stack.role, row}, stack);
  }
  void number(ir::Role role, std::size_t count);

  /// null for a row that stays alone
  const Stack* stack_of(ir::Role role, std::uint32_t row) const {
    const auto found = stack_of_.find({role, row});
    return found == stack_of_.end() ? nullptr : &found->second;
  }
  /// In the new table.
  std::uint32_t index(ir::Role role, std::uint32_t row) const { return new_index_.at(role)[row]; }

  /// A fact of each tensor: a stack has that of its rows.
  template <typename T>
  std::vector<T> merged(ir::Role role, const std::vector<T>& by_row) const {
    std::vector<T> out;
    for (std::uint32_t row = 0; row < by_row.size(); ++row)
      if (index(role, row) == out.size()) out.push_back(by_row[row]);
    return out;
  }
  std::vector<ir::TensorInfo> merged_tensors(ir::Role role, const std::vector<ir::TensorInfo>& table) const;

 private:
  std::map<std::pair<ir::Role, std::uint32_t>, Stack> stack_of_;
  std::map<ir::Role, std::vector<std::uint32_t>> new_index_;  // by row
};

/// Writes a target's graph anew, with one `scan` for each of the loops and one parameter for each stack.
void roll_graph(Elaborator& el, Target& target, const std::vector<EqualTurns>& loops,
                const StackedRows& rows);

}  // namespace mlpc::frontend
