#include "compiler/lowering/phases.h"

#include <algorithm>
#include <bit>
#include <iterator>
#include <map>
#include <optional>
#include <span>
#include <utility>

#include "compiler/lowering/row_loops.h"
#include "compiler/lowering/row_parts.h"
#include "compiler/lowering/schedule.h"
#include "ir/kernel_tasks.h"

namespace mlpc::lowering {
namespace {

using ir::Dim;

/// How many scalar statements a block runs.
double work_of(const ir::Block& block) {
  double work = 0;
  for (const ir::Statement& statement : block) {
    double turns = 1;
    if (const auto* loop = std::get_if<ir::Loop>(&statement.kind))
      turns = static_cast<double>(guess(loop->extent));
    if (const auto* loop = std::get_if<ir::Recurrence>(&statement.kind))
      turns = static_cast<double>(guess(loop->extent));
    if (const auto* reduce = std::get_if<ir::Reduce>(&statement.kind))
      for (const ir::Reduce::Range& range : reduce->ranges) turns *= static_cast<double>(guess(range.extent));
    std::visit(
        [&](const auto& kind) {
          if constexpr (requires { kind.body; })
            work += turns * work_of(kind.body);
          else
            work += turns;
        },
        statement.kind);
  }
  return work;
}

/// A kernel's loop over the rows of a phase: `turns` of it are a row; or one of it is a part of them
/// (row_parts.h), then `turns` is 0.
struct Cut {
  std::uint32_t kernel;
  const RowLoop* loop;
  std::int64_t turns;

  /// Of as many rows as a part has, or a multiple.
  std::int64_t turns_of(std::int64_t rows) const { return turns > 0 ? turns * rows : rows / kRowsOfPart; }
};

/// Memory that a phase touches: what BufferRefs of one space and number have in common.
using Memory = std::pair<ir::BufferRef::Space, std::uint32_t>;
struct Touched {
  bool is_written = false;
  bool is_by_rows = true;  // each row by its own turns only, and as many as a part has lie in `part_bytes`
  Dim part_bytes;
  std::size_t calls = 0;  // that touch it
  int degree = 0;         // how its size grows with the free dims
};

/// What was gathered for a phase.
struct Draft {
  Dim rows;
  std::vector<Dim> nest;  // of the loops over them, if these are several
  std::vector<Cut> cuts;
  std::map<Memory, Touched> memory;
  std::map<Memory, std::int64_t> shared_bytes;  // of what all tasks read
  double work = 0;                              // of all rows, with one of the calls that guards choose from
  double squares = 0;                           // of each call's work, summed
};

class PhaseFormer {
 public:
  PhaseFormer(std::vector<ir::Kernel>& kernels, const ir::Target& target, bool parts_join = false)
      : kernels_(kernels), target_(target), parts_join_(parts_join) {
    for (const ir::Kernel& kernel : kernels) {
      loops_.push_back(row_loops(kernel));
      works_.push_back(work_of(kernel.body));
    }
  }

  void run(std::vector<ir::Action>& actions) {
    for (ir::Action& action : actions) {
      auto* loop = std::get_if<ir::TurnLoop>(&action.kind);
      if (!loop) continue;
      Draft best;
      for (const Dim& rows : possible_rows(action))
        if (Draft draft{rows}; add(draft, action, 1) && best.work < draft.work) best = std::move(draft);
      if (best.work > 0 && cut(best)) {
        ir::Phase phase;
        phase.actions.push_back(std::move(action));
        action = {std::move(phase)};
      } else {
        run(loop->actions);
      }
    }
  }

  void join_rows(std::vector<ir::Action>& actions) {
    join(actions, [&](std::span<const ir::Action> rest) { return rows_to_join(rest); });
  }

  void join_batches(std::vector<ir::Action>& actions) {
    for (const ir::Kernel& kernel : kernels_) nests_.push_back(row_nests(kernel));
    for (const ir::Action& action : actions)
      ir::for_each_buffer(action, [&](const ir::BufferRef& ref) { ++calls_[memory_of(ref)]; });
    join(actions, [&](std::span<const ir::Action> rest) { return batches_to_join(rest); });
  }

