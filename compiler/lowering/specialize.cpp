#include "compiler/lowering/specialize.h"

#include <algorithm>
#include <map>
#include <optional>
#include <string_view>
#include <utility>

#include "compiler/lowering/kernel_table.h"
#include "compiler/lowering/phases.h"
#include "compiler/lowering/task_rooms.h"
#include "ir/error.h"

namespace mlpc::lowering {
namespace {

using ir::Dim;

class Binder {
 public:
  explicit Binder(const Extents& extents) : extents_(extents) {}

  void bind(Dim& dim) const { dim = with_numbers(dim, extents_); }

  void bind(ir::Kernel& kernel) {
    greatest_.clear();
    for (ir::KernelBuffer& buffer : kernel.buffers)
      for (Dim& extent : buffer.type.shape) bind(extent);
    bind(kernel.body);
  }

 private:
  void bind(ir::AffineIndex& index) const {
    bind(index.constant);
    for (ir::AffineIndex::Term& term : index.terms) bind(term.coefficient);
    std::erase_if(index.terms, [](const auto& term) { return term.coefficient == Dim(0); });
  }
  void bind(std::vector<ir::AffineIndex>& indexes) const {
    for (ir::AffineIndex& index : indexes) bind(index);
  }

  void bind(ir::Block& block) {
    for (ir::Statement& statement : block) std::visit([&](auto& kind) { bind(kind); }, statement.kind);
  }

  void bind(ir::Let&) const {}
  void bind(ir::IndexValue& value) const { bind(value.index); }
  void bind(ir::Load& load) const { bind(load.index); }
  void bind(ir::Store& store) const { bind(store.index); }
  void bind(ir::Loop& loop) {
    open(loop.var, loop.extent);
    if (loop.limit) {
      bind(loop.limit->first);
      bind(loop.limit->end);
      if (holds_everywhere(loop)) loop.limit.reset();
    }
    bind(loop.body);
  }
  void bind(ir::Reduce& reduce) {
    for (ir::Reduce::Range& range : reduce.ranges) open(range.var, range.extent);  // clips are numbers anyhow
    bind(reduce.body);
  }
  void bind(ir::Recurrence& recurrence) {
    open(recurrence.var, recurrence.extent);
    bind(recurrence.body);
  }

  void open(ir::VarId var, Dim& extent) {
    bind(extent);
    greatest_[var] = extent - Dim(1);
  }

  /// Whether no turn is at the loop's limit or behind it.
  bool holds_everywhere(const ir::Loop& loop) const {
    Dim last = loop.limit->first.constant + greatest_.at(loop.var);
    for (const auto& [var, coefficient] : loop.limit->first.terms) {
      if (!coefficient.is_constant() || coefficient.constant().value() < 0) return false;
      last = last + coefficient * greatest_.at(var);
    }
    const std::optional<std::int64_t> left = (loop.limit->end - last).constant();
    return left && *left > 0;
  }

  const Extents& extents_;
  std::map<ir::VarId, Dim> greatest_;  // the variables' values in their last turns
};

class Specializer {
 public:
  Specializer(ir::KernelProgram& program, const Extents& extents)
      : kernels_(program.kernels), table_(program.kernels), binder_(extents) {}

  /// None where they are the same at all extents.
  std::vector<ir::Action> run(const ir::LoweredEntry& entry) {
    has_changed_ = false;
    std::vector<ir::Action> out = run(entry.actions);
    return has_changed_ ? out : std::vector<ir::Action>();
  }

 private:
  std::vector<ir::Action> run(const std::vector<ir::Action>& actions) {
    std::vector<ir::Action> out;
    for (const ir::Action& action : actions) {
      ir::Action copy = action;
      if (std::visit([&](auto& kind) { return specialize(kind); }, copy.kind)) out.push_back(std::move(copy));
    }
    return out;
  }

  // They return whether there is anything to do.

  bool specialize(ir::KernelCall& call) {
    if (call.guard) {
      bind(call.guard->extent);
      if (const auto extent = call.guard->extent.constant()) {
        if ((*extent >= call.guard->least) == call.guard->negated) return false;
        call.guard.reset();
      }
    }
    const std::uint32_t bound = bound_kernel(call.kernel);
    has_changed_ |= bound != std::exchange(call.kernel, bound);
    for (ir::BufferRef& ref : call.buffers) bind(ref);
    return true;
  }

  bool specialize(ir::FiniteCheck& check) {
    bind(check.value);
    return true;
  }

  bool specialize(ir::TurnLoop& loop) {
    bind(loop.length);
    loop.actions = run(loop.actions);
    return !loop.actions.empty();
  }

  bool specialize(ir::Phase& phase) {
    phase.actions = run(phase.actions);
    return !phase.actions.empty();
  }

  static bool specialize(ir::Specialization&) { return false; }

  std::uint32_t bound_kernel(std::uint32_t k) {
    const auto [it, is_new] = bound_kernels_.try_emplace(k);
    if (is_new) {
      ir::Kernel kernel = kernels_[k];
      binder_.bind(kernel);
      it->second = table_.add(std::move(kernel));
    }
    return it->second;
  }

  void bind(Dim& dim) {
    const Dim before = dim;
    binder_.bind(dim);
    has_changed_ |= dim != before;
  }

  void bind(ir::BufferRef& ref) {
    for (ir::TurnOffset& offset : ref.offsets) {
      bind(offset.length);
      bind(offset.bytes);
    }
  }

  std::vector<ir::Kernel>& kernels_;
  KernelTable table_;
  Binder binder_;
  std::map<std::uint32_t, std::uint32_t> bound_kernels_;  // equal layers call the same kernel
  bool has_changed_ = false;                              // in the entry
};

bool is_specialized(const ir::LoweredEntry& entry, const Extents& extents) {
  return std::ranges::any_of(entry.actions, [&](const ir::Action& action) {
    const auto* special = std::get_if<ir::Specialization>(&action.kind);
    return special && special->dims == extents;
  });
}

void check(const Extents& extents, const std::vector<std::string>& dims) {
  for (auto it = extents.begin(); it != extents.end(); ++it) {
    if (std::ranges::find(dims, it->first) == dims.end())
      fail("cannot specialize: there is no free dim `{}`", it->first);
    if (std::find_if(extents.begin(), it, [&](const auto& other) { return other.first == it->first; }) != it)
      fail("cannot specialize: `{}` is given twice", it->first);
    if (it->second < 1) fail("cannot specialize: `{}` has the extent {}", it->first, it->second);
  }
}

}  // namespace

Dim with_numbers(const Dim& dim, const Extents& extents) {
  return dim.with([&](std::string_view name) -> std::optional<std::int64_t> {
    const auto found = std::ranges::find(extents, name, &Extents::value_type::first);
    return found == extents.end() ? std::nullopt : std::optional(found->second);
  });
}

void specialize(ir::KernelProgram& program, const Extents& extents) {
  if (extents.empty()) return;
  check(extents, program.header.dims);
  Specializer specializer(program, extents);
  for (ir::LoweredEntry& entry : program.entries) {
    if (is_specialized(entry, extents)) continue;
    std::vector<ir::Action> actions = specializer.run(entry);
    if (actions.empty()) continue;
    dissolve_phases(actions, program.kernels);
    entry.actions.insert(entry.actions.begin(), {ir::Specialization{extents, std::move(actions)}});
    give_rooms(entry, program.kernels);
  }
}

}  // namespace mlpc::lowering
