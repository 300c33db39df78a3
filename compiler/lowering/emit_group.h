#pragma once

#include "compiler/lowering/group.h"
#include "compiler/lowering/storage.h"
#include "ir/kernel.h"
#include "ir/target.h"

namespace mlpc::lowering {

struct EmittedKernel {
  ir::Kernel kernel;
  std::vector<ir::BufferRef> buffers;  // by the kernel's buffers
  std::optional<ir::CallGuard> guard = std::nullopt;
};

/// What a kernel is made from.
struct EntryContext {
  const ir::Graph& graph;
  const Grouping& grouping;
  const Storage& storage;
  const ir::Target& target;
  int level;                // of -O
  std::int64_t near_bytes;  // GroupingOptions
  bool runs_once;           // as initialisation does: only its contractions are unrolled
};

/// The kernel that computes the members of a group; or two of them, of which the guards choose one.
std::vector<EmittedKernel> emit_group(const EntryContext& context, std::size_t group);
/// Whether that is X'δ whose operands are both packed (packing.h).
inline bool is_packed_gradient(const EntryContext& context, std::size_t group) {
  return context.storage.chunk_slots[group] != Storage::kNoSlot;
}
/// Whether the first one's tasks pack what they read of an operand.
bool packs_in_tasks(const EntryContext& context, std::size_t group);
/// The kernel that turns an operand of a group's contraction whose rows run in lanes.
EmittedKernel emit_turning(const EntryContext& context, std::size_t group);
/// The kernel of a group that sums parts of rows.
EmittedKernel emit_row_parts(const EntryContext& context, std::size_t group);
/// The kernel that packs the operand of a group's contraction, where that is done before it, or before the
/// turns.
EmittedKernel emit_packing(const EntryContext& context, std::size_t group);
/// The kernel that copies a stored value.
EmittedKernel emit_copy(const EntryContext& context, const Storage::Copy& copy);

}  // namespace mlpc::lowering
