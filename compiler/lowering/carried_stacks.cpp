#include "compiler/lowering/carried_stacks.h"

#include <algorithm>

#include "ir/body.h"

namespace mlpc::lowering {

std::vector<CarriedStack> carried_stacks(const ir::Graph& body, std::size_t loop_count) {
  std::vector<CarriedStack> out(loop_count);
  const auto stack_of = [&](ir::ValueId v) -> std::optional<std::uint32_t> {
    for (const ir::Graph::Result& r : body.results)
      if (r.role == ir::Role::stacked && r.value == v) return r.index;
    return std::nullopt;
  };
  const auto is_made_by_turns = [&](ir::ValueId v) {
    const ir::Node& node = body.producer(v);
    return node.op != ir::Op::parameter_ && !ir::body_of(node);
  };
  for (const ir::Graph::Result& next : body.results) {
    if (next.role != ir::Role::loop || !is_made_by_turns(next.value)) continue;
    for (const ir::Graph::Parameter& p : body.parameters())
      if (p.role == ir::Role::loop && p.index == next.index)
        out[p.index] = {stack_of(p.value), stack_of(next.value)};
    // One stack is in one place: that of the first of two values that end alike.
    for (std::size_t i = 0; i < out.size(); ++i)
      if (i != next.index && out[i].after && out[i].after == out[next.index].after)
        out[next.index].after.reset();
  }
  return out;
}

}  // namespace mlpc::lowering
