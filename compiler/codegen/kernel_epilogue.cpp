#include <llvm/IR/Instructions.h>

#include <algorithm>

#include "compiler/codegen/kernel_nest.h"

// What follows a contraction in its tile is emitted for every accumulator. Where that is much code, the tile
// is laid down on the stack instead, and a loop over its rows, or over its vectors, does the rest for one of
// them at a time.

namespace mlpc::codegen {
namespace {

/// Instructions of one operation, about.
int cost_of(ir::ScalarOp op) {
  switch (op) {
    case ir::ScalarOp::exp_:
    case ir::ScalarOp::expm1_:
    case ir::ScalarOp::tanh_:
    case ir::ScalarOp::sigmoid_:
      return 20;
    case ir::ScalarOp::log_:
    case ir::ScalarOp::log1p_:
    case ir::ScalarOp::sin_:
    case ir::ScalarOp::cos_:
    case ir::ScalarOp::erf_:
    case ir::ScalarOp::random_bits_:
      return 40;
    case ir::ScalarOp::pow_:
      return 80;
    default:
      return 1;
  }
}

/// What a statement of an epilogue reads; nullopt: it has a body of its own.
std::optional<std::vector<ir::ScalarId>> operands_of(const ir::Statement& statement) {
  std::vector<ir::ScalarId> out;
  const auto note = [&](const std::vector<ir::AffineIndex>& index) {
    for (const ir::AffineIndex& i : index)
      if (i.scalar) out.push_back(*i.scalar);
  };
  if (const auto* let = std::get_if<ir::Let>(&statement.kind)) {
    out = let->operands;
  } else if (const auto* value = std::get_if<ir::IndexValue>(&statement.kind)) {
    note({value->index});
  } else if (const auto* load = std::get_if<ir::Load>(&statement.kind)) {
    note(load->index);
    if (load->guard) out.push_back(*load->guard);
  } else if (const auto* store = std::get_if<ir::Store>(&statement.kind)) {
    note(store->index);
    out.push_back(store->value);
  } else {
    return std::nullopt;
  }
  return out;
}

}  // namespace

/// The jammed level that a loop should run over instead, if the statements are many enough for that.
std::optional<std::size_t> NestEmitter::level_to_roll(const ir::Reduce& reduce, Statements epilogue) {
  constexpr int kLeastCost = 400;  // instructions that a tile's epilogue would be
  if (reduce.accumulators.front().reducer != ir::Reducer::fma) return std::nullopt;
  const std::vector<std::size_t>& levels = state_.values[reduce.accumulators.front().result.index].levels;
  int cost = 0;
  bool has_blocks = false;
  for (const ir::Statement& statement : epilogue) {
    if (!operands_of(statement)) return std::nullopt;
    const auto* let = std::get_if<ir::Let>(&statement.kind);
    const Memory::Form form = memory_.form_of(statement);
    cost += let ? cost_of(let->op) : form == Memory::Form::lane_by_lane ? 2 * state_.target.lanes : 2;
    has_blocks |= form == Memory::Form::blocks;
  }
  for (std::size_t level : levels) cost *= state_.open[level].tile.count;
  if (cost < kLeastCost) return std::nullopt;
  const auto fits = [&](std::size_t level) {
    const Tile& tile = state_.open[level].tile;
    return (tile.width > 1) == has_blocks && !tile.mask;
  };
  const auto found = std::ranges::find_if(levels, fits);
  return found == levels.end() ? std::nullopt : std::optional(*found);
}

/// Scalars from before the epilogue that it reads, and that have an instance for each turn of the level.
std::vector<ir::ScalarId> NestEmitter::scalars_to_keep(Statements epilogue, std::size_t level) const {
  std::vector<ir::ScalarId> out;
  std::vector<bool> is_own(state_.values.size());
  for (const ir::Statement& statement : epilogue) {
    const std::vector<ir::ScalarId> operands = *operands_of(statement);
    for (ir::ScalarId scalar : operands)
      if (!is_own[scalar.index] && !std::ranges::count(out, scalar) &&
          std::ranges::count(state_.values[scalar.index].levels, level))
        out.push_back(scalar);
    if (const auto* let = std::get_if<ir::Let>(&statement.kind)) is_own[let->result.index] = true;
    if (const auto* load = std::get_if<ir::Load>(&statement.kind)) is_own[load->result.index] = true;
    if (const auto* value = std::get_if<ir::IndexValue>(&statement.kind)) is_own[value->result.index] = true;
  }
  return out;
}

void NestEmitter::emit_rolled(Statements epilogue, std::size_t level) {
  llvm::IRBuilder<>& builder = state_.builder;
  const Tile tile = state_.open[level].tile;
  const std::vector<OpenVar> levels(state_.open.begin() + static_cast<std::ptrdiff_t>(level),
                                    state_.open.end());
  std::vector<Kept> kept;
  for (ir::ScalarId scalar : scalars_to_keep(epilogue, level)) kept.push_back(keep(scalar, level));
  Carried none;
  emit_counted_loop(builder, state_.int64(0), state_.int64(tile.count), 1, none, [&](llvm::Value* turn) {
    llvm::Value* base = builder.CreateNSWAdd(tile.base, builder.CreateNSWMul(turn, state_.int64(tile.width)));
    // Pointers that moved with the level, or with one inside, are found anew.
    llvm::BasicBlock* prelude = builder.GetInsertBlock();
    llvm::BasicBlock* body = llvm::BasicBlock::Create(builder.getContext(), "row", &state_.function);
    body->moveAfter(prelude);
    llvm::Instruction* hoist = builder.CreateBr(body);
    builder.SetInsertPoint(body);
    for (std::size_t l = level; l < state_.open.size(); ++l) {
      state_.open[l].hoist = hoist;
      state_.open[l].pointers.clear();
    }
    state_.open[level].tile = {base, tile.offset, 1, tile.width};
    for (const Kept& k : kept) state_.values[k.scalar.index] = k.at(builder, turn);
    for (const ir::Statement& statement : epilogue)
      std::visit([&](const auto& kind) { emit(kind); }, statement.kind);
  });
  for (Kept& k : kept) state_.values[k.scalar.index] = std::move(k.before);
  std::ranges::copy(levels, state_.open.begin() + static_cast<std::ptrdiff_t>(level));
}

/// Lays a scalar's instances down, those of one turn of the level beside each other.
NestEmitter::Kept NestEmitter::keep(ir::ScalarId scalar, std::size_t level) {
  const Instances& instances = state_.values[scalar.index];
  Kept out{
      scalar,           instances,
      instances.levels, instances.values.front()->getType(),
      nullptr,          instances.values.size() / static_cast<std::size_t>(state_.open[level].tile.count)};
  std::erase(out.levels, level);
  {
    llvm::IRBuilder<>::InsertPointGuard guard(state_.builder);
    state_.builder.SetInsertPoint(&state_.function.getEntryBlock(), state_.function.getEntryBlock().begin());
    out.place = state_.builder.CreateAlloca(out.type,
                                            state_.int64(static_cast<std::int64_t>(instances.values.size())));
  }
  std::vector<std::size_t> order = {level};
  order.insert(order.end(), out.levels.begin(), out.levels.end());
  std::uint64_t at = 0;
  state_.for_each_choice(order, [&] {
    state_.builder.CreateStore(state_.at_choice(instances),
                               state_.builder.CreateConstInBoundsGEP1_64(out.type, out.place, at++));
  });
  return out;
}

Instances NestEmitter::Kept::at(llvm::IRBuilder<>& builder, llvm::Value* turn) const {
  Instances out{levels, {}};
  llvm::Value* first =
      builder.CreateInBoundsGEP(type, place, builder.CreateNSWMul(turn, builder.getInt64(each)));
  for (std::size_t i = 0; i < each; ++i)
    out.values.push_back(builder.CreateLoad(type, builder.CreateConstInBoundsGEP1_64(type, first, i)));
  return out;
}

}  // namespace mlpc::codegen
