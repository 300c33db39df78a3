#include <algorithm>
#include <map>
#include <optional>

#include "ir/error.h"
#include "ir/kernel_tasks.h"
#include "ir/op.h"
#include "ir/verify.h"
#include "ir/workspace.h"

namespace mlpc::ir {
namespace {

class KernelVerifier {
 public:
  KernelVerifier(const Program& header, const Kernel& kernel)
      : header_(header),
        k_(kernel),
        types_(kernel.scalar_count),
        is_visible_(kernel.scalar_count),
        vars_(kernel.var_count) {}

  void run() {
    for (const KernelBuffer& buffer : k_.buffers) dims(buffer.type.shape);
    for (const TaskSplit& task : k_.tasks)
      if (task.block < 1) error("a task has {} turns", task.block);
    tasks(k_.body, 0);
    block(k_.body);
  }

 private:
  template <typename... Args>
  [[noreturn]] void error(fmt::format_string<Args...> text, Args&&... args) const {
    fail("kernel {}: {}", k_.name, fmt::format(text, std::forward<Args>(args)...));
  }

  void dims(const Shape& shape) const {
    for (const Dim& dim : shape)
      for (const std::string& name : dim.names())
        if (std::ranges::find(header_.dims, name) == header_.dims.end())
          error("`{}` is no dim of the model", name);
  }

  /// The loops of tasks are the outermost ones; beside them stand only statements without effect.
  void tasks(const Block& body, std::size_t level) const {
    if (level == k_.tasks.size()) return;
    const Loop* found = nullptr;
    for (const Statement& s : body) {
      if (std::holds_alternative<Store>(s.kind)) error("a store stands beside the loop of a task");
      if (const auto* loop = std::get_if<Loop>(&s.kind)) {
        if (found) error("two loops where a task is cut");
        found = loop;
      }
    }
    if (!found || found->var != k_.tasks[level].var || found->limit)
      error("task {} is not cut from the loop at its depth", level);
    tasks(found->body, level + 1);
  }

  void block(const Block& body) {
    std::vector<ScalarId> own;
    for (const Statement& s : body) std::visit([&](const auto& kind) { statement(kind, own); }, s.kind);
    for (ScalarId s : own) is_visible_[s.index] = false;
  }

  void define(ScalarId s, ElementType type, std::vector<ScalarId>& own) {
    if (s.index >= types_.size() || is_defined(s))
      error("%s{} is defined twice or beyond the count", s.index);
    types_[s.index] = type;
    defined_.resize(types_.size());
    defined_[s.index] = true;
    is_visible_[s.index] = true;
    own.push_back(s);
  }
  bool is_defined(ScalarId s) const { return s.index < defined_.size() && defined_[s.index]; }

  ElementType use(ScalarId s) const {
    if (s.index >= types_.size() || !is_visible_[s.index])
      error("%s{} is not visible where it is used", s.index);
    return types_[s.index];
  }

  void index(const AffineIndex& at) const {
    dims({at.constant});
    for (const AffineIndex::Term& term : at.terms) {
      if (term.var.index >= vars_.size() || !vars_[term.var.index])
        error("%i{} is used outside of its loop", term.var.index);
      dims({term.coefficient});
    }
    if (at.scalar && use(*at.scalar) != ElementType::i64) error("an index is no i64");
  }

  const KernelBuffer& access(BufferId id, const std::vector<AffineIndex>& at) const {
    if (id.index >= k_.buffers.size()) error("there is no buffer {}", id.index);
    const KernelBuffer& buffer = k_.buffers[id.index];
    if (at.size() != buffer.type.rank())
      error("%b{} has {} indexes for {}", id.index, at.size(), buffer.type.text());
    for (const AffineIndex& i : at) index(i);
    return buffer;
  }

