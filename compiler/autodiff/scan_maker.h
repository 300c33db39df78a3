#pragma once

#include <string>
#include <vector>

#include "ir/builder.h"

namespace mlpc::autodiff {

/// A scan under construction: its body, and its operands list by list.
class ScanMaker {
 public:
  explicit ScanMaker(std::string name) : b_(graph_) { graph_.name = std::move(name); }

  /// Of the body.
  ir::Builder& builder() { return b_; }

  ir::ValueId add_turn(const std::string& name);
  /// A parameter of the body, for the next operand of its role's list: constant, loop or sequence. Without a
  /// name it is called by its number.
  ir::ValueId add(ir::Role role, const std::string& name, const ir::Type& type, ir::ValueId operand);
  std::size_t loop_count() const { return loops_.size(); }
  void set_next(std::size_t loop, const std::string& name, ir::ValueId v);
  /// The value's number among the stacked results, in which each stands once.
  std::size_t stack(const std::string& name, ir::ValueId v);

  /// Makes it, and returns its results: loop values, then stacked ones. None if the body has none.
  std::vector<ir::ValueId> make(ir::Builder& outer, const ir::Dim& length, bool reverse);

 private:
  ir::Graph graph_;
  ir::Builder b_;
  std::vector<ir::ValueId> consts_, loops_, sequences_;  // operands
  std::vector<ir::ValueId> stacked_;                     // in the body
};

}  // namespace mlpc::autodiff
