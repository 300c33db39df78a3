#include "compiler/codegen/kernel_reduce.h"

#include <algorithm>

#include "compiler/codegen/kernel_nest.h"
#include "compiler/codegen/kernel_reducer.h"

namespace mlpc::codegen {

ReduceEmitter::ReduceEmitter(KernelState& state, NestEmitter& nest, const ir::Reduce& reduce)
    : state_(state), nest_(nest), reduce_(reduce) {
  VarSet vars = state.facts.vars_in.at(&reduce.body);
  for (const ir::Accumulator& accumulator : reduce.accumulators)
    add_all(vars, state.facts.vars_of[accumulator.result.index]);
  const int chains = std::max(reduce.lanes, 1);
  lanes_ = state.vector_level(vars) ? 1 : chains;
  chains_ = chains / lanes_;
  trip_turns_ = chains_ > 1 ? chains_ : reduce.unroll;
}

void ReduceEmitter::run() {
  for (const ir::Accumulator& accumulator : reduce_.accumulators) add_part(accumulator);
  emit_range(0);
  for (const Part& part : parts_) finish(part);
}

void ReduceEmitter::add_part(const ir::Accumulator& accumulator) {
  const VarSet& vars = state_.facts.vars_of[accumulator.result.index];
  Part part{.accumulator = accumulator,
            .levels = state_.jammed_levels(vars),
            .choices = 1,
            .size = accumulator.reducer == ir::Reducer::argmax ? std::size_t{2} : std::size_t{1},
            .first = carried_.size(),
            .width = std::max(lanes_, state_.width_of(vars))};
  for (std::size_t level : part.levels)
    part.choices *= static_cast<std::size_t>(state_.open[level].tile.count);
  if (accumulator.start) {
    state_.for_each_choice(part.levels, [&] {
      carried_.push_back(state_.widened(state_.value_of(*accumulator.start), part.width));
    });
  } else {
    llvm::Value* identity = identity_of(state_, accumulator.reducer, accumulator.type);
    for (std::size_t i = 0; i < part.choices * static_cast<std::size_t>(chains_); ++i) {
      carried_.push_back(state_.widened(identity, part.width));
      if (part.size == 2) carried_.push_back(state_.widened(state_.int64(0), part.width));
    }
  }
  parts_.push_back(std::move(part));
}

// ---- The turns -------------------------------------------------------------------------------------------

void ReduceEmitter::emit_range(std::size_t range) {
  nest_.prefetch_next_block(reduce_, range);
  const ir::Dim& extent = reduce_.ranges[range].extent;
  Bounds bounds{state_.int64(0), state_.dim_value(extent)};
  const ir::Reduce::Clip* of_tile = nullptr;
  for (const ir::Reduce::Clip& clip : reduce_.clips) {
    const ir::AffineIndex::Term& own = own_term(reduce_, clip);
    if (own.var != reduce_.ranges[range].var) continue;
    if (jammed_level(clip)) {
      of_tile = &clip;
      continue;
    }
    llvm::Value* at = place(clip);
    keep_from(bounds, at, *own.coefficient.constant(), 0);
    keep_below(bounds, at, *own.coefficient.constant(), clip.extent);
  }
  if (of_tile) return emit_parts(range, *of_tile, *jammed_level(*of_tile), bounds);
  emit_turns(range, bounds.low, bounds.high);
}

void ReduceEmitter::emit_turns(std::size_t range, llvm::Value* low, llvm::Value* high) {
  if (range + 1 == reduce_.ranges.size()) {
    const auto *first = llvm::dyn_cast<llvm::ConstantInt>(low),
               *end = llvm::dyn_cast<llvm::ConstantInt>(high);
    if (first && end && first->isZero())
      return emit_constant_range(std::max<std::int64_t>(end->getSExtValue(), 0));
    return emit_free_range(low, high);
  }
  emit_counted_loop(state_.builder, low, high, 1, carried_, [&](llvm::Value* turn) {
    state_.push(reduce_.ranges[range].var, {turn});
    emit_range(range + 1);
    state_.pop();
  });
}

/// Full trips from `low` to `high`.
void ReduceEmitter::emit_trips(llvm::Value* low, llvm::Value* high) {
  emit_counted_loop(state_.builder, low, high, std::int64_t{trip_turns_} * lanes_, carried_,
                    [&](llvm::Value* base) {
                      if (emit_jammed_trip(base)) return;
                      for (int turn = 0; turn < trip_turns_; ++turn)
                        emit_turn(turn, {base, std::int64_t{turn} * lanes_, 1, lanes_});
                    });
}

/// Where a load's lanes stride through memory and the turns of a trip are neighbours there, the body runs for
/// all of them at once, so that the block is turned in registers; then they are added up in order. False
/// where that is not so.
bool ReduceEmitter::emit_jammed_trip(llvm::Value* base) {
  if (chains_ > 1 || lanes_ > 1 || trip_turns_ < state_.target.lanes) return false;
  state_.push(reduce_.ranges.back().var, {base, 0, trip_turns_, 1});
  const std::size_t level = state_.open.size() - 1;
  const bool pays = nest_.has_blocks(reduce_.body);
  if (pays) {
    nest_.emit(reduce_.body);
    for (int turn = 0; turn < trip_turns_; ++turn) {
      state_.chosen[level] = turn;
      for (const Part& part : parts_) update(part, 0);
    }
  }
  state_.pop();
  return pays;
}

void ReduceEmitter::emit_constant_range(std::int64_t extent) {
  std::int64_t at = extent - extent % (std::int64_t{trip_turns_} * lanes_);
  llvm::Value* zero = state_.int64(0);
  emit_trips(zero, state_.int64(at));
  for (int turn = 0; at + lanes_ <= extent; at += lanes_) emit_turn(turn++, {zero, at, 1, lanes_});
  if (at < extent) emit_turn(0, {zero, at, 1, lanes_, state_.lane_mask(lanes_, state_.int64(extent - at))});
}

void ReduceEmitter::emit_free_range(llvm::Value* low, llvm::Value* high) {
  llvm::IRBuilder<>& builder = state_.builder;
  const auto end_of_multiples = [&](std::int64_t step) -> llvm::Value* {
    if (step == 1) return high;
    return builder.CreateNSWSub(high,
                                builder.CreateSRem(builder.CreateNSWSub(high, low), state_.int64(step)));
  };
  llvm::Value* trips_end = end_of_multiples(std::int64_t{trip_turns_} * lanes_);
  emit_trips(low, trips_end);
  for (int chain = 0; chain + 1 < chains_; ++chain) {
    llvm::Value* turn = builder.CreateNSWAdd(trips_end, state_.int64(chain));
    emit_if(builder, builder.CreateICmpSLT(turn, high), carried_,
            [&] { emit_turn(chain, {trips_end, chain}); });
  }
  if (chains_ > 1) return;
  llvm::Value* vectors_end = trips_end;
  if (trip_turns_ > 1) {
    vectors_end = end_of_multiples(lanes_);
    emit_counted_loop(builder, trips_end, vectors_end, lanes_, carried_,
                      [&](llvm::Value* base) { emit_turn(0, {base, 0, 1, lanes_}); });
  }
  llvm::Value* tail = builder.CreateNSWSub(high, vectors_end);
  if (lanes_ > 1)
    emit_if(builder, builder.CreateICmpSGT(tail, state_.int64(0)), carried_,
            [&] { emit_turn(0, {vectors_end, 0, 1, lanes_, state_.lane_mask(lanes_, tail)}); });
}

// ---- Clips -----------------------------------------------------------------------------------------------

/// The level whose instances are clipped each by its own turns, if there is one.
std::optional<std::size_t> ReduceEmitter::jammed_level(const ir::Reduce::Clip& clip) const {
  for (const ir::AffineIndex::Term& term : clip.index.terms)
    if (const std::optional<std::size_t> level = state_.level_of(term.var);
        level && state_.open[*level].tile.count > 1)
      return level;
  return std::nullopt;
}

/// The clip's index in the first instance of its tile, but for the sum's own share.
llvm::Value* ReduceEmitter::place(const ir::Reduce::Clip& clip) {
  llvm::Value* sum = state_.int64(*clip.index.constant.constant());
  const ir::VarId own = own_term(reduce_, clip).var;
  for (const ir::AffineIndex::Term& term : clip.index.terms) {
    if (term.var == own) continue;
    llvm::Value* turn = state_.turn_value(*state_.level_of(term.var));
    const std::int64_t factor = *term.coefficient.constant();
    sum = state_.builder.CreateNSWAdd(
        sum, factor == 1 ? turn : state_.builder.CreateNSWMul(turn, state_.int64(factor)));
  }
  return sum;
}

namespace {

llvm::Value* floored_quotient(llvm::IRBuilder<>& builder, llvm::Value* value, std::int64_t by) {
  if (by == 1) return value;
  const auto number = [&](std::int64_t n) { return builder.getInt64(static_cast<std::uint64_t>(n)); };
  llvm::Value* is_negative = builder.CreateICmpSLT(value, number(0));
  llvm::Value* down = builder.CreateSelect(is_negative, number(by - 1), number(0));
  return builder.CreateSDiv(builder.CreateNSWSub(value, down), number(by));
}

llvm::Value* greater(llvm::IRBuilder<>& builder, llvm::Value* a, llvm::Value* b) {
  return builder.CreateSelect(builder.CreateICmpSGT(a, b), a, b);
}
llvm::Value* lesser(llvm::IRBuilder<>& builder, llvm::Value* a, llvm::Value* b) {
  return builder.CreateSelect(builder.CreateICmpSLT(a, b), a, b);
}

}  // namespace

/// The first turn in which place + by_turn · turn is on the other side of `edge`: at it or above where it
/// rises, below where it falls.
llvm::Value* ReduceEmitter::crossing(llvm::Value* place, std::int64_t by_turn, std::int64_t edge) {
  llvm::IRBuilder<>& b = state_.builder;
  if (by_turn > 0)
    return floored_quotient(b, b.CreateNSWSub(state_.int64(edge + by_turn - 1), place), by_turn);
  llvm::Value* last = floored_quotient(b, b.CreateNSWSub(place, state_.int64(edge)), -by_turn);
  return b.CreateNSWAdd(last, state_.int64(1));
}

/// Turns with place + by_turn · turn >= least.
void ReduceEmitter::keep_from(Bounds& bounds, llvm::Value* place, std::int64_t by_turn, std::int64_t least) {
  llvm::Value* turn = crossing(place, by_turn, least);
  if (by_turn > 0)
    bounds.low = greater(state_.builder, bounds.low, turn);
  else
    bounds.high = lesser(state_.builder, bounds.high, turn);
}

/// Turns with place + by_turn · turn < end.
void ReduceEmitter::keep_below(Bounds& bounds, llvm::Value* place, std::int64_t by_turn, std::int64_t end) {
  llvm::Value* turn = crossing(place, by_turn, end);
  if (by_turn > 0)
    bounds.high = lesser(state_.builder, bounds.high, turn);
  else
    bounds.low = greater(state_.builder, bounds.low, turn);
}

/// The turns that leave the same instances of a tile are neighbours: first those of one part of it, then of
/// the next, each with the code for its instances alone.
void ReduceEmitter::emit_parts(std::size_t range, const ir::Reduce::Clip& clip, std::size_t level,
                               const Bounds& bounds) {
  const ir::VarId jammed = state_.open[level].var;
  const int count = state_.open[level].tile.count;
  const std::int64_t by_turn = *own_term(reduce_, clip).coefficient.constant();
  const auto term = std::ranges::find(clip.index.terms, jammed, &ir::AffineIndex::Term::var);
  const std::int64_t by_instance = *term->coefficient.constant();
  llvm::Value* first = place(clip);
  const auto place_of = [&](int instance) {
    return state_.builder.CreateNSWAdd(first, state_.int64(by_instance * instance));
  };
  for (const LiveTurns& part : live_parts(state_.facts, reduce_, clip, jammed, count)) {
    Bounds turns = bounds;
    keep_from(turns, place_of(part.begin), by_turn, 0);
    if (part.begin > 0) keep_below(turns, place_of(part.begin - 1), by_turn, 0);
    keep_below(turns, place_of(part.end - 1), by_turn, clip.extent);
    if (part.end < count) keep_from(turns, place_of(part.end), by_turn, clip.extent);
    state_.open[level].live = part;
    emit_turns(range, turns.low, turns.high);
    state_.open[level].live = std::nullopt;
  }
}

void ReduceEmitter::emit_turn(int turn, const Tile& tile) {
  state_.push(reduce_.ranges.back().var, tile);
  state_.open.back().is_contracted = reduce_.accumulators.front().reducer == ir::Reducer::fma;
  nest_.emit(reduce_.body);
  for (const Part& part : parts_) update(part, chains_ > 1 ? static_cast<std::size_t>(turn) : 0);
  state_.pop();
}

llvm::Value* ReduceEmitter::position(int width) {
  llvm::Value* sum = state_.widened(state_.int64(0), width);
  for (const ir::Reduce::Range& range : reduce_.ranges) {
    llvm::Value* extent = state_.widened(state_.dim_value(range.extent), width);
    llvm::Value* turn = state_.widened(state_.turn_value(*state_.level_of(range.var)), width);
    sum = state_.builder.CreateAdd(state_.builder.CreateMul(sum, extent), turn);
  }
  return sum;
}

void ReduceEmitter::update(const Part& part, std::size_t chain) {
  llvm::Value* mask = state_.mask_at(state_.open.size() - 1);
  std::size_t slot = part.first + chain * part.choices * part.size;
  state_.for_each_choice(part.levels, [&] {
    if (!state_.is_live(part.levels)) {
      slot += part.size;
      return;
    }
    std::vector<llvm::Value*> values;
    for (ir::ScalarId value : part.accumulator.values)
      values.push_back(state_.widened(state_.value_of(value), part.width));
    if (part.size == 2) values.push_back(position(part.width));
    const std::vector<llvm::Value*> updated = accumulated(
        state_, part.accumulator.reducer, part.accumulator.type, {&carried_[slot], part.size}, values);
    for (llvm::Value* value : updated) {
      carried_[slot] = mask ? state_.builder.CreateSelect(mask, value, carried_[slot]) : value;
      ++slot;
    }
  });
}

// ---- The end ---------------------------------------------------------------------------------------------

/// Halves the chains until one is left: chain l with chain l + half.
std::vector<llvm::Value*> ReduceEmitter::folded(const Part& part,
                                                std::vector<std::vector<llvm::Value*>> chains) const {
  const auto join = [&](const std::vector<llvm::Value*>& low, const std::vector<llvm::Value*>& high) {
    return joined(state_, part.accumulator.reducer, part.accumulator.type, low, high);
  };
  for (std::size_t half = chains.size() / 2; half >= 1; half /= 2)
    for (std::size_t chain = 0; chain < half; ++chain)
      chains[chain] = join(chains[chain], chains[chain + half]);
  std::vector<llvm::Value*> result = chains[0];
  for (int half = lanes_ / 2; half >= 1; half /= 2) {
    llvm::SmallVector<int, 64> low, high;
    for (int lane = 0; lane < half; ++lane) {
      low.push_back(lane);
      high.push_back(lane + half);
    }
    std::vector<llvm::Value*> lows, highs;
    for (llvm::Value* value : result) {
      lows.push_back(state_.builder.CreateShuffleVector(value, low));
      highs.push_back(state_.builder.CreateShuffleVector(value, high));
    }
    result = join(lows, highs);
  }
  if (lanes_ > 1)
    for (llvm::Value*& value : result) value = state_.builder.CreateExtractElement(value, std::uint64_t{0});
  return result;
}

void ReduceEmitter::finish(const Part& part) {
  Instances result{part.levels, {}};
  for (std::size_t choice = 0; choice < part.choices; ++choice) {
    std::vector<std::vector<llvm::Value*>> chains;
    for (int chain = 0; chain < chains_; ++chain) {
      const std::size_t slot =
          part.first + (static_cast<std::size_t>(chain) * part.choices + choice) * part.size;
      chains.emplace_back(carried_.begin() + static_cast<std::ptrdiff_t>(slot),
                          carried_.begin() + static_cast<std::ptrdiff_t>(slot + part.size));
    }
    result.values.push_back(folded(part, std::move(chains)).back());
  }
  state_.values[part.accumulator.result.index] = std::move(result);
}

}  // namespace mlpc::codegen