  void statement(const Load& load, std::vector<ScalarId>& own) {
    if (load.guard && use(*load.guard) != ElementType::boolean) error("a guard is no bool");
    define(load.result, access(load.buffer, load.index).type.element, own);
  }
  void statement(const IndexValue& value, std::vector<ScalarId>& own) {
    index(value.index);
    define(value.result, ElementType::i64, own);
  }
  void statement(const Store& store, std::vector<ScalarId>&) {
    const KernelBuffer& buffer = access(store.buffer, store.index);
    if (!buffer.is_written) error("%b{} is stored to, but only read", store.buffer.index);
    if (use(store.value) != buffer.type.element)
      error("%s{} is of another type than %b{}", store.value.index, store.buffer.index);
  }

  void statement(const Let& let, std::vector<ScalarId>& own) {
    if (static_cast<std::size_t>(arity_of(let.op)) != let.operands.size())
      error("%s{}: `{}` takes {} operands", let.result.index, name_of(let.op), arity_of(let.op));
    std::vector<ElementType> types;
    for (ScalarId s : let.operands) types.push_back(use(s));
    if (!has_right_types(let, types))
      error("%s{}: `{}` does not take these types", let.result.index, name_of(let.op));
    define(let.result, let.type, own);
  }

  static bool has_right_types(const Let& let, const std::vector<ElementType>& x) {
    const auto all = [&](ElementType type) {
      return std::ranges::all_of(x, [&](ElementType t) { return t == type; });
    };
    switch (let.op) {
      case ScalarOp::constant_:
        return let.constant && let.constant->type == let.type;
      case ScalarOp::convert_:
        return true;
      case ScalarOp::select_:
        return x[0] == ElementType::boolean && x[1] == let.type && x[2] == let.type;
      case ScalarOp::eq_:
      case ScalarOp::ne_:
      case ScalarOp::lt_:
      case ScalarOp::le_:
      case ScalarOp::gt_:
      case ScalarOp::ge_:
        return let.type == ElementType::boolean && x[0] == x[1];
      case ScalarOp::and_:
      case ScalarOp::or_:
      case ScalarOp::not_:
        return !is_float(let.type) && all(let.type);
      case ScalarOp::shift_right_:
      case ScalarOp::random_key_:
      case ScalarOp::random_bits_:
        return let.type == ElementType::i64 && all(let.type);
      case ScalarOp::add_:
      case ScalarOp::sub_:
      case ScalarOp::mul_:
      case ScalarOp::div_:
      case ScalarOp::neg_:
      case ScalarOp::abs_:
        return let.type != ElementType::boolean && all(let.type);
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
        return is_float(let.type) && all(let.type);
    }
    return false;
  }

  void open(VarId var) {
    if (var.index >= vars_.size() || vars_[var.index])
      error("%i{} is open already or beyond the count", var.index);
    vars_[var.index] = true;
  }

  void statement(const Loop& loop, std::vector<ScalarId>&) {
    dims({loop.extent});
    if (loop.limit) {
      dims({loop.limit->end});
      index(loop.limit->first);
      if (loop.limit->first.scalar) error("the limit of %i{} depends on a scalar", loop.var.index);
    }
    open(loop.var);
    block(loop.body);
    vars_[loop.var.index] = false;
  }

  void statement(const Recurrence& loop, std::vector<ScalarId>&) {
    dims({loop.extent});
    open(loop.var);
    std::vector<ScalarId> inner;
    define(loop.before, loop.start.type, inner);
    for (const Statement& s : loop.body)
      std::visit([&](const auto& kind) { statement(kind, inner); }, s.kind);
    if (use(loop.after) != loop.start.type) error("%s{} is carried on as another type", loop.after.index);
    for (ScalarId s : inner) is_visible_[s.index] = false;
    vars_[loop.var.index] = false;
  }

  void statement(const Reduce& reduce, std::vector<ScalarId>& own) {
    if (reduce.ranges.empty() || (reduce.lanes > 0 && reduce.ranges.size() != 1))
      error("a reduction has {} ranges", reduce.ranges.size());
    for (const Reduce::Range& range : reduce.ranges) {
      dims({range.extent});
      open(range.var);
    }
    for (const Reduce::Clip& c : reduce.clips) clip(c, reduce);
    std::vector<ScalarId> inner;
    for (const Statement& s : reduce.body) {
      if (std::holds_alternative<Store>(s.kind)) error("a store stands in a reduction");
      if (std::holds_alternative<Recurrence>(s.kind)) error("a recurrence stands in a reduction");
      std::visit([&](const auto& kind) { statement(kind, inner); }, s.kind);
    }
    for (const Accumulator& a : reduce.accumulators) accumulator(a);
    for (ScalarId s : inner) is_visible_[s.index] = false;
    for (const Accumulator& a : reduce.accumulators) start(a, reduce.lanes);
    for (const Reduce::Range& range : reduce.ranges) vars_[range.var.index] = false;
    for (const Accumulator& a : reduce.accumulators)
      define(a.result, a.reducer == Reducer::argmax ? ElementType::i64 : a.type, own);
  }

