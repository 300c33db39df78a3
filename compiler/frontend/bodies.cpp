#include "compiler/frontend/bodies.h"

#include "ir/error.h"

// The graph of a loop's body is closed: what it reads of the graph around it becomes a parameter.

namespace mlpc::frontend {

using ir::ElementType;
using ir::Op;
using ir::Role;
using ir::Shape;
using ir::ValueId;

ValueId hand_over(Target& body, Role role, const std::string& name, ValueId outside, const ir::Type& type) {
  std::vector<ValueId>& operands = role == Role::constant ? body.consts
                                   : role == Role::loop   ? body.loops
                                                          : body.sequences;
  operands.push_back(outside);
  return body.graph.add_parameter(name, type, role, static_cast<std::uint32_t>(operands.size() - 1));
}

ValueId Elaborator::imported(ValueId v, Target* from) {
  if (from == target) return v;
  MLPC_CHECK(target->outer, "a value of a graph that is not around");
  ValueId outside;
  {
    const Around around(*this, *target);
    outside = imported(v, from);
  }
  const auto [it, is_new] = target->captured.try_emplace(outside);
  if (is_new) {
    const ir::Graph& around = target->outer->graph;
    const std::string& name = around.value_name(outside);
    it->second =
        hand_over(*target, Role::constant, name.empty() ? fmt::format("c{}", target->consts.size()) : name,
                  outside, around.type(outside));
  }
  return it->second;
}

Value Elaborator::imported(Value v, Target* from) {
  if (auto* t = std::get_if<Tensor>(&v.is)) t->id = imported(t->id, from);
  if (auto* indexed = std::get_if<Indexed>(&v.is)) indexed->id = imported(indexed->id, from);
  if (auto* list = std::get_if<List>(&v.is))
    for (Value& item : list->items) item = imported(std::move(item), from);
  return v;
}

ValueId Elaborator::parameter(Role role, std::uint32_t index, const std::string& name, const ir::Type& type) {
  Target& root = target->root();
  const auto [it, is_new] = root.parameters.try_emplace({role, index});
  if (is_new) it->second = root.graph.add_parameter(name, type, role, index);
  return imported(it->second, &root);
}

ValueId Elaborator::state_now(Role role, std::uint32_t index, const std::string& path, const ir::Type& type,
                              bool can_change) {
  if (const auto changed = target->new_state.find(index); changed != target->new_state.end())
    return changed->second;
  if (!target->outer || !can_change) return parameter(role, index, path, type);
  ValueId outside;
  {
    const Around around(*this, *target);
    outside = state_now(role, index, path, type, can_change);
  }
  // Each step has it from the one before.
  target->state_loops.emplace_back(index, static_cast<std::uint32_t>(target->loops.size()));
  return target->new_state[index] = hand_over(*target, Role::loop, path, outside, type);
}

ValueId Elaborator::turn_number() {
  const auto number = [&](const ir::Dim& n) { return b().value(Op::dim_, {}, {Shape{n}, ElementType::i64}); };
  const auto known = [&](std::int64_t n) {
    return b().constant(ir::Constant::of_integer(ElementType::i64, n));
  };
  std::int64_t so_far = 0;  // as long as it is known
  std::optional<ValueId> running_number;
  for (const Turn& turn : running) {
    if (!turn.body && !running_number) {
      so_far = so_far * *turn.count.constant() + turn.number;
      continue;
    }
    const ValueId here = turn.body ? imported(turn.value, turn.body) : known(turn.number);
    const bool is_first = !running_number && so_far == 0;
    const ValueId before = running_number ? *running_number : known(so_far);
    running_number = is_first ? here : b().add(b().mul(before, number(turn.count)), here);
  }
  return running_number ? *running_number : known(so_far);
}

Draw Elaborator::draw(const ir::Type& drawn) {
  const ir::Type type{ElementType::i64, {}};
  const bool has_rows = drawn.rank() > 0 && !drawn.shape[0].is_constant();
  return {parameter(Role::seed, 0, "seed", type), parameter(Role::step, 0, "step", type), turn_number(),
          has_rows ? parameter(Role::row_offset, 0, "row_offset", type)
                   : b().constant(ir::Constant::of_integer(ElementType::i64, 0))};
}

}  // namespace mlpc::frontend
