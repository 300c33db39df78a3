#include "compiler/codegen/kernel_facts.h"

#include <algorithm>
#include <bit>
#include <iterator>
#include <numeric>
#include <set>
#include <utility>

#include "ir/error.h"

namespace mlpc::codegen {
namespace {

using ir::ElementType;
using ir::Reducer;
using ir::ScalarOp;

constexpr std::uint32_t kMaxIds = 1 << 16;
constexpr int kMaxNesting = 48;
constexpr int kMaxUnroll = 64;
constexpr int kMaxLanes = 64;
constexpr double kMaxInstances = 1 << 18;  // statements after unrolling: some seconds of LLVM's time

/// How often a loop's body is emitted: instances of all kinds of tiles together.
double variants_of(const ir::Loop& loop) {
  const double unroll = loop.schedule.unroll;
  if (loop.schedule.lanes) return 2 * unroll + 1;                   // full tiles, single vectors, a tail
  if (!loop.extent.is_constant() || loop.limit) return 2 * unroll;  // two sizes, and turn by turn
  return 2 * unroll - 1;                                            // two sizes
}

/// The walk over all statements, in order, that fills KernelFacts.
class Checker {
 public:
  explicit Checker(const ir::Kernel& kernel) : kernel_(kernel) {}

  KernelFacts run() {
    require(kernel_.var_count <= kMaxIds && kernel_.scalar_count <= kMaxIds, "has too many ids");
    facts_.type_of.resize(kernel_.scalar_count);
    facts_.vars_of.resize(kernel_.scalar_count);
    visible_.resize(kernel_.scalar_count, false);
    defined_.resize(kernel_.scalar_count, false);
    var_state_.resize(kernel_.var_count, VarState::unseen);
    walk(kernel_.body, 1);
    check_tasks();
    return std::move(facts_);
  }

 private:
  enum class VarState : std::uint8_t { unseen, loop, single, ordered, reduce, closed };  // ordered: recurs

  template <typename... Args>
  void require(bool condition, fmt::format_string<Args...> text, Args&&... args) const {
    if (!condition) fail("kernel `{}` {}", kernel_.name, fmt::format(text, std::forward<Args>(args)...));
  }

  /// `instances` is how many times the block is emitted, at least; `head`: the recurrence whose body it is.
  void walk(const ir::Block& block, double instances, const ir::Recurrence* head = nullptr) {
    require(++nesting_ <= kMaxNesting, "nests loops deeper than {}", kMaxNesting);
    std::vector<std::uint32_t> local;
    std::swap(local, local_);
    blocks_.push_back(&block);
    facts_.vars_in[&block];
    if (head) define(head->before, head->start.type, open_vars());
    for (const ir::Statement& statement : block) {
      facts_.statements += instances;
      require(facts_.statements <= kMaxInstances, "unrolls into more than {} statements", kMaxInstances);
      std::visit([&](const auto& kind) { check(kind, instances); }, statement.kind);
    }
    if (head) check_next(*head);
    leaving_ = std::move(local_);
    for (std::uint32_t scalar : leaving_) visible_[scalar] = false;
    blocks_.pop_back();
    std::swap(local, local_);
    --nesting_;
  }

  void check(const ir::Let& let, double) {
    std::vector<ElementType> types;
    VarSet vars;
    for (ir::ScalarId operand : let.operands) {
      use(operand);
      types.push_back(facts_.type_of[operand.index]);
      add_all(vars, facts_.vars_of[operand.index]);
    }
    require(std::cmp_equal(types.size(), ir::arity_of(let.op)), "gives `{}` {} operands", ir::name_of(let.op),
            types.size());
    require(types_agree(let, types), "has a `{}` of type {} whose operands do not fit", ir::name_of(let.op),
            ir::name_of(let.type));
    define(let.result, let.type, std::move(vars));
  }

  void check(const ir::IndexValue& value, double) {
    define(value.result, ElementType::i64, check_index(value.index));
  }

  void check(const ir::Load& load, double) {
    VarSet vars = check_access(load.buffer, load.index);
    if (load.guard) {
      use(*load.guard);
      require(facts_.type_of[load.guard->index] == ElementType::boolean, "guards a load by what is no bool");
      add_all(vars, facts_.vars_of[load.guard->index]);
    }
    define(load.result, kernel_.buffers[load.buffer.index].type.element, std::move(vars));
  }

