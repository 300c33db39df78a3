#pragma once

#include <concepts>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <type_traits>
#include <utility>
#include <variant>
#include <vector>

#include "ir/op.h"
#include "ir/program.h"

namespace mlpc::ir {

// The loop kernels: scalar code in loop nests over buffers. Structured: every scalar is assigned once, is
// visible in its block and the blocks inside; only `Reduce` and `Recurrence` carry values from turn to turn.
// So a `Loop` may run in any order, jammed, vectorised or cut into tasks, and every bit of the result stays.

struct VarId {
  std::uint32_t index = UINT32_MAX;
  friend auto operator<=>(VarId, VarId) = default;
};
struct ScalarId {
  std::uint32_t index = UINT32_MAX;
  friend auto operator<=>(ScalarId, ScalarId) = default;
};
struct BufferId {
  std::uint32_t index = UINT32_MAX;
  friend auto operator<=>(BufferId, BufferId) = default;
};

/// Operations on scalars. Arithmetic is IEEE or two's complement of the operands' type; nothing is
/// contracted. Comparisons give bool and are false for NaN operands, but `ne`, which is true.
enum class ScalarOp : std::uint8_t {
#define X(name, arity) name##_,
#include "ir/scalar_ops.def"
#undef X
};
std::string_view name_of(ScalarOp op);
std::optional<ScalarOp> scalar_op_named(std::string_view name);
int arity_of(ScalarOp op);

/// constant + Σ coefficient · var (+ a scalar of type i64): an index, in elements of one axis.
struct AffineIndex {
  struct Term {
    VarId var;
    Dim coefficient;
    friend bool operator==(const Term&, const Term&) = default;
  };
  Dim constant;
  std::vector<Term> terms;         // ascending by var, no zero coefficient
  std::optional<ScalarId> scalar;  // gather