 private:
  /// Makes phases of as many actions as count_of(those that are left) says.
  template <typename F>
  void join(std::vector<ir::Action>& actions, F count_of) {
    std::vector<ir::Action> out;
    for (std::size_t first = 0; first < actions.size();) {
      const std::size_t count = count_of(std::span(actions).subspan(first));
      if (count < 2) {
        out.push_back(std::move(actions[first++]));
        continue;
      }
      ir::Phase& phase = std::get<ir::Phase>(out.emplace_back(ir::Phase{}).kind);
      for (std::size_t i = 0; i < count; ++i) phase.actions.push_back(std::move(actions[first++]));
    }
    actions = std::move(out);
  }

  /// How many of the actions become a phase, whose kernels are then cut: the first one is no sum of parts,
  /// for its tasks are all there are.
  std::size_t rows_to_join(std::span<const ir::Action> actions) {
    constexpr std::int64_t kMostRows = 8 * kRowsOfPart;
    Draft best;
    for (const Dim& rows : possible_rows(actions.front())) {
      if (rows.is_constant()) continue;
      Draft draft{rows};
      for (const ir::Action& action : actions)
        if (!add(draft, action, 1)) break;
      if (!draft.cuts.empty() && draft.cuts.front().turns > 0 && draft.cuts.size() > best.cuts.size())
        best = std::move(draft);
    }
    const double work_of_row = best.work / static_cast<double>(guess(best.rows));
    // Larger tasks wait less for what others touch beside their rows.
    const double work_of_task = parts_join_ ? 1 << 19 : 1 << 17;
    const std::int64_t least = parts_join_ ? kRowsOfPart : whole_tiles(best, 32);
    std::int64_t rows = least;
    while (rows < kMostRows && static_cast<double>(rows) * work_of_row < work_of_task) rows += least;
    cut(best, rows);
    return best.cuts.size();
  }

  /// As many rows, or a few more, so that they are whole register tiles of the tallest kind.
  std::int64_t whole_tiles(const Draft& draft, std::int64_t rows) const {
    std::int64_t tile = 1;
    for (const Cut& c : draft.cuts)
      for (const ir::Loop* loop = only_loop(kernels_[c.kernel].body); loop; loop = only_loop(loop->body))
        if (loop->var == c.loop->var) tile = std::max<std::int64_t>(tile, loop->schedule.unroll);
    return (rows + tile - 1) / tile * tile;
  }

  /// The same for the loops of a nest.
  std::size_t batches_to_join(std::span<const ir::Action> actions) {
    constexpr std::size_t kMostCalls = 64;  // so that it is linear in the number of actions
    const auto* first = std::get_if<ir::KernelCall>(&actions.front().kind);
    if (!first) return 0;
    Draft best;
    for (const RowLoop& nest : nests_[first->kernel]) {
      Draft draft{nest.extent, nest.extents};
      for (const ir::Action& action : actions.first(std::min(actions.size(), kMostCalls))) {
        const auto* call = std::get_if<ir::KernelCall>(&action.kind);
        if (!call || !add_batch(draft, *call)) break;
      }
      if (draft.cuts.size() > best.cuts.size() && has_large_rooms(draft)) best = std::move(draft);
    }
    cut(best, 1);
    return best.cuts.size();
  }

  bool add_batch(Draft& draft, const ir::KernelCall& call) const {
    const auto nest = std::ranges::find(nests_[call.kernel], draft.nest, &RowLoop::extents);
    if (nest == nests_[call.kernel].end()) return false;
    Draft longer = draft;
    const Cut cut{call.kernel, &*nest, 1};
    if (!touch(longer, call, cut)) return false;
    longer.cuts.push_back(cut);
    draft = std::move(longer);
    return true;
  }

  /// Whether something that no other action touches grows faster than all that others touch, too.
  bool has_large_rooms(const Draft& draft) const {
    int own = 0, shared = 0;
    for (const auto& [memory, touched] : draft.memory) {
      const bool is_own =
          memory.first == ir::BufferRef::Space::workspace && touched.calls == calls_.at(memory);
      int& greatest = is_own ? own : shared;
      greatest = std::max(greatest, touched.degree);
    }
    return own > shared;
  }

  /// The extents of all kernels' loops.
  std::vector<Dim> possible_rows(const ir::Action& action) const {
    std::vector<Dim> out;
    if (const auto* call = std::get_if<ir::KernelCall>(&action.kind))
      for (const RowLoop& loop : loops_[call->kernel]) out.push_back(loop.extent);
    if (const std::vector<ir::Action>* inside = ir::actions_inside(action))
      for (const ir::Action& a : *inside)
        for (const Dim& rows : possible_rows(a))
          if (std::ranges::find(out, rows) == out.end()) out.push_back(rows);
    return out;
  }

