#include "compiler/autodiff/scan_maker.h"

#include <fmt/format.h>

#include <algorithm>

#include "ir/ops/scan.h"
#include "ir/prune.h"

namespace mlpc::autodiff {

using ir::Role;
using ir::ValueId;

ValueId ScanMaker::add_turn(const std::string& name) {
  return graph_.add_parameter(name, {ir::ElementType::i64, {}}, Role::turn);
}

ValueId ScanMaker::add(Role role, const std::string& name, const ir::Type& type, ValueId operand) {
  std::vector<ValueId>& list = role == Role::constant ? consts_ : role == Role::loop ? loops_ : sequences_;
  const auto index = static_cast<std::uint32_t>(list.size());
  list.push_back(operand);
  const std::string called = name.empty() ? fmt::format("{}.{}", name_of(role), index) : name;
  return graph_.add_parameter(called, type, role, index, name);
}

void ScanMaker::set_next(std::size_t loop, const std::string& name, ValueId v) {
  graph_.results.push_back({name, Role::loop, static_cast<std::uint32_t>(loop), v});
}

std::size_t ScanMaker::stack(const std::string& name, ValueId v) {
  const auto found = std::ranges::find(stacked_, v);
  const auto number = static_cast<std::size_t>(found - stacked_.begin());
  if (found != stacked_.end()) return number;
  graph_.results.push_back({name, Role::stacked, static_cast<std::uint32_t>(number), v});
  stacked_.push_back(v);
  return number;
}

std::vector<ValueId> ScanMaker::make(ir::Builder& outer, const ir::Dim& length, bool reverse) {
  if (graph_.results.empty()) return {};
  std::vector<ValueId> operands = consts_;
  operands.insert(operands.end(), loops_.begin(), loops_.end());
  operands.insert(operands.end(), sequences_.begin(), sequences_.end());
  return ir::ops::scan(outer, {ir::Body(ir::without_dead_nodes(std::move(graph_))), length, reverse},
                       operands);
}

}  // namespace mlpc::autodiff
