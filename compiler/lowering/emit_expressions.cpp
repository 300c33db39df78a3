#include "compiler/lowering/group_emitter.h"
#include "compiler/lowering/roots.h"
#include "ir/error.h"
#include "ir/node_view.h"

namespace mlpc::lowering {

std::string GroupEmitter::key_of(ValueId v, const Index& index) {
  std::string key = std::to_string(v.index);
  for (const AffineIndex& i : index) {
    key += "|" + i.constant.text();
    for (const AffineIndex::Term& t : i.terms)
      key += fmt::format("+{}*{}", t.coefficient.text(), t.var.index);
    if (i.scalar) key += fmt::format("+%{}", i.scalar->index);
  }
  return key;
}

void GroupEmitter::remember(ValueId v, const Index& index, Scalar value) {
  memo_[builder_.depth_of(value)].insert_or_assign(key_of(v, index), value);
}

Scalar GroupEmitter::eval(ValueId v, const Index& index) {
  if (guard_ && shape(v).empty()) return without_guard([&] { return eval(v, index); });
  std::string key = key_of(v, index);
  if (guard_ && is_own(v))  // it may live in registers only
    if (const std::optional<Scalar> value = remembered(key)) return *value;
  if (guard_) key += fmt::format(" if %{}", guard_->id.index);
  if (const std::optional<Scalar> value = remembered(key)) return *value;
  const Scalar value =
      is_buffer(v) ? load(v, is_flat_ && !shape(v).empty() ? space_ : shape(v), index) : compute(v, index);
  memo_[builder_.depth_of(value)].emplace(key, value);
  return value;
}

std::optional<Scalar> GroupEmitter::remembered(const std::string& key) const {
  for (const auto& scope : memo_)
    if (const auto found = scope.find(key); found != scope.end()) return found->second;
  return std::nullopt;
}

std::optional<Scalar> GroupEmitter::bounded(const std::vector<Bound>& bounds) {
  std::optional<Scalar> all;
  const auto require = [&](Scalar condition) {
    all = all ? builder_.binary(ir::ScalarOp::and_, *all, condition) : condition;
  };
  for (const Bound& bound : bounds) {
    const Scalar at = builder_.index_value(bound.index);
    if (bound.may_be_negative) require(builder_.compare(ir::ScalarOp::ge_, at, builder_.index_value({})));
    if (bound.extent)
      require(builder_.compare(ir::ScalarOp::lt_, at, builder_.index_value({*bound.extent, {}, {}})));
  }
  return all;
}

template <typename F>
Scalar GroupEmitter::without_guard(F evaluate) {
  const std::optional<Scalar> outer = std::exchange(guard_, std::nullopt);
  const Scalar value = evaluate();
  guard_ = outer;
  return value;
}

Scalar GroupEmitter::eval_under(Scalar condition, ValueId v, const Index& index) {
  const std::optional<Scalar> outer = guard_;
  guard_ = outer ? builder_.binary(ir::ScalarOp::and_, *outer, condition) : condition;
  const Scalar value = eval(v, index);
  guard_ = outer;
  return value;
}

Scalar GroupEmitter::eval_if(Scalar condition, ValueId v, const Index& index) {
  const Scalar value = eval_under(condition, v, index);
  if (is_buffer(v) && !is_own(v) && !shape(v).empty()) return value;  // loads give 0 there
  return builder_.select(condition, value, builder_.constant(value.type, 0));
}

Scalar GroupEmitter::clamped(Scalar id, const Dim& rows) {
  const Scalar row = builder_.convert(id, ElementType::i64), zero = builder_.index_value({});
  const Scalar last = builder_.index_value({rows - 1, {}, {}});
  const Scalar below = builder_.select(builder_.compare(ir::ScalarOp::gt_, row, last), last, row);
  return builder_.select(builder_.compare(ir::ScalarOp::lt_, below, zero), zero, below);
}

Scalar GroupEmitter::gather(const Node& node, const Index& index) {
  const ValueId table = c_.graph.operands(node)[0], ids = c_.graph.operands(node)[1];
  const auto split = index.begin() + static_cast<std::ptrdiff_t>(shape(ids).size());
  const Dim& rows = shape(table)[0];
  Index at = {{0, {}, clamped(eval(ids, {index.begin(), split}), rows).id}};
  at.insert(at.end(), split, index.end());
  if (rows.constant().value_or(0) > 0) return eval(table, at);
  return eval_if(*bounded({{{}, false, rows}}), table, at);
}

Scalar GroupEmitter::concat(const Node& node, const Index& index) {
  const auto parts = c_.graph.operands(node);
  std::optional<Scalar> value;
  for (std::size_t k = parts.size(); k-- > 0;) {
    const OperandAccess access = *operand_access(c_.graph, node, index, k);
    const std::optional<Scalar> inside = bounded(access.bounds);
    const Scalar part = inside ? eval_under(*inside, parts[k], access.index) : eval(parts[k], access.index);
    value = value ? builder_.select(*inside, part, *value) : part;
  }
  return *value;
}

/// The call has it, not the kernel, so that kernels which draw alike are equal, whatever their streams: those
/// of layers' dropout, or of initial weights.
Scalar GroupEmitter::number(std::int64_t value) {
  const auto found = numbers_.find(value);
  if (found != numbers_.end()) return found->second;
  const BufferId buffer =
      add_buffer({ElementType::i64, {}}, {.space = BufferRef::Space::number, .number = value}, false);
  return numbers_.emplace(value, builder_.load(buffer, {})).first->second;
}

Scalar GroupEmitter::compute(ValueId v, const Index& index) {
  constexpr std::size_t kTurns = 2;  // of a random op's operands
  const Node& node = c_.graph.producer(v);
  if (is_layout(node.op)) return compute_layout(node, index);
  const ir::NodeFacts facts(c_.graph, node);
  const ir::OpLowering& lowering = ir::def(node.op).lowering;
  std::vector<Scalar> operands;
  if (const auto* source = std::get_if<ir::SourceLowering>(&lowering)) {
    for (ValueId o : c_.graph.operands(node)) {
      const Node& operand = c_.graph.producer(o);
      const bool is_number = source->is_random && operands.size() == kTurns && operand.op == Op::constant_;
      operands.push_back(is_number ? number(std::get<ir::Constant>(operand.attributes[0]).as_integer())
                                   : eval(o, {}));
    }
    if (source->is_random) operands.push_back(number(std::get<std::int64_t>(node.attributes.back())));
    std::vector<Scalar> at;
    for (const AffineIndex& i : index) at.push_back(builder_.index_value(i));
    return source->emit(builder_, facts.view(), operands, at);
  }
  const auto* elementwise = std::get_if<ir::ElementwiseLowering>(&lowering);
  if (!elementwise) fail("`{}` cannot be compiled yet", ir::def(node.op).name);
  for (ValueId o : c_.graph.operands(node)) operands.push_back(eval(o, index));
  return elementwise->emit(builder_, facts.view(), operands);
}

Scalar GroupEmitter::compute_layout(const Node& node, const Index& index) {
  const ValueId operand = c_.graph.operands(node)[0];
  if (is_flat_) return eval(operand, shape(operand).empty() ? Index{} : index);
  if (node.op == Op::gather_) return gather(node, index);
  if (node.op == Op::concat_) return concat(node, index);
  if (const std::optional<OperandAccess> access = operand_access(c_.graph, node, index)) {
    const std::optional<Scalar> inside = bounded(access->bounds);
    return inside ? eval_if(*inside, operand, access->index) : eval(operand, access->index);
  }
  return load(operand, shape(Graph::result(node)), index);  // the same elements under another shape
}

}  // namespace mlpc::lowering
