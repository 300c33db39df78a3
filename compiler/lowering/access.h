#pragma once

#include <optional>
#include <span>
#include <vector>

#include "ir/graph.h"
#include "ir/kernel.h"

namespace mlpc::lowering {

/// Whether the op only reads its operand under another index, so that it costs nothing in a kernel.
bool is_layout(ir::Op op);

/// Operand index at which result element `index` of a one-operand layout node stands; nullopt where that is
/// not affine (a reshape that merges axes: its operand has to be a buffer, which is then viewed in the new
/// shape).
std::optional<std::vector<ir::AffineIndex>> operand_index(const ir::Graph& graph, const ir::Node& node,
                                                          std::span<const ir::AffineIndex> index);

/// Whether `operand_index` has an answer whatever the index.
bool has_affine_index(const ir::Graph& graph, const ir::Node& node);

/// How many leading axes of the result are the operand's leading axes, element for element.
std::size_t kept_prefix(const ir::Graph& graph, const ir::Node& node);

}  // namespace mlpc::lowering
