#include "tests/support/compiled/interpreted.h"

#include <algorithm>
#include <cstring>
#include <deque>
#include <map>
#include <utility>

#include "compiler/lowering/lower.h"
#include "ir/error.h"
#include "ir/kernel_tasks.h"
#include "ir/target.h"
#include "ir/text.h"
#include "ir/workspace.h"
#include "tests/support/kernel_interpreter.h"

namespace mlpc::testing {
namespace {

using namespace ir;

/// One call: the entry's actions over the caller's memory and a workspace.
class Call {
 public:
  Call(const Program& program, const KernelProgram& kernels, const LoweredEntry& entry, CallMemory& memory,
       const Dims& dims)
      : program_(program), kernels_(kernels), entry_(entry), memory_(memory), dims_(dims) {
    note_memory();
  }

  void run() { run(entry_.actions); }

  /// Throws unless the entry wrote all of a result that is a buffer of its own.
  void require_written(const Graph::Result& r, const Type& type) {
    if (std::ranges::find(entry_.results, r.name, &LoweredEntry::ResultInfo::name) == entry_.results.end())
      return;  // in a buffer whose old values may be read
    if (!notes_.holds_value(memory_.results.at(r.name).data(), memory_.size_of(type)))
      fail("result {} is not written", r.name);
  }

 private:
  void note_memory() {
    for (Bytes* bytes : {&memory_.params, &memory_.state, &memory_.slots, &memory_.grads, &memory_.tangents})
      notes_.add(bytes->data(), bytes->size(), true);
    notes_.add(memory_.state_out.data(), memory_.state_out.size(), false);
    for (auto& [name, bytes] : memory_.inputs) notes_.add(bytes.data(), bytes.size(), true);
    for (auto& [name, bytes] : memory_.results) notes_.add(bytes.data(), bytes.size(), false);
    for (const WorkspaceSlot& slot : entry_.slots) {
      // Of a slot for tasks a room: its own rows, or all if these are fewer.
      const std::int64_t bytes = value_of(slot.bytes);
      workspace_.emplace_back(
          static_cast<std::size_t>(slot.tasks ? std::min(bytes, value_of(slot.tasks->bytes)) : bytes));
      notes_.add(workspace_.back().data(), workspace_.back().size(), false);
    }
    offsets_ = lay_out(entry_.slots, value_in(dims_), 1).value().offsets;
  }

  /// Slots have memory of their own here. A value in one of them is lost where a call writes to another one
  /// that has bytes in common with it.
  void lose_values(const KernelCall& call) {
    const std::vector<KernelBuffer>& buffers = kernels_.kernels[call.kernel].buffers;
    for (std::size_t i = 0; i < buffers.size(); ++i) {
      if (!buffers[i].is_written || call.buffers[i].space != BufferRef::Space::workspace) continue;
      const std::uint32_t written = call.buffers[i].index;
      for (std::uint32_t slot = 0; slot < workspace_.size(); ++slot)
        if (slot != written && begin_of(slot) < end_of(written) && begin_of(written) < end_of(slot))
          notes_.add(workspace_[slot].data(), workspace_[slot].size(), false);
    }
  }
  std::int64_t begin_of(std::uint32_t slot) const { return offsets_[slot]; }
  std::int64_t end_of(std::uint32_t slot) const { return offsets_[slot] + std::ssize(workspace_[slot]); }

  /// `task`: of the phase that these actions stand in.
  void run(const std::vector<Action>& actions, const OneTask* task = nullptr) {
    const bool has_fma = target_named(kernels_.header.target)->has_fma;
    for (const Action& action : actions) {
      const auto* special = std::get_if<Specialization>(&action.kind);
      if (special && holds(*special)) return run(special->actions);
      if (const auto* loop = std::get_if<TurnLoop>(&action.kind)) run_turns(*loop, task);
      if (const auto* phase = std::get_if<Phase>(&action.kind)) run_phase(*phase);
      const auto* call = std::get_if<KernelCall>(&action.kind);
      if (!call) continue;  // the check of the loss, which was not asked for
      std::vector<std::byte*> buffers;
      for (const BufferRef& ref : call->buffers) buffers.push_back(place(ref) + offset(ref));
      lose_values(*call);
      interpret(kernels_.kernels[call->kernel], has_fma, value_in(dims_), buffers, &notes_, task);
    }
  }

  /// From the last task to the first: any order must do. Of a slot for tasks, each has a room of its own
  /// here.
  void run_phase(const Phase& phase) {
    TaskAccesses accesses;
    for (std::int64_t i = value_of(task_count(kernels_.kernels[kernels_of(phase.actions).front()]));
         i-- > 0;) {
      const OneTask task{i, accesses};
      task_ = i;
      for (std::size_t slot = 0; slot < workspace_.size(); ++slot)
        if (entry_.slots[slot].tasks) {
          left_.push_back(std::exchange(workspace_[slot], Bytes(workspace_[slot].size())));
          notes_.add(workspace_[slot].data(), workspace_[slot].size(), false);
        }
      run(phase.actions, &task);
    }
    for (Bytes& room : left_) notes_.remove(room.data());
    left_.clear();
  }

  void run_turns(const TurnLoop& loop, const OneTask* task) {
    const std::int64_t length = value_of(loop.length);
    turns_.emplace_back();
    for (std::int64_t i = 0; i < length; ++i) {
      turns_.back() = {loop.reverse ? length - 1 - i : i, i};
      run(loop.actions, task);
    }
    turns_.pop_back();
  }

