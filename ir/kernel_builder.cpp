#include "ir/kernel_builder.h"

#include <algorithm>

#include "ir/error.h"

namespace mlpc::ir {
namespace {

std::string key_of(const AffineIndex& index) {
  std::string key = index.constant.text();
  for (const AffineIndex::Term& term : index.terms)
    key += fmt::format("+({})i{}", term.coefficient.text(), term.var.index);
  return index.scalar ? key + fmt::format("+%{}", index.scalar->index) : key;
}

std::string key_of(std::span<const AffineIndex> index) {
  std::string key;
  for (const AffineIndex& i : index) key += key_of(i) + ",";
  return key;
}

std::string key_of(ScalarOp op, ElementType type, std::optional<std::uint64_t> constant) {
  const std::string key = fmt::format("{} {}", static_cast<int>(op), name_of(type));
  return constant ? key + fmt::format(" c{}", *constant) : key;
}

}  // namespace

KernelBuilder::KernelBuilder(std::string name) {
  kernel_.name = std::move(name);
  blocks_.emplace_back();
}

BufferId KernelBuilder::add_buffer(std::string name, Type type, bool is_written) {
  kernel_.buffers.push_back({std::move(name), std::move(type), is_written});
  stores_.push_back(0);
  return {static_cast<std::uint32_t>(kernel_.buffers.size() - 1)};
}

VarId KernelBuilder::new_var() {
  var_depth_.push_back(0);
  return {kernel_.var_count++};
}

void KernelBuilder::open(std::vector<VarId> vars, Statement head) {
  for (VarId var : vars) var_depth_[var.index] = blocks_.size();
  blocks_.push_back({std::move(vars), std::move(head), {}, {}});
}

void KernelBuilder::open_loop(VarId var, Dim extent, LoopSchedule schedule,
                              std::optional<Loop::Limit> limit) {
  open({var}, {Loop{var, std::move(extent), schedule, {}, std::move(limit)}});
}

void KernelBuilder::open_reduce(std::vector<Reduce::Range> ranges, int lanes, int unroll,
                                std::vector<Reduce::Clip> clips) {
  std::vector<VarId> vars;
  for (const Reduce::Range& range : ranges) vars.push_back(range.var);
  open(std::move(vars), {Reduce{{}, std::move(ranges), std::move(clips), lanes, unroll, {}}});
}

void KernelBuilder::close_loop() {
  OpenBlock block = std::move(blocks_.back());
  blocks_.pop_back();
  Loop& loop = std::get<Loop>(block.head.kind);
  loop.body = std::move(block.body);
  blocks_.back().body.push_back(std::move(block.head));
}

Scalar KernelBuilder::open_recurrence(VarId var, Dim extent, Constant start) {
  open({var}, {Recurrence{var, std::move(extent), {}, start, {}, {}}});
  const Scalar before = new_scalar(blocks_.size() - 1, start.type);
  std::get<Recurrence>(blocks_.back().head.kind).before = before.id;
  return before;
}

void KernelBuilder::close_recurrence(Scalar after) {
  OpenBlock block = std::move(blocks_.back());
  blocks_.pop_back();
  auto& recurrence = std::get<Recurrence>(block.head.kind);
  recurrence.after = after.id;
  recurrence.body = std::move(block.body);
  blocks_.back().body.push_back(std::move(block.head));
}

std::vector<Scalar> KernelBuilder::close_reduce(std::span<const Reduction> reductions) {
  OpenBlock block = std::move(blocks_.back());
  blocks_.pop_back();
  Reduce& reduce = std::get<Reduce>(block.head.kind);
  reduce.body = std::move(block.body);
  std::vector<Scalar> results;
  for (const Reduction& reduction : reductions) {
    const ElementType type = reduction.values[0].type;
    const Scalar result =
        new_scalar(blocks_.size() - 1, reduction.reducer == Reducer::argmax ? ElementType::i64 : type);
    std::vector<ScalarId> values;
    for (Scalar value : reduction.values) values.push_back(value.id);
    std::optional<ScalarId> start;
    if (reduction.start) start = reduction.start->id;
    reduce.accumulators.push_back({result.id, reduction.reducer, type, std::move(values), start});
    results.push_back(result);
  }
  blocks_.back().body.push_back(std::move(block.head));
  return results;
}

Scalar KernelBuilder::new_scalar(std::size_t depth, ElementType type) {
  scalar_depth_.push_back(depth);
  return {{kernel_.scalar_count++}, type};
}

std::size_t KernelBuilder::depth_of(std::span<const AffineIndex> index) const {
  std::size_t depth = 0;
  for (const AffineIndex& i : index) {
    for (const AffineIndex::Term& term : i.terms) depth = std::max(depth, var_depth_[term.var.index]);
    if (i.scalar) depth = std::max(depth, scalar_depth_[i.scalar->index]);
  }
  return depth;
}

std::size_t KernelBuilder::depth_of(std::span<const Scalar> scalars) const {
  std::size_t depth = 0;
  for (Scalar s : scalars) depth = std::max(depth, depth_of(s));
  return depth;
}

Scalar KernelBuilder::append_pure(Statement statement, std::string key, std::size_t depth, ElementType type) {
  MLPC_CHECK(depth < blocks_.size(), "kernel {}: a scalar is used after its block", kernel_.name);
  const auto found = blocks_[depth].pure.find(key);
  if (found != blocks_[depth].pure.end()) return {found->second, type};
  const Scalar result = new_scalar(depth, type);
  std::visit(
      [&](auto& kind) {
        if constexpr (requires { kind.result; }) kind.result = result.id;
      },
      statement.kind);
  blocks_[depth].body.push_back(std::move(statement));
  blocks_[depth].pure.emplace(std::move(key), result.id);
  return result;
}

Scalar KernelBuilder::load(BufferId id, std::vector<AffineIndex> index, std::optional<Scalar> guard) {
  std::size_t depth = depth_of(index);
  if (buffer(id).is_written)  // maybe by an earlier turn of a recurrence
    for (std::size_t d = 0; d < blocks_.size(); ++d)
      if (std::holds_alternative<Recurrence>(blocks_[d].head.kind)) depth = std::max(depth, d);
  std::string key = fmt::format("load {} after {} {}", id.index, stores_[id.index], key_of(index));
  Load load{{}, id, std::move(index)};
  if (guard) {
    load.guard = guard->id;
    depth = std::max(depth, depth_of(*guard));
    key += fmt::format(" if %{}", guard->id.index);
  }
  return append_pure({std::move(load)}, std::move(key), depth, buffer(id).type.element);
}

void KernelBuilder::store(BufferId id, std::vector<AffineIndex> index, Scalar value) {
  MLPC_CHECK(buffer(id).type.element == value.type, "kernel {}: a store of another type", kernel_.name);
  blocks_.back().body.push_back({Store{id, std::move(index), value.id}});
  ++stores_[id.index];
}

Scalar KernelBuilder::index_value(AffineIndex index) {
  const std::size_t depth = depth_of({&index, 1});
  std::string key = "index " + key_of(index);
  return append_pure({IndexValue{{}, std::move(index)}}, std::move(key), depth, ElementType::i64);
}

Scalar KernelBuilder::let(ScalarOp op, std::span<const Scalar> operands, ElementType type,
                          std::optional<Constant> constant) {
  std::string key = key_of(op, type, constant ? std::optional(constant->bits) : std::nullopt);
  Let statement{{}, op, type, {}, constant};
  for (Scalar s : operands) {
    statement.operands.push_back(s.id);
    key += fmt::format(" %{}", s.id.index);
  }
  return append_pure({std::move(statement)}, std::move(key), depth_of(operands), type);
}

bool KernelBuilder::is_zero(Scalar scalar) const {
  const std::uint64_t bits = Constant::of(scalar.type, 0).bits;
  const auto found = blocks_[0].pure.find(key_of(ScalarOp::constant_, scalar.type, bits));
  return found != blocks_[0].pure.end() && found->second == scalar.id;
}

Scalar KernelBuilder::constant(ElementType type, double value) {
  return let(ScalarOp::constant_, {}, type, Constant::of(type, value));
}

Kernel KernelBuilder::finish() {
  MLPC_CHECK(blocks_.size() == 1, "kernel {}: {} blocks are open", kernel_.name, blocks_.size() - 1);
  kernel_.body = std::move(blocks_.back().body);
  return std::move(kernel_);
}

}  // namespace mlpc::ir
