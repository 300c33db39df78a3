#include "compiler/lowering/row_loops.h"

#include <algorithm>

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
            if constexpr (requires { kind.body; }) block(kind.body);
          },
          statement.kind);
  }

  void access(ir::BufferId buffer, const std::vector<ir::AffineIndex>& index) {
    std::optional<std::size_t>& known = axes_[buffer.index];
    const std::optional<std::size_t> axis = row_axis(kernel_.buffers[buffer.index].type.shape, index);
    if (!axis || (known && *known != *axis)) is_mixed_[buffer.index] = true;
    known = axis;
  }

  /// Where the index is the loop's variable, which no other axis has.
  std::optional<std::size_t> row_axis(const ir::Shape& shape,
                                      const std::vector<ir::AffineIndex>& index) const {
    std::optional<std::size_t> found;
    for (std::size_t axis = 0; axis < index.size(); ++axis) {
      if (std::ranges::find(index[axis].terms, loop_.var, &ir::AffineIndex::Term::var) ==
          index[axis].terms.end())
        continue;
      if (found || index[axis] != ir::AffineIndex::of(loop_.var) || shape[axis] != loop_.extent)
        return std::nullopt;
      found = axis;
    }
    return found;
  }

  std::optional<Dim> bytes(std::size_t buffer) const {
    if (is_mixed_[buffer] || !axes_[buffer]) return std::nullopt;
    const ir::Type& type = kernel_.buffers[buffer].type;
    Dim bytes = ir::size_of(type.element);
    for (std::size_t axis = *axes_[buffer] + 1; axis < type.rank(); ++axis) bytes = bytes * type.shape[axis];
    return bytes;
  }

  const ir::Kernel& kernel_;
  const ir::Loop& loop_;
  std::vector<std::optional<std::size_t>> axes_;
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
