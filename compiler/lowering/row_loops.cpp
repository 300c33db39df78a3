#include "compiler/lowering/row_loops.h"

#include <algorithm>
#include <map>

namespace mlpc::lowering {
namespace {

using ir::Dim;

/// How the turns of one loop touch the kernel's buffers.
class RowFinder {
 public:
  RowFinder(const ir::Kernel& kernel, const ir::Loop& loop)
      : kernel_(kernel), loop_(loop), axes_(kernel.buffers.size()), is_mixed_(kernel.buffers.size()) {}

  std::vector<std::optional<Dim>> run() {
    block(kernel_.body);
    std::vector<std::optional<Dim>> out;
    for (std::size_t i = 0; i < axes_.size(); ++i) out.push_back(bytes(i));
    return out;
  }

 private:
  void block(const ir::Block& statements) {
    for (const ir::Statement& statement : statements)
      std::visit(
          [&](const auto& kind) {
            if constexpr (requires { kind.buffer; }) access(kind.buffer, kind.index);
            if constexpr (requires { kind.ranges; })
              for (const ir::Reduce::Range& range : kind.ranges) extents_[range.var] = range.extent;
            if constexpr (requires { kind.extent; }) extents_[kind.var] = kind.extent;
            if constexpr (requires { kind.body; }) block(kind.body);
          },
          statement.kind);
  }

  void access(ir::BufferId buffer, const std::vector<ir::AffineIndex>& index) {
    std::optional<Rows>& known = axes_[buffer.index];
    const std::optional<Rows> rows = rows_of(kernel_.buffers[buffer.index].type.shape, index);
    if (!rows || (known && *known != *rows)) is_mixed_[buffer.index] = true;
    known = rows;
  }

  /// The rows of a turn: along which axis, and how many.
  struct Rows {
    std::size_t axis;
    std::int64_t count;
    friend bool operator==(const Rows&, const Rows&) = default;
  };

  /// Where one axis alone has the loop's variable.
  std::optional<Rows> rows_of(const ir::Shape& shape, const std::vector<ir::AffineIndex>& index) const {
    std::optional<Rows> found;
    for (std::size_t axis = 0; axis < index.size(); ++axis) {
      const auto term = std::ranges::find(index[axis].terms, loop_.var, &ir::AffineIndex::Term::var);
      if (term == index[axis].terms.end()) continue;
      const std::int64_t count = term->coefficient.constant().value_or(0);
      if (found || count < 1 || !are_own(index[axis], shape[axis], count)) return std::nullopt;
      found = Rows{axis, count};
    }
    return found;
  }

  /// count * turn + r with 0 <= r < count.
  bool are_own(const ir::AffineIndex& index, const Dim& extent, std::int64_t count) const {
    if (index.scalar || index.constant != Dim(0) || Dim::floordiv(extent, count) != loop_.extent)
      return false;
    if (count == 1) return index.terms.size() == 1;
    const auto is_within = [&](const ir::AffineIndex::Term& term) {
      if (term.var == loop_.var) return true;
      const auto other = extents_.find(term.var);
      return term.coefficient == Dim(1) && other != extents_.end() && other->second == Dim(count);
    };
    return index.terms.size() == 2 && std::ranges::all_of(index.terms, is_within);
  }

  std::optional<Dim> bytes(std::size_t buffer) const {
    if (is_mixed_[buffer] || !axes_[buffer]) return std::nullopt;
    const ir::Type& type = kernel_.buffers[buffer].type;
    Dim bytes = Dim(axes_[buffer]->count) * Dim(ir::size_of(type.element));
    for (std::size_t axis = axes_[buffer]->axis + 1; axis < type.rank(); ++axis)
      bytes = bytes * type.shape[axis];
    return bytes;
  }

  const ir::Kernel& kernel_;
  const ir::Loop& loop_;
  std::map<ir::VarId, Dim> extents_;  // of the loops and sums around what is visited
  std::vector<std::optional<Rows>> axes_;
  std::vector<bool> is_mixed_;
};

}  // namespace

std::vector<RowLoop> row_loops(const ir::Kernel& kernel) {
  std::vector<RowLoop> out;
  std::vector<ir::TaskSplit> around;
  const ir::Block* block = &kernel.body;
  while (const ir::Loop* loop = only_loop(*block)) {
    if (loop->limit) break;  // it is within a chunk of rows
    out.push_back({loop->var, loop->extent, around, RowFinder(kernel, *loop).run()});
    const std::int64_t turns = loop->extent.constant().value_or(0);
    if (turns < 1) break;
    around.push_back({loop->var, turns});
    block = &loop->body;
  }
  return out;
}

}  // namespace mlpc::lowering
