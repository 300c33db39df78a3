#pragma once

#include <initializer_list>
#include <span>
#include <string_view>
#include <vector>

#include "ir/graph.h"
#include "ir/node_table.h"
#include "ir/op.h"

namespace mlpc::ir {

/// Appends nodes to a graph. Checks operand types by the op's rule (mlpc::Error on a mismatch) and interns by
/// (op, operands, attributes): asking twice for add(a, b) returns one value. Only one builder at a time may
/// write a graph.
class Builder {
 public:
  explicit Builder(Graph& graph);
  Graph& graph() { return graph_; }
  const Type& type(ValueId v) const { return graph_.type(v); }

  /// Any op. Results are values node.first_result ….
  NodeId make(Op op, std::span<const ValueId> operands, Attributes attributes = {});
  /// Any op with one result.
  ValueId value(Op op, std::initializer_list<ValueId> operands, Attributes attributes = {});

  // Shorthands, one line each, for the ops that rules use most.
  ValueId constant(Constant c) { return value(Op::constant_, {}, {c}); }
  ValueId scalar(ElementType type, double x) { return constant(Constant::of(type, x)); }
  /// x, broadcast to the type of `like` (its element type, its shape).
  ValueId full_like(ValueId like, double x) { return full(type(like), x); }
  ValueId full(Type type, double x);  // by value: types of the graph move when it grows
  ValueId neg(ValueId a) { return value(Op::neg_, {a}); }
  ValueId exp(ValueId a) { return value(Op::exp_, {a}); }
  ValueId log(ValueId a) { return value(Op::log_, {a}); }
  ValueId sqrt(ValueId a) { return value(Op::sqrt_, {a}); }
  ValueId add(ValueId a, ValueId b) { return value(Op::add_, {a, b}); }
  ValueId sub(ValueId a, ValueId b) { return value(Op::sub_, {a, b}); }
  ValueId mul(ValueId a, ValueId b) { return value(Op::mul_, {a, b}); }
  ValueId div(ValueId a, ValueId b) { return value(Op::div_, {a, b}); }
  ValueId scale(ValueId p, ValueId c) { return value(Op::scale_, {p, c}); }
  ValueId compare(Op op, ValueId a, ValueId b) { return value(op, {a, b}); }
  ValueId where(ValueId c, ValueId a, ValueId b) { return value(Op::where_, {c, a, b}); }
  ValueId convert(ValueId a, ElementType to) { return value(Op::convert_, {a}, {to}); }
  /// Sum over `axes` (ascending), which vanish.
  ValueId reduce_sum(ValueId a, Integers axes) { return value(Op::reduce_sum_, {a}, {std::move(axes)}); }
  /// The value repeated: operand axis i becomes result axis axes[i] (ascending) of `shape`, with the same
  /// extent.
  ValueId broadcast(ValueId a, Shape shape, Integers axes) {
    return value(Op::broadcast_, {a}, {std::move(shape), std::move(axes)});
  }
  ValueId reshape(ValueId a, Shape shape) { return value(Op::reshape_, {a}, {std::move(shape)}); }
  /// Result axis i is operand axis permutation[i].
  ValueId transpose(ValueId a, Integers permutation) {
    return value(Op::transpose_, {a}, {std::move(permutation)});
  }
  ValueId slice(ValueId a, Shape start, Shape extent, Integers step) {
    return value(Op::slice_, {a}, {std::move(start), std::move(extent), std::move(step)});
  }
  /// Zeros around.
  ValueId pad(ValueId a, Shape before, Shape after) {
    return value(Op::pad_, {a}, {std::move(before), std::move(after)});
  }
  ValueId flip(ValueId a, Integers axes) { return value(Op::flip_, {a}, {std::move(axes)}); }
  ValueId window(ValueId a, std::size_t axis, Shape extents, std::int64_t stride, std::int64_t dilation) {
    return value(Op::window_, {a}, {static_cast<std::int64_t>(axis), std::move(extents), stride, dilation});
  }
  ValueId fold(ValueId a, std::size_t axis, Dim extent, std::int64_t stride, std::int64_t dilation) {
    return value(Op::fold_, {a},
                 {static_cast<std::int64_t>(axis), Shape{std::move(extent)}, stride, dilation});
  }
  ValueId gather(ValueId table, ValueId ids) { return value(Op::gather_, {table, ids}); }
  ValueId scatter_add(ValueId ids, ValueId updates, Dim extent) {
    return value(Op::scatter_add_, {ids, updates}, {Shape{std::move(extent)}});
  }
  ValueId einsum(std::string_view spec, std::span<const ValueId> operands);

 private:
  Graph& graph_;
  NodeTable interned_;  // by hash of (op, operands, attributes)
};

}  // namespace mlpc::ir