  void check(const ir::Store& store, double) {
    VarSet vars = check_access(store.buffer, store.index);
    const ir::KernelBuffer& buffer = kernel_.buffers[store.buffer.index];
    require(buffer.is_written, "stores to `{}`, which is not written", buffer.name);
    use(store.value);
    require(facts_.type_of[store.value.index] == buffer.type.element, "stores a {} to `{}`",
            ir::name_of(facts_.type_of[store.value.index]), buffer.name);
    require(reduce_depth_ == 0, "stores to `{}` inside a reduction", buffer.name);
    for (std::uint32_t var : facts_.vars_of[store.value.index])
      require(contains(vars, {var}) || var_state_[var] == VarState::single ||
                  var_state_[var] == VarState::ordered,
              "stores several turns of i{} to one element of `{}`", var, buffer.name);
    note_vars(vars);
  }

  void check(const ir::Loop& loop, double instances) {
    if (loop.limit) {
      require(!loop.limit->first.scalar, "limits i{} by a scalar", loop.var.index);
      add_all(facts_.limiting_vars, check_index(loop.limit->first));
    }
    check_unroll(loop.schedule.unroll);
    schedules_[loop.var.index] = loop.schedule;
    if (const std::optional<std::int64_t> extent = loop.extent.constant())
      facts_.extents[loop.var.index] = *extent;
    const bool single = loop.extent.constant() && *loop.extent.constant() <= 1;
    open(loop.var, single ? VarState::single : VarState::loop);
    const double variants = variants_of(loop);
    walk(loop.body, instances * variants);
    var_state_[loop.var.index] = VarState::closed;
  }

  void check(const ir::Recurrence& loop, double instances) {
    require(reduce_depth_ == 0, "has the recurrence over i{} inside a reduction", loop.var.index);
    open(loop.var, VarState::ordered);
    walk(loop.body, 2 * instances, &loop);
    var_state_[loop.var.index] = VarState::closed;
  }

  void check_next(const ir::Recurrence& loop) const {
    use(loop.after);
    require(facts_.type_of[loop.after.index] == loop.start.type, "carries %{} on as another type",
            loop.after.index);
  }

  /// What a carried value may depend on: all loops around it, and its own.
  VarSet open_vars() const {
    VarSet vars;
    for (std::uint32_t var = 0; var < var_state_.size(); ++var)
      if (var_state_[var] == VarState::loop || var_state_[var] == VarState::single ||
          var_state_[var] == VarState::ordered)
        vars.push_back(var);
    return vars;
  }

  void check(const ir::Reduce& reduce, double instances) {
    check_unroll(reduce.unroll);
    require(!reduce.ranges.empty(), "has a reduction over nothing");
    require(reduce.lanes >= 0 && reduce.lanes <= kMaxLanes &&
                (reduce.lanes == 0 || std::has_single_bit(static_cast<unsigned>(reduce.lanes))),
            "reduces in {} chains, which is not 0 or a power of two to {}", reduce.lanes, kMaxLanes);
    require(reduce.lanes <= 1 || reduce.ranges.size() == 1, "reduces in chains over several variables");
    for (const ir::Reduce::Range& range : reduce.ranges) open(range.var, VarState::reduce);
    VarSet clipping;
    const std::size_t variants = check_clips(reduce, clipping);
    ++reduce_depth_;
    walk(reduce.body, instances * static_cast<double>(variants) * (2.0 * reduce.unroll + 2.0 * reduce.lanes));
    --reduce_depth_;
    const std::vector<std::uint32_t> body = std::move(leaving_);
    for (std::uint32_t scalar : body) visible_[scalar] = true;
    std::vector<VarSet> vars;
    for (const ir::Accumulator& accumulator : reduce.accumulators)
      add_all(vars.emplace_back(check_accumulator(accumulator, reduce)), clipping);
    for (std::uint32_t scalar : body) visible_[scalar] = false;
    for (const ir::Reduce::Range& range : reduce.ranges) var_state_[range.var.index] = VarState::closed;
    for (std::size_t a = 0; a < vars.size(); ++a) {
      const ir::Accumulator& accumulator = reduce.accumulators[a];
      if (accumulator.start) check_start(accumulator, reduce.lanes, vars[a]);
      const bool is_position = accumulator.reducer == Reducer::argmax;
      define(accumulator.result, is_position ? ElementType::i64 : accumulator.type, std::move(vars[a]));
    }
  }