  bool holds(const Specialization& special) const {
    return std::ranges::all_of(
        special.dims, [&](const auto& dim) { return value_of(Dim::named(dim.first)) == dim.second; });
  }

  std::int64_t value_of(const Dim& dim) const { return dim.evaluate(value_in(dims_)).value(); }

  std::int64_t offset(const BufferRef& ref) const {
    std::int64_t out = 0;
    for (const TurnOffset& o : ref.offsets) {
      const std::int64_t bytes = value_of(o.bytes);
      if (o.kind == TurnOffset::Kind::turn) out += turns_[o.loop].number * bytes;
      if (o.kind == TurnOffset::Kind::fixed) out += bytes;
      if (o.kind == TurnOffset::Kind::now) out += turns_[o.loop].before % 2 * bytes;
      if (o.kind == TurnOffset::Kind::next) out += (1 - turns_[o.loop].before % 2) * bytes;
      if (o.kind == TurnOffset::Kind::last) out += std::max<std::int64_t>(value_of(o.length), 0) % 2 * bytes;
    }
    return out;
  }

  std::byte* place(const BufferRef& ref) {
    const auto part = [&](Bytes& bytes, const std::vector<TensorInfo>& table) {
      return bytes.data() + table[ref.index].offset;
    };
    switch (ref.space) {
      case BufferRef::Space::input:
        return memory_.inputs.at(program_.inputs[entry_.inputs[ref.index]].name).data();
      case BufferRef::Space::result:
        return memory_.results.at(entry_.results[ref.index].name).data();
      case BufferRef::Space::params:
        return part(memory_.params, program_.params);
      case BufferRef::Space::state:
        return part(memory_.state, program_.state);
      case BufferRef::Space::state_out:
        return part(memory_.state_out, program_.state);
      case BufferRef::Space::slots:
        return part(memory_.slots, program_.slots);
      case BufferRef::Space::grads:
        return part(memory_.grads, program_.params);
      case BufferRef::Space::tangents:
        return part(memory_.tangents, program_.params);
      case BufferRef::Space::workspace:
        return workspace_[ref.index].data() - rows_before(entry_.slots[ref.index]);
      case BufferRef::Space::number:
        return noted(numbers_.try_emplace(ref.number, ref.number).first->second);
      case BufferRef::Space::scalar:
        return ref.role == Role::turn ? noted(turns_[ref.index].number) : scalar(ref.role);
    }
    fail("a buffer of unknown space");
  }

  /// Bytes of a slot for tasks that are those before this one's.
  std::int64_t rows_before(const WorkspaceSlot& slot) const {
    return slot.tasks ? task_ * value_of(slot.tasks->bytes) : 0;
  }

  template <typename T>
  std::byte* noted(T& value) {
    notes_.add(reinterpret_cast<std::byte*>(&value), sizeof value, true);
    return reinterpret_cast<std::byte*>(&value);
  }

  std::byte* scalar(Role role) {
    switch (role) {
      case Role::seed:
        return noted(memory_.seed);
      case Role::step:
        return noted(memory_.step);
      case Role::steps:
        return noted(memory_.steps);
      case Role::epoch:
        return noted(memory_.epoch);
      case Role::row_offset:
        return noted(memory_.row_offset);
      case Role::loss_bar:
        return noted(memory_.loss_bar);
      case Role::accumulate:
        return noted(memory_.accumulate);
      default:
        fail("{} is no scalar of a call", name_of(role));
    }
  }

  const Program& program_;
  const KernelProgram& kernels_;
  const LoweredEntry& entry_;
  CallMemory& memory_;
  const Dims& dims_;
  struct Turn {
    std::int64_t number = 0, before = 0;  // how many turns were before
  };
  std::map<std::int64_t, std::int64_t> numbers_;
  std::deque<Turn> turns_;  // of the loops around, outermost first; they stay where they are
  std::int64_t task_ = 0;   // of the phase
  MemoryNotes notes_;
  std::vector<Bytes> workspace_;       // by slot; of one for tasks, the room of this one
  std::vector<Bytes> left_;            // rooms of other tasks, which stay where they are
  std::vector<std::int64_t> offsets_;  // by slot, of a call of compiled code
};

/// The kernels as their text says them.
KernelProgram read_back(KernelProgram kernels, const lowering::Extents& specialized) {
  lowering::specialize(kernels, specialized);
  const std::string text = print(kernels);
  KernelProgram read = parse_kernels(text, "kernels");
  if (print(read) != text) fail("the text of the kernels is not what was read from it");
  return read;
}

}  // namespace

InterpretedProgram::InterpretedProgram(Program joint, int level, const lowering::Extents& specialized)
    : program_(std::move(joint)), kernels_(read_back(lowering::lower(program_, {level}), specialized)) {}

std::vector<HostTensor> InterpretedProgram::run(const std::string& name,
                                                const std::vector<HostTensor>& arguments,
                                                const Dims& dims) const {
  const Graph& graph = *program_.find(name);
  const auto entry = std::ranges::find(kernels_.entries, name, &LoweredEntry::name);
  if (entry == kernels_.entries.end()) fail("no entry {}", name);
  CallMemory memory(program_, graph, dims);
  for (std::size_t i = 0; i < arguments.size(); ++i) memory.set(graph.parameters()[i], arguments[i]);
  Call call(program_, kernels_, *entry, memory, dims);
  call.run();
  std::vector<HostTensor> out;
  for (const Graph::Result& r : graph.results) {
    call.require_written(r, graph.type(r.value));
    out.push_back(memory.get(r));
  }
  return out;
}

}  // namespace mlpc::testing
