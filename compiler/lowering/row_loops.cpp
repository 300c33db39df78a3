#include "compiler/lowering/row_loops.h"

#include <algorithm>
#include <map>
#include <span>

namespace mlpc::lowering {
namespace {

using ir::Dim;

/// How the turns of a loop, or of a nest, touch the kernel's buffers.
class RowFinder {
 public:
  RowFinder(const ir::Kernel& kernel, std::span<const ir::Loop* const> loops)
      : kernel_(kernel), loops_(loops), rows_(kernel.buffers.size()), is_mixed_(kernel.buffers.size()) {}

  std::vector<std::optional<OwnRows>> run() {
    block(kernel_.body);
    std::vector<std::optional<OwnRows>> out;
    for (std::size_t i = 0; i < rows_.size(); ++i) out.push_back(own_rows(i));
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
    std::optional<Rows>& known = rows_[buffer.index];
    const std::optional<Rows> rows = rows_of(kernel_.buffers[buffer.index].type.shape, index);
    if (!rows || (known && *known != *rows)) is_mixed_[buffer.index] = true;
    known = rows;
  }

  /// The rows of a turn: along which axis, of a nest along the first of which axes, and how many.
  struct Rows {
    std::size_t axis;
    std::int64_t count;
    friend bool operator==(const Rows&, const Rows&) = default;
  };

  std::optional<Rows> rows_of(const ir::Shape& shape, const std::vector<ir::AffineIndex>& index) const {
    std::optional<Rows> found = rows_of(*loops_.front(), shape, index);
    if (!found || (loops_.size() > 1 && found->count != 1)) return std::nullopt;
    for (std::size_t i = 1; i < loops_.size(); ++i)
      if (rows_of(*loops_[i], shape, index) != Rows{found->axis + i, 1}) return std::nullopt;
    return found;
  }

  /// Where one axis alone has the loop's variable.
  std::optional<Rows> rows_of(const ir::Loop& loop, const ir::Shape& shape,
                              const std::vector<ir::AffineIndex>& index) const {
    std::optional<Rows> found;
    for (std::size_t axis = 0; axis < index.size(); ++axis) {
      const auto term = std::ranges::find(index[axis].terms, loop.var, &ir::AffineIndex::Term::var);
      if (term == index[axis].terms.end()) continue;
      const std::int64_t count = term->coefficient.constant().value_or(0);
      if (found || count < 1 || !are_own(loop, index[axis], shape[axis], count)) return std::nullopt;
      found = Rows{axis, count};
    }
    return found;
  }

  /// count * turn + r with 0 <= r < count.
  bool are_own(const ir::Loop& loop, const ir::AffineIndex& index, const Dim& extent,
               std::int64_t count) const {
    if (index.scalar || index.constant != Dim(0) || Dim::floordiv(extent, count) != loop.extent) return false;
    if (count == 1) return index.terms.size() == 1;
    const auto is_within = [&](const ir::AffineIndex::Term& term) {
      if (term.var == loop.var) return true;
      const auto other = extents_.find(term.var);
      return term.coefficient == Dim(1) && other != extents_.end() && other->second == Dim(count);
    };
    return index.terms.size() == 2 && std::ranges::all_of(index.terms, is_within);
  }

  std::optional<OwnRows> own_rows(std::size_t buffer) const {
    if (is_mixed_[buffer] || !rows_[buffer]) return std::nullopt;
    const ir::Type& type = kernel_.buffers[buffer].type;
    const auto [axis, count] = *rows_[buffer];
    Dim bytes = Dim(count) * Dim(ir::size_of(type.element));
    for (std::size_t behind = axis + loops_.size(); behind < type.rank(); ++behind)
      bytes = bytes * type.shape[behind];
    const bool is_leading = std::ranges::all_of(std::span(type.shape).first(axis),
                                                [](const Dim& extent) { return extent == Dim(1); });
    return OwnRows{bytes, is_leading};
  }

  const ir::Kernel& kernel_;
  std::span<const ir::Loop* const> loops_;  // outermost first
  std::map<ir::VarId, Dim> extents_;        // of the loops and sums around what is visited
  std::vector<std::optional<Rows>> rows_;   // by buffer
  std::vector<bool> is_mixed_;
};

/// A kernel's only loop, the only one in that, … as far as their extents are those of all their turns.
std::vector<const ir::Loop*> only_loops(const ir::Kernel& kernel) {
  std::vector<const ir::Loop*> out;
  const ir::Block* block = &kernel.body;
  while (const ir::Loop* loop = only_loop(*block)) {
    if (loop->limit) break;  // it is within a chunk of rows
    out.push_back(loop);
    block = &loop->body;
  }
  return out;
}

}  // namespace

std::vector<RowLoop> row_loops(const ir::Kernel& kernel) {
  std::vector<RowLoop> out;
  std::vector<ir::TaskSplit> around;
  for (const ir::Loop* loop : only_loops(kernel)) {
    out.push_back({{loop->extent}, loop->extent, around, loop->var, RowFinder(kernel, {&loop, 1}).run()});
    const std::int64_t turns = loop->extent.constant().value_or(0);
    if (turns < 1) break;
    around.push_back({loop->var, turns});
  }
  return out;
}

std::vector<RowLoop> row_nests(const ir::Kernel& kernel) {
  std::vector<RowLoop> out;
  const std::vector<const ir::Loop*> loops = only_loops(kernel);
  RowLoop nest{{}, 1};
  for (std::size_t depth = 1; depth <= loops.size(); ++depth) {
    const ir::Loop& loop = *loops[depth - 1];
    nest.extents.push_back(loop.extent);
    nest.extent = nest.extent * loop.extent;
    nest.var = loop.var;
    nest.rows = RowFinder(kernel, std::span(loops).first(depth)).run();
    if (depth > 1) out.push_back(nest);
    nest.around.push_back({loop.var, 1});
  }
  return out;
}

}  // namespace mlpc::lowering