  void clip(const Reduce::Clip& c, const Reduce& reduce) const {
    index(c.index);
    const auto is_own = [&](const AffineIndex::Term& term) {
      return std::ranges::any_of(reduce.ranges, [&](const auto& range) { return range.var == term.var; });
    };
    const auto is_constant = [](const AffineIndex::Term& term) { return term.coefficient.is_constant(); };
    for (const Accumulator& a : reduce.accumulators)
      if (a.reducer != Reducer::sum && a.reducer != Reducer::fma) error("what is clipped is no sum");
    if (reduce.lanes > 0 || c.index.scalar || !c.index.constant.is_constant() ||
        !std::ranges::all_of(c.index.terms, is_constant) || std::ranges::count_if(c.index.terms, is_own) != 1)
      error("a sum has chains and clips, or a clip of no constants or of not one of its variables");
  }

  void accumulator(const Accumulator& a) const {
    if (a.values.size() != (a.reducer == Reducer::fma ? 2U : 1U))
      error("%s{} has {} values", a.result.index, a.values.size());
    for (ScalarId s : a.values)
      if (use(s) != a.type) error("%s{} accumulates another type", a.result.index);
    const bool is_logic = a.reducer == Reducer::any || a.reducer == Reducer::all;
    if (is_logic != (a.type == ElementType::boolean))
      error("%s{} accumulates {}", a.result.index, name_of(a.type));
    const bool needs_float = a.reducer == Reducer::fma || a.reducer == Reducer::max ||
                             a.reducer == Reducer::min || a.reducer == Reducer::argmax;
    if (needs_float && !is_float(a.type)) error("%s{} accumulates {}", a.result.index, name_of(a.type));
  }

  void start(const Accumulator& a, int lanes) const {
    if (!a.start) return;
    if (use(*a.start) != a.type) error("%s{} starts from another type", a.result.index);
    if (lanes > 0 || (a.reducer != Reducer::sum && a.reducer != Reducer::fma))
      error("%s{} is no sum in one chain, and has a start", a.result.index);
  }

  const Program& header_;
  const Kernel& k_;
  std::vector<ElementType> types_;
  std::vector<bool> is_visible_, vars_, defined_;
};

class EntryVerifier {
 public:
  EntryVerifier(const KernelProgram& program, const LoweredEntry& entry) : p_(program), e_(entry) {}

  void run() const {
    for (std::uint32_t input : e_.inputs)
      if (input >= p_.header.inputs.size()) fail("entry {}: there is no input {}", e_.name, input);
    slots();
    bool is_top = true;
    for (const Action& action : e_.actions) {
      const auto* special = std::get_if<Specialization>(&action.kind);
      if (special && is_top)
        specialization(*special);
      else
        this->action(action, 0, false);
      is_top &= special != nullptr;
    }
    workspace(e_.actions);
    rooms(e_.actions);
    std::vector<bool> is_written(e_.slots.size());
    writes(e_.actions, is_written);
  }

 private:
  void slots() const {
    for (std::uint32_t i = 0; i < e_.slots.size(); ++i) {
      dims(e_.slots[i].bytes, "a slot's");
      if (const auto& tasks = e_.slots[i].tasks) {
        dims(tasks->count, "a slot's");
        dims(tasks->bytes, "a slot's");
      }
      std::uint32_t next = 0;
      for (std::uint32_t below : e_.slots[i].above) {
        if (below < next || below >= i)
          fail("entry {}: slot {} is above {}, but slots are named once, in order, and before", e_.name, i,
               below);
        next = below + 1;
      }
    }
  }

