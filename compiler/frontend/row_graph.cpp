#include "compiler/frontend/row_graph.h"

#include <algorithm>
#include <optional>

#include "compiler/frontend/bodies.h"
#include "ir/copy.h"
#include "ir/ops/scan.h"

namespace mlpc::frontend {

using ir::Graph;
using ir::Node;
using ir::Op;
using ir::Role;
using ir::Shape;
using ir::ValueId;
using Values = std::vector<ValueId>;
using AllOf = std::function<ValueId(const Graph::Parameter&)>;

Shape stacked_shape(const Shape& rows, const Shape& row) {
  Shape out = rows;
  out.insert(out.end(), row.begin(), row.end());
  return out;
}

namespace {

bool is_of_row(Role role) { return role == Role::param || role == Role::grad || role == Role::slot; }

/// The same operations on whole stacks.
class Elementwise {
 public:
  Elementwise(ir::Builder& b, const Graph& one, const Shape& rows)
      : b_(b), one_(one), rows_(rows), copier_(one, b), is_stacked_(one.value_count(), false) {}

  /// Whether each element of a row's results depends on that element of what is the row's, and on what is the
  /// same in all rows; by value, whether it has the rows' axes.
  bool is_possible() {
    for (const Graph::Parameter& p : one_.parameters()) is_stacked_[p.value.index] = is_of_row(p.role);
    for (std::uint32_t i = 0; i < one_.node_count(); ++i) {
      const Node& node = one_.node({i});
      if (node.op == Op::parameter_) continue;
      const auto operands = one_.operands(node);
      const bool reads_row = std::ranges::any_of(operands, [&](ValueId v) { return is_stacked_[v.index]; });
      const ValueId v = Graph::result(node);
      if (!reads_row && one_.type(v).rank() == 0) continue;
      is_stacked_[v.index] = true;
      const bool is_elementwise = std::holds_alternative<ir::ElementwiseLowering>(ir::def(node.op).lowering);
      if (!is_elementwise && !repeats_number(node)) return false;
    }
    return true;
  }

  Values run(const AllOf& all_of) {
    for (const Graph::Parameter& p : one_.parameters()) copier_.stand_in(p.value, all_of(p));
    for (std::uint32_t i = 0; i < one_.node_count(); ++i) copy({i});
    Values out;
    for (const Graph::Result& r : one_.results) out.push_back(stacked(r.value, one_.type(r.value)));
    return out;
  }

 private:
  bool repeats_number(const Node& node) const {
    return node.op == Op::broadcast_ && !is_stacked_[one_.operands(node)[0].index] &&
           one_.type(one_.operands(node)[0]).rank() == 0;
  }

  void copy(ir::NodeId id) {
    const Node& node = one_.node(id);
    const ValueId v = Graph::result(node);
    if (node.op == Op::parameter_ || !is_stacked_[v.index]) return copier_.copy(id);
    const Shape shape = stacked_shape(rows_, one_.type(v).shape);
    if (repeats_number(node))
      return copier_.stand_in(v, b_.broadcast(copier_.at(one_.operands(node)[0]), shape, {}));
    Values operands;
    for (ValueId operand : one_.operands(node)) operands.push_back(stacked(operand, one_.type(operand)));
    copier_.copy_with(id, operands);
  }

  /// With the axes of the rows: of rows that are numbers, other numbers are repeated.
  ValueId stacked(ValueId v, const ir::Type& type) {
    return is_stacked_[v.index] ? copier_.at(v)
                                : b_.broadcast(copier_.at(v), stacked_shape(rows_, type.shape), {});
  }

  ir::Builder& b_;
  const Graph& one_;
  const Shape& rows_;
  ir::Copier copier_;
  std::vector<bool> is_stacked_;
};

/// A turn a row.
Values scan_rows(ir::Builder& b, const Graph& one, const Shape& rows, const AllOf& all_of) {
  Target body("rows");
  body.graph.add_parameter("row", {ir::ElementType::i64, {}}, Role::turn);
  ir::Copier copier(one, body.builder);
  const Shape flat = {ir::Type{ir::ElementType::i64, rows}.element_count()};
  for (const Graph::Parameter& p : one.parameters()) {
    const ir::Type& type = one.type(p.value);
    ValueId all = all_of(p);
    if (is_of_row(p.role) && rows.size() != 1) all = b.reshape(all, stacked_shape(flat, type.shape));
    const Role role = is_of_row(p.role) ? Role::sequence : Role::constant;
    copier.stand_in(p.value, hand_over(body, role, p.name, all, type));
  }
  copier.copy_all();
  for (std::uint32_t r = 0; r < one.results.size(); ++r)
    body.graph.results.push_back({one.results[r].name, Role::stacked, r, copier.at(one.results[r].value)});
  Values operands = body.consts;
  operands.insert(operands.end(), body.sequences.begin(), body.sequences.end());
  Values out = ir::ops::scan(b, {ir::Body(body.graph), flat[0], false}, operands);
  for (std::uint32_t r = 0; r < out.size() && rows.size() != 1; ++r)
    out[r] = b.reshape(out[r], stacked_shape(rows, one.type(one.results[r].value).shape));
  return out;
}

}  // namespace

Values over_rows(ir::Builder& b, const Graph& one, const Shape& rows, const AllOf& all_of) {
  Elementwise elementwise(b, one, rows);
  return elementwise.is_possible() ? elementwise.run(all_of) : scan_rows(b, one, rows, all_of);
}

}  // namespace mlpc::frontend