  /// How often clips make the emission of the body necessary; `outer`: the variables around the sum that they
  /// read. A loop around it is jammed where its clip is alone with it and with the sum's variable.
  std::size_t check_clips(const ir::Reduce& reduce, VarSet& outer) {
    constexpr std::size_t kMostParts = 16;
    std::map<std::uint32_t, int> uses;  // by variable: clips that read it and a jammed one
    std::vector<VarSet> jammed;         // by clip
    for (const ir::Reduce::Clip& clip : reduce.clips) {
      VarSet vars = check_index(clip.index);
      const auto is_own = [&](std::uint32_t var) {
        return std::ranges::any_of(reduce.ranges, [&](const auto& range) { return range.var.index == var; });
      };
      require(reduce.lanes == 0 && !clip.index.scalar && clip.index.constant.is_constant() &&
                  std::ranges::count_if(vars, is_own) == 1 && clip.extent >= 0,
              "clips a sum in chains, or by an index that does not fit");
      for (const ir::AffineIndex::Term& term : clip.index.terms)
        require(term.coefficient.is_constant(), "clips a sum by an index that is not constant");
      std::erase_if(vars, is_own);
      VarSet& here = jammed.emplace_back();
      for (std::uint32_t var : vars)
        if (schedules_[var].unroll > 1 || schedules_[var].lanes) here.push_back(var);
      for (std::uint32_t var : here) ++uses[var];
      if (!here.empty()) ++uses[own_term(reduce, clip).var.index];
      add_all(outer, vars);
    }
    if (reduce.clips.empty()) return 1;
    for (const ir::Accumulator& accumulator : reduce.accumulators)
      require(accumulator.reducer == Reducer::sum || accumulator.reducer == Reducer::fma,
              "clips what is no sum");
    std::size_t variants = 1;
    for (std::size_t i = 0; i < reduce.clips.size(); ++i) {
      const VarSet& here = jammed[i];
      if (here.empty()) continue;
      const ir::Reduce::Clip& clip = reduce.clips[i];
      const ir::LoopSchedule schedule = schedules_[here[0]];
      std::vector<LiveTurns> parts;
      if (here.size() == 1 && !schedule.lanes && uses[here[0]] == 1 &&
          uses[own_term(reduce, clip).var.index] == 1)
        parts = live_parts(facts_, reduce, clip, {here[0]}, schedule.unroll);
      if (parts.empty() || parts.size() > kMostParts)
        add_all(facts_.limiting_vars, here);
      else
        variants *= parts.size();
    }
    for (const ir::Statement& statement : reduce.body)
      std::visit(
          [&](const auto& kind) {
            if constexpr (requires { kind.body; }) require(false, "clips a sum with loops inside");
          },
          statement.kind);
    return variants;
  }

  VarSet check_accumulator(const ir::Accumulator& accumulator, const ir::Reduce& reduce) {
    const bool logical = accumulator.reducer == Reducer::any || accumulator.reducer == Reducer::all;
    require(logical == (accumulator.type == ElementType::boolean) &&
                (accumulator.reducer != Reducer::fma || ir::is_float(accumulator.type)),
            "has a reduction of type {}", ir::name_of(accumulator.type));
    require(accumulator.values.size() == (accumulator.reducer == Reducer::fma ? 2 : 1),
            "accumulates {} values", accumulator.values.size());
    VarSet vars;
    for (ir::ScalarId value : accumulator.values) {
      use(value);
      require(facts_.type_of[value.index] == accumulator.type, "accumulates a {} in a {}",
              ir::name_of(facts_.type_of[value.index]), ir::name_of(accumulator.type));
      add_all(vars, facts_.vars_of[value.index]);
    }
    for (const ir::Reduce::Range& range : reduce.ranges) std::erase(vars, range.var.index);
    return vars;
  }

  void check_start(const ir::Accumulator& accumulator, int lanes, VarSet& vars) const {
    use(*accumulator.start);
    require(facts_.type_of[accumulator.start->index] == accumulator.type && lanes == 0 &&
                (accumulator.reducer == Reducer::sum || accumulator.reducer == Reducer::fma),
            "starts a reduction that is no sum of that type in one chain");
    add_all(vars, facts_.vars_of[accumulator.start->index]);
  }

