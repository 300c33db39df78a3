#pragma once

#include <cstdint>
#include <vector>

#include "ir/graph.h"
#include "ir/target.h"

namespace mlpc::lowering {

/// How a value comes about in kernels.
enum class Kind : std::uint8_t {
  parameter,    // a buffer of the caller
  inlined,      // computed again wherever it is read: layout, sources, cheap elementwise work
  elementwise,  // computed once, by a kernel, and stored where somebody else reads it; and the next two
  reduction,
  contraction,
  cumulative,
  scatter,
  turns,  // by the kernels of a body, run once a turn
};

/// One kernel to be (or a loop over turns): members in order of computation, all within the loops over
/// `space`, which are the leading axes of every member's shape. Whatever a member reads of another member it
/// reads at the same index of the space.
struct Group {
  ir::Shape space;
  std::vector<ir::ValueId> members;
  bool is_contraction = false;  // its first member is one; the others are its epilogue, of the same shape
  bool sums_much = false;       // a contraction without an epilogue (roots.h)
  bool is_cumulative = false;   // its only member is one, whose axis is the first behind the space
  bool is_scatter = false;      // its only member adds rows; there is no space
  bool is_row_parts = false;    // the sums of its member's parts (row_parts.h), which is one of a later group
  bool is_turns = false;        // no kernel, but a loop over turns: its members are all results of one scan
};

/// Groups stand in an order in which they can run.
struct Grouping {
  static constexpr std::int32_t kNone = -1;
  std::vector<Kind> kinds;             // by value
  std::vector<std::int32_t> group_of;  // by value; kNone for parameters and inlined values
  std::vector<Group> groups;
  /// A value that a member of the group reads, though it is not computed in this turn's registers: a
  /// parameter, or another member. Of each element, the turn with that element's first `prefix` indexes reads
  /// it, and no other.
  struct Read {
    ir::ValueId value;
    std::size_t prefix;
  };
  std::vector<std::vector<Read>> reads;  // by group; a value once, the group's own members included
  /// By value: a member that reads another one at an index of its own behind the space, so that all of the
  /// other's elements there come first.
  std::vector<bool> is_turned;
  /// By value: a member that another one reads which does not share its loops behind the space, so that it is
  /// in no register any more.
  std::vector<bool> is_reloaded;
  bool is_gathered = false;  // groups over the same rows follow each other (gather_rows.h)
  /// Gathered: sums of parts of rows (row_parts.h) may run with what computes the rows. Not where another sum
  /// takes them whole, before which all of them are done anyway.
  bool parts_join = false;
};

struct GroupingOptions {
  bool fuse = true;           // false: one kernel an op
  bool has_row_parts = true;  // false: in loops over turns, where a part would be a kernel of every turn
  bool gathers_rows = false;  // of narrow nets (gather_rows.h)
  /// Of a core's own cache, where products are laid out for it.
  std::int64_t near_bytes = std::int64_t{1} << 40;
};

/// Of -O.
inline GroupingOptions grouping_options(int level, const ir::Target& target) {
  GroupingOptions options{.fuse = level > 0, .gathers_rows = level >= 2};
  if (level >= 2) options.near_bytes = std::int64_t{target.near_kib} << 10;
  return options;
}

/// Requires that composites are expanded and that results are neither parameters nor layout of something.
Grouping group_values(const ir::Graph& graph, const GroupingOptions& options);

}  // namespace mlpc::lowering