  /// Specializations among the actions are left out: each is a list for itself.
  void workspace(const std::vector<Action>& list) const {
    for (const auto& [lower, higher] : stacked_slots(live_ranges(list, e_.slots.size())))
      if (!is_above(higher, lower))
        fail("entry {}: slots {} and {} are in use at once, and {} is not above {}", e_.name, lower, higher,
             higher, lower);
  }

  /// What is for tasks is of one phase, which has as many, and in no loop.
  void rooms(const std::vector<Action>& list) const {
    std::map<std::uint32_t, const Phase*> phases;  // by slot
    for (const Action& action : list) {
      if (const auto* special = std::get_if<Specialization>(&action.kind)) {
        rooms(special->actions);
        continue;
      }
      const auto* phase = std::get_if<Phase>(&action.kind);
      for_each_buffer(action, [&](const BufferRef& ref) {
        if (ref.space != BufferRef::Space::workspace || !e_.slots[ref.index].tasks) return;
        const Dim& count = e_.slots[ref.index].tasks->count;
        const auto [it, is_new] = phases.try_emplace(ref.index, phase);
        if (!phase || it->second != phase || !ref.offsets.empty())
          fail("entry {}: slot {} is for tasks, and is touched outside of their phase", e_.name, ref.index);
        if (is_new && &list == &e_.actions &&
            task_count(p_.kernels[kernels_of(phase->actions).front()]) != count)
          fail("entry {}: slot {} is for {} tasks, which its phase has not", e_.name, ref.index,
               count.text());
      });
    }
  }

  /// Directly, or with others in between, which a specialization does not use.
  bool is_above(std::uint32_t higher, std::uint32_t lower) const {
    if (std::ranges::binary_search(e_.slots[higher].above, lower)) return true;
    std::vector<bool> is_seen(e_.slots.size());
    std::vector<std::uint32_t> open = {higher};
    while (!open.empty()) {
      const std::uint32_t slot = open.back();
      open.pop_back();
      for (const std::uint32_t below : e_.slots[slot].above) {
        if (below == lower) return true;
        if (below < lower || is_seen[below]) continue;
        is_seen[below] = true;
        open.push_back(below);
      }
    }
    return false;
  }

  /// What a slot holds before it is written was another slot's. Specializations are left out: they have no
  /// calls whose guards do not hold, and what these would write, the others read in no turn.
  void writes(const std::vector<Action>& list, std::vector<bool>& is_written) const {
    const auto is_slot = [](const BufferRef& ref) { return ref.space == BufferRef::Space::workspace; };
    const auto read = [&](const BufferRef& ref) {
      if (is_slot(ref) && !is_written[ref.index])
        fail("entry {}: slot {} is read before it is written", e_.name, ref.index);
    };
    for (const Action& action : list) {
      if (const auto* call = std::get_if<KernelCall>(&action.kind)) {
        const std::vector<KernelBuffer>& buffers = p_.kernels[call->kernel].buffers;
        for (std::size_t i = 0; i < buffers.size(); ++i)
          if (is_slot(call->buffers[i]) && buffers[i].is_written) is_written[call->buffers[i].index] = true;
        std::ranges::for_each(call->buffers, read);
      }
      if (const auto* check = std::get_if<FiniteCheck>(&action.kind)) read(check->value);
      const std::vector<Action>* inside = actions_inside(action);
      if (inside && !std::holds_alternative<Specialization>(action.kind)) writes(*inside, is_written);
    }
  }

  void dims(const Dim& dim, std::string_view what) const {
    for (const std::string& name : dim.names())
      if (std::ranges::find(p_.header.dims, name) == p_.header.dims.end())
        fail("entry {}: {} `{}` is no dim of the model", e_.name, what, name);
  }

  void specialization(const Specialization& special) const {
    if (special.dims.empty()) fail("entry {}: a specialization has no dims", e_.name);
    for (const auto& [dim, extent] : special.dims) {
      dims(Dim::named(dim), "a specialization's");
      if (extent < 1) fail("entry {}: a specialization is for the extent {} of `{}`", e_.name, extent, dim);
    }
    actions(special.actions, 0, false);
    workspace(special.actions);
  }