  void check_unroll(int unroll) const {
    require(unroll >= 1 && unroll <= kMaxUnroll, "unrolls a loop {} times, not 1 … {}", unroll, kMaxUnroll);
  }

  VarSet check_index(const ir::AffineIndex& index) {
    VarSet vars = vars_of(index);
    for (std::uint32_t var : vars)
      require(var < var_state_.size() && var_state_[var] != VarState::unseen &&
                  var_state_[var] != VarState::closed,
              "uses i{} outside its loop", var);
    if (index.scalar) {
      use(*index.scalar);
      require(facts_.type_of[index.scalar->index] == ElementType::i64,
              "indexes with a scalar that is no i64");
      add_all(vars, facts_.vars_of[index.scalar->index]);
    }
    return vars;
  }

  VarSet check_access(ir::BufferId buffer, const std::vector<ir::AffineIndex>& index) {
    require(buffer.index < kernel_.buffers.size(), "uses buffer {}, which it has not", buffer.index);
    require(index.size() == kernel_.buffers[buffer.index].type.rank(), "indexes `{}` with {} of {} axes",
            kernel_.buffers[buffer.index].name, index.size(), kernel_.buffers[buffer.index].type.rank());
    VarSet vars;
    for (const ir::AffineIndex& axis : index) add_all(vars, check_index(axis));
    return vars;
  }

  void use(ir::ScalarId scalar) const {
    require(scalar.index < visible_.size() && visible_[scalar.index], "uses %{} where it is not visible",
            scalar.index);
  }

  void define(ir::ScalarId scalar, ElementType type, VarSet vars) {
    require(scalar.index < defined_.size() && !defined_[scalar.index], "defines %{} twice or out of bounds",
            scalar.index);
    defined_[scalar.index] = visible_[scalar.index] = true;
    local_.push_back(scalar.index);
    note_vars(vars);
    facts_.type_of[scalar.index] = type;
    facts_.vars_of[scalar.index] = std::move(vars);
  }

  void note_vars(const VarSet& vars) {
    for (const ir::Block* block : blocks_) add_all(facts_.vars_in[block], vars);
  }

  void open(ir::VarId var, VarState state) {
    require(var.index < var_state_.size() && var_state_[var.index] == VarState::unseen,
            "loops over i{} twice or out of bounds", var.index);
    var_state_[var.index] = state;
  }

  void check_tasks() const {
    const ir::Block* block = &kernel_.body;
    for (const ir::TaskSplit& split : kernel_.tasks) {
      require(split.block >= 1, "has tasks of {} turns", split.block);
      const ir::Loop* loop = nullptr;
      for (const ir::Statement& statement : *block) {
        require(!loop, "has statements after the loop that its tasks cut");
        loop = std::get_if<ir::Loop>(&statement.kind);
        require(!std::holds_alternative<ir::Store>(statement.kind), "stores outside its tasks");
      }
      require(loop && loop->var == split.var && !loop->limit, "has no loop over i{} for its tasks",
              split.var.index);
      block = &loop->body;
    }
  }

  static bool all_are(const std::vector<ElementType>& types, ElementType type) {
    return std::ranges::all_of(types, [&](ElementType t) { return t == type; });
  }

  static bool types_agree(const ir::Let& let, const std::vector<ElementType>& types) {
    const bool same = all_are(types, let.type);
    switch (let.op) {
      case ScalarOp::constant_:
        return let.constant && let.constant->type == let.type;
      case ScalarOp::neg_:
      case ScalarOp::abs_:
      case ScalarOp::add_:
      case ScalarOp::sub_:
      case ScalarOp::mul_:
      case ScalarOp::div_:
        return same && let.type != ElementType::boolean;
      case ScalarOp::exp_:
      case ScalarOp::expm1_:
      case ScalarOp::log_:
      case ScalarOp::log1p_:
      case ScalarOp::sqrt_:
      case ScalarOp::sin_:
      case ScalarOp::cos_:
      case ScalarOp::tanh_:
      case ScalarOp::erf_:
      case ScalarOp::sigmoid_:
      case ScalarOp::floor_:
      case ScalarOp::pow_:
      case ScalarOp::fma_:
      case ScalarOp::copysign_:
        return same && ir::is_float(let.type);
      case ScalarOp::eq_:
      case ScalarOp::ne_:
      case ScalarOp::lt_:
      case ScalarOp::le_:
      case ScalarOp::gt_:
      case ScalarOp::ge_:
        return let.type == ElementType::boolean && types[0] == types[1];
      case ScalarOp::and_:
      case ScalarOp::or_:
      case ScalarOp::not_:
        return same && !ir::is_float(let.type);
      case ScalarOp::shift_right_:
      case ScalarOp::random_key_:
      case ScalarOp::random_bits_:
        return same && let.type == ElementType::i64;
      case ScalarOp::select_:
        return types[0] == ElementType::boolean && types[1] == let.type && types[2] == let.type;
      case ScalarOp::convert_:
        return true;
    }
    return false;
  }