  /// False where the action cannot be a part of the phase.
  bool add(Draft& draft, const ir::Action& action, double times) const {
    if (const auto* call = std::get_if<ir::KernelCall>(&action.kind)) return add_call(draft, *call, times);
    const auto* loop = std::get_if<ir::TurnLoop>(&action.kind);
    if (!loop) return false;
    return std::ranges::all_of(loop->actions, [&](const ir::Action& inside) {
      return add(draft, inside, times * static_cast<double>(guess(loop->length)));
    });
  }

  bool add_call(Draft& draft, const ir::KernelCall& call, double times) const {
    for (const RowLoop& loop : loops_[call.kernel]) {
      const std::optional<std::int64_t> turns = turns_of_row(loop, draft.rows);
      if (!turns) continue;
      Draft longer = draft;
      const Cut cut{call.kernel, &loop, *turns};
      if (!touch(longer, call, cut)) continue;
      longer.cuts.push_back(cut);
      if (!call.guard || !call.guard->negated) {
        const double work = works_[call.kernel];
        longer.work += times * work;
        longer.squares += times * work * work;
        if (!keeps_near(longer, call, loop)) continue;
      }
      draft = std::move(longer);
      return true;
    }
    return false;
  }

  /// 0 where a turn is a part of the rows.
  std::optional<std::int64_t> turns_of_row(const RowLoop& loop, const Dim& rows) const {
    if (parts_join_ && loop.extent == Dim::floordiv(rows, kRowsOfPart)) return 0;
    const std::optional<Dim> turns = loop.extent.divided_by(rows);
    if (!turns || turns->constant().value_or(0) < 1) return std::nullopt;
    return turns->constant();
  }

  /// Whether what all tasks read stays in L2 while they pass.
  bool keeps_near(Draft& draft, const ir::KernelCall& call, const RowLoop& loop) const {
    constexpr std::int64_t kNearBytes = 1 << 19;  // a quarter of it
    for (std::size_t i = 0; i < call.buffers.size(); ++i) {
      const ir::Type& type = kernels_[call.kernel].buffers[i].type;
      if (!loop.rows[i])
        draft.shared_bytes[memory_of(call.buffers[i])] =
            guess(type.element_count() * Dim(ir::size_of(type.element)));
    }
    std::int64_t sum = 0;
    for (const auto& [memory, bytes] : draft.shared_bytes) sum += bytes;
    return sum <= kNearBytes;
  }

  static Memory memory_of(const ir::BufferRef& ref) { return {ref.space, ref.index}; }

  /// False where two tasks would touch what one of them writes.
  bool touch(Draft& draft, const ir::KernelCall& call, const Cut& cut) const {
    const ir::Kernel& kernel = kernels_[call.kernel];
    for (std::size_t i = 0; i < call.buffers.size(); ++i) {
      const ir::BufferRef& ref = call.buffers[i];
      const auto [it, is_new] = draft.memory.try_emplace(memory_of(ref));
      Touched& touched = it->second;
      touched.is_written |= kernel.buffers[i].is_written;
      ++touched.calls;
      touched.degree = std::max(touched.degree, kernel.buffers[i].type.element_count().degree());
      if (const std::optional<OwnRows>& rows = cut.loop->rows[i]) {
        const Dim part_bytes = Dim(cut.turns_of(kRowsOfPart)) * rows->bytes;
        touched.is_by_rows &= (is_new || touched.part_bytes == part_bytes) &&
                              has_whole_rows(ref, draft.rows * Dim(cut.turns) * rows->bytes);
        touched.part_bytes = part_bytes;
      } else {
        touched.is_by_rows = false;
      }
      if (touched.is_written && !touched.is_by_rows) return false;
    }
    return true;
  }

  /// Whether the element of each turn starts with the first row.
  static bool has_whole_rows(const ir::BufferRef& ref, const Dim& bytes) {
    return std::ranges::all_of(ref.offsets, [&](const ir::TurnOffset& offset) {
      return offset.bytes == Dim(0) || offset.bytes.divided_by(bytes).has_value();
    });
  }

