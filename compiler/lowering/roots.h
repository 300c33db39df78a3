#pragma once

#include <optional>
#include <vector>

#include "compiler/lowering/group.h"
#include "ir/ops/einsum.h"

namespace mlpc::lowering {

/// What each value is: computed in a kernel of its own right, or inlined where it is read. Elementwise values
/// are computed where that is needed (results, operands of contractions), or cheaper than computing them
/// again.
std::vector<Kind> classify(const ir::Graph& graph, bool fuse);

/// Whether each element of a contraction, whose result has a number of them, is the sum of so many products
/// that a pass over the result costs nothing beside it, as the gradient of a convolution's weights is. It is
/// a kernel without an epilogue then, the same one wherever it is computed.
bool sums_much(const ir::Graph& graph, ir::ValueId contraction);

/// Of the letters that a contraction sums over, in their order.
ir::Shape contracted_extents(const ir::Graph& graph, const ir::Node& contraction,
                             const ir::ops::EinsumSpec& spec);

/// The value whose elements an inlined reshape gives another shape; v itself if it is none.
ir::ValueId viewed(const ir::Graph& graph, const std::vector<Kind>& kinds, ir::ValueId v);

/// The axis along which a cumulative node runs.
std::size_t running_axis(const ir::Node& node);

/// The axis of a concat that is written part after part, inside of loops over the axes before it; nullopt for
/// every other node, and for the first axis, whose parts would be no tasks.
std::optional<std::size_t> joined_axis(const ir::Node& node);

/// The axis of a fold that its windows lie on.
std::size_t folded_axis(const ir::Node& node);

/// The axes of its operand that a reduction node takes away, ascending.
ir::Integers reduced_axes(const ir::Node& node);

}  // namespace mlpc::lowering