  const ir::Kernel& kernel_;
  KernelFacts facts_;
  std::vector<bool> visible_, defined_;  // by scalar
  std::vector<VarState> var_state_;
  std::map<std::uint32_t, ir::LoopSchedule> schedules_;  // of loops
  std::vector<const ir::Block*> blocks_;                 // open ones
  std::vector<std::uint32_t> local_, leaving_;  // scalars of the innermost block; of the block just left
  int nesting_ = 0, reduce_depth_ = 0;
};

}  // namespace

void add_all(VarSet& set, const VarSet& more) {
  VarSet both;
  std::ranges::set_union(set, more, std::back_inserter(both));
  set = std::move(both);
}

bool contains(const VarSet& set, ir::VarId var) { return std::ranges::binary_search(set, var.index); }

VarSet vars_of(const ir::AffineIndex& index) {
  VarSet vars;
  for (const ir::AffineIndex::Term& term : index.terms) add_all(vars, {term.var.index});
  return vars;
}

const ir::AffineIndex::Term& own_term(const ir::Reduce& reduce, const ir::Reduce::Clip& clip) {
  return *std::ranges::find_if(clip.index.terms, [&](const ir::AffineIndex::Term& term) {
    return std::ranges::any_of(reduce.ranges, [&](const auto& range) { return range.var == term.var; });
  });
}

std::vector<LiveTurns> live_parts(const KernelFacts& facts, const ir::Reduce& reduce,
                                  const ir::Reduce::Clip& clip, ir::VarId jammed, int count) {
  constexpr std::int64_t kMostPlaces = 1 << 16;
  const ir::AffineIndex::Term& own = own_term(reduce, clip);
  const auto range = std::ranges::find(reduce.ranges, own.var, &ir::Reduce::Range::var);
  const std::int64_t turns = range->extent.constant().value_or(-1);
  // What the index is in the first instance of a tile, but for the sum's share.
  std::int64_t least = *clip.index.constant.constant(), most = least, step = 0, by_instance = 0, span = 0;
  for (const ir::AffineIndex::Term& term : clip.index.terms) {
    if (term.var == own.var) continue;
    const auto extent = facts.extents.find(term.var.index);
    if (extent == facts.extents.end()) return {};
    const std::int64_t c = *term.coefficient.constant();
    const std::int64_t last = extent->second - (term.var == jammed ? count : 1);
    (c < 0 ? least : most) += c * std::max<std::int64_t>(last, 0);
    step = std::gcd(step, c);
    span += std::abs(c) * extent->second;
    if (term.var == jammed) by_instance = c;
  }
  if (turns < 0 || by_instance <= 0 || span / step > kMostPlaces / std::max<std::int64_t>(turns, 1))
    return {};
  const std::int64_t by_turn = *own.coefficient.constant();
  std::set<std::pair<int, int>> found;
  for (std::int64_t place = least; place <= most; place += step)
    for (std::int64_t turn = 0; turn < turns; ++turn) {
      const auto is_live = [&](int i) {
        const std::int64_t at = place + by_instance * i + by_turn * turn;
        return at >= 0 && at < clip.extent;
      };
      int begin = 0, end = count;
      while (begin < end && !is_live(begin)) ++begin;
      while (begin < end && !is_live(end - 1)) --end;
      if (begin < end) found.emplace(begin, end);
    }
  std::vector<LiveTurns> parts;
  for (const auto& [begin, end] : found) parts.push_back({begin, end});
  std::ranges::sort(parts, [&](const LiveTurns& a, const LiveTurns& b) {
    const int x = a.begin + a.end, y = b.begin + b.end;
    return by_turn > 0 ? x > y : x < y;
  });
  return parts;
}

KernelFacts check_kernel(const ir::Kernel& kernel) { return Checker(kernel).run(); }

}  // namespace mlpc::codegen