  /// Cuts the draft's kernels, if that pays.
  bool cut(const Draft& draft) {
    constexpr int kLeastRows = 8, kMostRows = 64;
    constexpr double kWorkOfTask =
        1 << 19;  // statements: at least two microseconds, against one to hand it out
    constexpr double kWorkOfCall = 1 << 15;  // on the average of where work is done, against ten nanoseconds
    constexpr double kMostTasks = 64;
    const auto all_rows = static_cast<double>(guess(draft.rows));
    const double least =
        all_rows * std::max(kWorkOfTask / draft.work, kWorkOfCall * draft.work / draft.squares);
    if (least > kMostRows) return false;
    int rows = kLeastRows;
    while (rows < kMostRows && rows < std::max(least, all_rows / kMostTasks)) rows *= 2;
    if (draft.rows.constant().value_or(2 * rows) < 2 * rows) return false;
    cut(draft, rows);
    if (rows <= 2 * kLeastRows)
      for (const Cut& c : draft.cuts) widen_tiles(kernels_[c.kernel], c.loop->var, kLeastRows);
    return true;
  }

  void cut(const Draft& draft, std::int64_t rows) {
    for (const Cut& c : draft.cuts) {
      kernels_[c.kernel].tasks = c.loop->around;
      kernels_[c.kernel].tasks.push_back({c.loop->var, c.turns_of(rows)});
    }
  }

  /// Tiles of a contraction are the rows of the smallest task, where that leaves registers for two vectors:
  /// then each row of the weights that are near is read once a tile.
  void widen_tiles(ir::Kernel& kernel, ir::VarId row, int rows) const {
    ir::Loop *row_loop = nullptr, *lanes = nullptr;
    for (ir::Loop* loop = only_loop(kernel.body); loop; loop = only_loop(loop->body)) {
      if (loop->var == row) row_loop = loop;
      if (loop->schedule.lanes) lanes = loop;
    }
    if (!row_loop || !lanes || row_loop->schedule.unroll < 2) return;
    int bytes = 4;
    for (const ir::KernelBuffer& buffer : kernel.buffers)
      bytes = std::max(bytes, ir::size_of(buffer.type.element));
    const int vectors = (target_.vector_registers - 2) / (rows + 1) * 4 / bytes;
    if (vectors < 2) return;
    row_loop->schedule.unroll = rows;
    lanes->schedule.unroll =
        std::min(lanes->schedule.unroll, static_cast<int>(std::bit_floor(static_cast<unsigned>(vectors))));
  }

  std::vector<ir::Kernel>& kernels_;
  const ir::Target& target_;
  const bool parts_join_;
  std::vector<std::vector<RowLoop>> loops_, nests_;  // by kernel
  std::vector<double> works_;
  std::map<Memory, std::size_t> calls_;  // that touch it
};

/// Only these grow faster than what is there for each of a batch.
bool has_squares(const std::vector<ir::Kernel>& kernels) {
  return std::ranges::any_of(kernels, [](const ir::Kernel& kernel) {
    return std::ranges::any_of(kernel.buffers, [](const ir::KernelBuffer& buffer) {
      return buffer.type.element_count().degree() > 1;
    });
  });
}

}  // namespace

void form_phases(std::vector<ir::Action>& actions, std::vector<ir::Kernel>& kernels,
                 const ir::Target& target) {
  PhaseFormer(kernels, target).run(actions);
}

void form_row_phases(std::vector<ir::Action>& actions, std::vector<ir::Kernel>& kernels,
                     const ir::Target& target, bool parts_join) {
  PhaseFormer(kernels, target, parts_join).join_rows(actions);
}

void form_batch_phases(std::vector<ir::Action>& actions, std::vector<ir::Kernel>& kernels,
                       const ir::Target& target) {
  if (has_squares(kernels)) PhaseFormer(kernels, target).join_batches(actions);
}

void dissolve_phases(std::vector<ir::Action>& actions, const std::vector<ir::Kernel>& kernels) {
  std::vector<ir::Action> out;
  for (ir::Action& action : actions) {
    if (std::vector<ir::Action>* inside = ir::actions_inside(action)) dissolve_phases(*inside, kernels);
    auto* phase = std::get_if<ir::Phase>(&action.kind);
    if (phase && !ir::has_equal_tasks(kernels, phase->actions))
      std::ranges::move(phase->actions, std::back_inserter(out));
    else
      out.push_back(std::move(action));
  }
  actions = std::move(out);
}

}  // namespace mlpc::lowering