  static AffineIndex of(VarId var) { return {0, {{var, 1}}, {}}; }
  friend bool operator==(const AffineIndex&, const AffineIndex&) = default;
};
AffineIndex operator+(const AffineIndex&, const AffineIndex&);  // at most one has a scalar
AffineIndex operator*(const Dim&, const AffineIndex&);          // without a scalar

struct Statement;
using Block = std::vector<Statement>;

struct Let {
  ScalarId result;
  ScalarOp op;
  ElementType type;  // of the result
  std::vector<ScalarId> operands;
  std::optional<Constant> constant;  // of ScalarOp::constant
};
/// The index as an i64 scalar.
struct IndexValue {
  ScalarId result;
  AffineIndex index;
};
/// Where `guard`, a bool, is false, the result is 0 (false), the index may be anything, and nothing is read.
struct Load {
  ScalarId result;
  BufferId buffer;
  std::vector<AffineIndex> index;                // one an axis
  std::optional<ScalarId> guard = std::nullopt;  // none: always
};
struct Store {
  BufferId buffer;
  std::vector<AffineIndex> index;
  ScalarId value;
};

/// How a loop runs; changes no bit.
struct LoopSchedule {
  int unroll = 1;      // instances jammed into one turn; of a lanes loop: vectors
  bool lanes = false;  // the loop's turns are vector lanes
  friend bool operator==(const LoopSchedule&, const LoopSchedule&) = default;
};

/// for var in 0 … extent-1, independent turns. With a limit only those with first + var < end: rows of a
/// chunk, of which the last one has fewer.
struct Loop {
  struct Limit {
    AffineIndex first;  // without a scalar
    Dim end;
  };
  VarId var;
  Dim extent;
  LoopSchedule schedule;
  Block body;
  std::optional<Limit> limit = std::nullopt;
};

/// One accumulator of a Reduce. Starts at the reducer's identity (sum 0, prod 1, max -inf, min inf, any
/// false, all true; argmax: position 0, so NaN-free ties go to the lowest position and the first NaN wins),
/// or at `start`, which an earlier part of the same sum gave.
struct Accumulator {
  ScalarId result;
  Reducer reducer;
  ElementType type;              // of the accumulator; argmax: of the values, and the result is i64
  std::vector<ScalarId> values;  // what a turn gives: one; fma: two factors
  std::optional<ScalarId> start = std::nullopt;  // of sum and fma, in one chain
};

/// Accumulates over all turns of vars (the first outermost, the last fastest). The order is part of the
/// meaning: lanes == 0: one chain in the order of the turns, s ← s + v, for fma s ← fma(a, b, s). lanes == L
/// > 0 (one var): L chains, chain l taking turns l, l + L, …; then chains l and l + L/2 are added for l <
/// L/2, and so on with L/2, until one is left (a chain without turns counts as the identity).
///
/// Of one chain, only turns count in which 0 <= index < extent for all `clips`: a window's taps that lie
/// inside of what was padded. The others are not run at all, so that no product of a padding's zero is made,
/// nor a NaN.
struct Reduce {
  struct Range {
    VarId var;
    Dim extent;
  };
  struct Clip {
    AffineIndex index;  // of constants, without a scalar; of the sum's own variables it has exactly one
    std::int64_t extent;
    friend bool operator==(const Clip&, const Clip&) = default;
  };
  std::vector<Accumulator> accumulators;
  std::vector<Range> ranges;
  std::vector<Clip> clips;
  int lanes = 0;
  int unroll = 1;  // turns a trip, in order; changes no bit
  Block body;
};

/// for var in 0 … extent-1, in that order. `before` is `start` in the first turn, and in every other one what
/// the turn before had as `after`, a scalar of its type in the body; it may read what earlier turns stored.
/// Stands in no reduction.
struct Recurrence {
  VarId var;
  Dim extent;
  ScalarId before;
  Constant start;
  ScalarId after;
  Block body;
};

struct Statement {
  std::variant<Let, IndexValue, Load, Store, Loop, Reduce, Recurrence> kind;
};

struct KernelBuffer {
  std::string name;
  Type type;  // row-major
  bool is_written = false;
};

/// The loop over `var` is cut into tasks of `block` turns. Tasks may run in any order, on any threads.
struct TaskSplit {
  VarId var;
  std::int64_t block;
};

/// A function over buffers. The loops of `tasks` are the outermost ones, nested in this order and without
/// limits; around them stand only statements without stores. Two buffers may be one memory where each element
/// is read, if at all, only by the turn that writes it (an in-place update).
struct Kernel {
  std::string name;
  std::vector<KernelBuffer> buffers;
  std::vector<TaskSplit> tasks;  // empty: one task
  Block body;
  std::uint32_t var_count = 0, scalar_count = 0;  // ids are below
};

/// Bytes to add to a buffer's address, inside of loops over turns and behind them.
struct TurnOffset {
  enum class Kind : std::uint8_t {
    turn,   // the turn's number times `bytes`: an element of a sequence
    now,    // of a loop value that is there twice, the copy that this turn reads …
    next,   // … and the one that it writes: 0 or `bytes`, in turn
    last,   // what the last of `length` turns wrote, when they are over; the first value where there was none
    fixed,  // in every turn and outside of them
  } kind;
  std::uint32_t loop = 0;  // the number of loops around it; not of Kind::last and fixed
  Dim length;              // of Kind::last only
  Dim bytes;
  friend bool operator==(const TurnOffset&, const TurnOffset&) = default;
};

/// Where a kernel's buffer is when an entry calls it.
struct BufferRef {
  enum class Space : std::uint8_t {
    input,   // args.inputs[index], index into LoweredEntry::inputs
    result,  // args.results[index], index into LoweredEntry::results
    params,  // the caller's buffer at params[index].offset; so the next five
    state,
    state_out,
    slots,
    grads,
    tangents,
    workspace,  // LoweredEntry::slots[index], at the offset that the plan evaluated
    scalar,     // a rank-0 argument of the call, or a turn: `role` says which
    number,     // an i64[] that the call has
  } space;
  std::uint32_t index = 0;  // of a turn: the number of loops around its own
  // Of Space::scalar: seed, step, steps, epoch, row_offset, loss_bar (f64), accumulate, turn.
  Role role = Role::input;
  std::vector<TurnOffset> offsets = {};
  std::int64_t number = 0;  // of Space::number
  friend bool operator==(const BufferRef&, const BufferRef&) = default;
};

/// Whether a call is made: calls under opposite guards do the same work by different schedules.
struct CallGuard {
  Dim extent;
  std::int64_t least;    // the call is made where extent >= least …
  bool negated = false;  // … or where it is not
};
struct KernelCall {
  std::uint32_t kernel;
  std::vector<BufferRef> buffers;
  std::optional<CallGuard> guard = std::nullopt;  // none: always
};
/// Returns not_finite if the caller asked for the check and the scalar is inf or NaN. Stands before the first
/// write to parameters, state or slots.
struct FiniteCheck {
  BufferRef value;
  ElementType type;
};
struct Action;
/// Runs the actions `length` times, one turn after the other.
struct TurnLoop {
  Dim length;
  bool reverse = false;  // turns are numbered from length - 1 to 0
  std::vector<Action> actions;
};
/// Runs the actions in each of n tasks, one after the other and without a meeting in between: a task is the
/// one of its number of every kernel below. All of these have n tasks, cut from one loop each or a task a
/// turn of some, one in the other; of the memory that the phase writes, a task touches only what it writes
/// itself.
struct Phase {
  std::vector<Action> actions;
};
/// Where the free dims have these extents, runs its actions, and none of those behind it: the same work by
/// kernels in which the extents are numbers. Stands before all other actions of an entry.
struct Specialization {
  std::vector<std::pair<std::string, std::int64_t>> dims;
  std::vector<Action> actions;
};
struct Action {
  std::variant<KernelCall, FiniteCheck, TurnLoop, Phase, Specialization> kind;
};
/// Those that a loop, a phase or a specialization runs; null for other actions.
inline const std::vector<Action>* actions_inside(const Action& action) {
  if (const auto* loop = std::get_if<TurnLoop>(&action.kind)) return &loop->actions;
  if (const auto* special = std::get_if<Specialization>(&action.kind)) return &special->actions;
  const auto* phase = std::get_if<Phase>(&action.kind);
  return phase ? &phase->actions : nullptr;
}
inline std::vector<Action>* actions_inside(Action& action) {
  return const_cast<std::vector<Action>*>(actions_inside(std::as_const(action)));
}

/// visit(buffer) for those of an action, and of the actions inside of it.
template <typename A, typename Visit>
  requires std::same_as<std::remove_const_t<A>, Action>
void for_each_buffer(A& action, const Visit& visit) {
  if (auto* call = std::get_if<KernelCall>(&action.kind))
    for (auto& buffer : call->buffers) visit(buffer);
  if (auto* check = std::get_if<FiniteCheck>(&action.kind)) visit(check->value);
  if (auto* inside = actions_inside(action))
    for (auto& a : *inside) for_each_buffer(a, visit);
}

/// Memory of one value, or of the few that must be in one place. It begins where the highest slot of `above`
/// ends, or else with the workspace; so two slots of which neither is above the other may have bytes in
/// common. What is above what is decided once; where it begins follows for all dims.
struct WorkspaceSlot {
  Dim bytes;                              // the plan rounds it up to 64
  std::vector<std::uint32_t> above = {};  // earlier slots, ascending
  /// Of a slot that only the tasks of a phase touch, each its own rows, one task's behind the other's. Where
  /// there are fewer workers than tasks, the slot is rooms of `bytes`, one for each worker.
  struct Tasks {
    Dim count, bytes;
    friend bool operator==(const Tasks&, const Tasks&) = default;
    friend auto operator<=>(const Tasks&, const Tasks&) = default;
  };
  std::optional<Tasks> tasks = std::nullopt;
};

/// Behind the word `slot`.
std::string text_of(const WorkspaceSlot& slot);

/// One entry of the compiled model. Before the actions run, every input with an index bound is checked.
struct LoweredEntry {
  std::string name;                   // one of entry_names()
  std::vector<std::uint32_t> inputs;  // of Program::inputs that it reads, in order of declaration
  struct ResultInfo {
    std::string name;
    Role role;  // output, loss_total, loss_term, metric, clip_norm
    Type type;
  };
  std::vector<ResultInfo> results;  // what args.results holds
  bool writes_grads = false;
  std::vector<WorkspaceSlot> slots;
  std::vector<Action> actions;
};

/// `header` is the program without its graphs.
struct KernelProgram {
  Program header;
  std::vector<Kernel> kernels;
  std::vector<LoweredEntry> entries;
};

}  // namespace mlpc::ir
