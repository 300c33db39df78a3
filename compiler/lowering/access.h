#pragma once

#include <optional>
#include <span>
#include <vector>

#include "ir/graph.h"
#include "ir/kernel.h"

namespace mlpc::lowering {

/// Whether the op only reads its operands under another index, so that it costs nothing in a kernel.
bool is_layout(ir::Op op);

/// 0 <= index < extent, as far as it is in doubt: what has to hold where an operand has an element.
struct Bound {
  ir::AffineIndex index;
  bool may_be_negative;
  std::optional<ir::Dim> extent;  // none: index is below it anyway
};
/// Where an operand is read for one element of a result.
struct OperandAccess {
  std::vector<ir::AffineIndex> index;
  std::vector<Bound> bounds;
};

/// Where result element `index` of a layout node stands in operand k; nullopt where that is not affine (a
/// reshape that merges axes: its operand has to be a buffer, which is then viewed in the new shape; a
/// gather).
std::optional<OperandAccess> operand_access(const ir::Graph& graph, const ir::Node& node,
                                            std::span<const ir::AffineIndex> index, std::size_t k = 0);

/// Whether `operand_access` has an answer whatever the index.
bool has_affine_index(const ir::Graph& graph, const ir::Node& node);

/// How many leading axes of a layout node's result are operand k's leading axes, element for element.
std::size_t kept_prefix(const ir::Graph& graph, const ir::Node& node, std::size_t k = 0);

}  // namespace mlpc::lowering