  /// `loops`: how many there are around.
  void actions(const std::vector<Action>& list, std::uint32_t loops, bool in_phase) const {
    for (const Action& action : list) this->action(action, loops, in_phase);
  }

  void action(const Action& action, std::uint32_t loops, bool in_phase) const {
    if (const auto* check = std::get_if<FiniteCheck>(&action.kind)) {
      if (loops > 0 || in_phase) fail("entry {}: a check stands in a loop", e_.name);
      place(check->value, loops);
    } else if (const auto* loop = std::get_if<TurnLoop>(&action.kind)) {
      dims(loop->length, "a length's");
      actions(loop->actions, loops + 1, in_phase);
    } else if (const auto* phase = std::get_if<Phase>(&action.kind)) {
      if (in_phase) fail("entry {}: a phase stands in another one", e_.name);
      actions(phase->actions, loops, true);
      if (!has_equal_tasks(p_.kernels, phase->actions))
        fail("entry {}: the kernels of a phase are cut into different tasks", e_.name);
    } else if (const auto* kernel_call = std::get_if<KernelCall>(&action.kind)) {
      call(*kernel_call, loops);
    } else {
      fail("entry {}: a specialization does not stand before all else", e_.name);
    }
  }

  void call(const KernelCall& call, std::uint32_t loops) const {
    if (call.kernel >= p_.kernels.size()) fail("entry {}: there is no kernel {}", e_.name, call.kernel);
    if (call.buffers.size() != p_.kernels[call.kernel].buffers.size())
      fail("entry {}: kernel {} takes other buffers", e_.name, call.kernel);
    for (const BufferRef& ref : call.buffers) place(ref, loops);
    if (call.guard) dims(call.guard->extent, "a guard's");
  }

  void place(const BufferRef& ref, std::uint32_t loops) const {
    for (const TurnOffset& offset : ref.offsets) {
      dims(offset.length, "an offset's");
      dims(offset.bytes, "an offset's");
      const bool is_of_loop = offset.kind != TurnOffset::Kind::last && offset.kind != TurnOffset::Kind::fixed;
      if (is_of_loop && offset.loop >= loops)
        fail("entry {}: there is no loop {} around a call", e_.name, offset.loop);
    }
    place_without_offset(ref, loops);
  }

  void place_without_offset(const BufferRef& ref, std::uint32_t loops) const {
    if (ref.space == BufferRef::Space::number) return;
    if (ref.space == BufferRef::Space::scalar) {
      const Role r = ref.role;
      if (r == Role::turn && ref.index < loops) return;
      if (r != Role::seed && r != Role::step && r != Role::steps && r != Role::epoch &&
          r != Role::row_offset && r != Role::loss_bar && r != Role::accumulate)
        fail("entry {}: {} is no scalar of a call", e_.name, name_of(r));
      return;
    }
    if (ref.index >= extent(ref.space))
      fail("entry {}: there is no buffer of the number {}", e_.name, ref.index);
  }

  std::size_t extent(BufferRef::Space space) const {
    switch (space) {
      case BufferRef::Space::input:
        return e_.inputs.size();
      case BufferRef::Space::result:
        return e_.results.size();
      case BufferRef::Space::params:
      case BufferRef::Space::grads:
      case BufferRef::Space::tangents:
        return p_.header.params.size();
      case BufferRef::Space::state:
      case BufferRef::Space::state_out:
        return p_.header.state.size();
      case BufferRef::Space::slots:
        return p_.header.slots.size();
      case BufferRef::Space::workspace:
        return e_.slots.size();
      case BufferRef::Space::scalar:
      case BufferRef::Space::number:
        break;
    }
    return 0;
  }

  const KernelProgram& p_;
  const LoweredEntry& e_;
};

}  // namespace

void verify(const KernelProgram& program) {
  verify(program.header);
  for (const Kernel& kernel : program.kernels) KernelVerifier(program.header, kernel).run();
  for (const LoweredEntry& entry : program.entries) EntryVerifier(program, entry).run();
}

}  // namespace mlpc::ir
