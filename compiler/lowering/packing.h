#pragma once

#include <optional>

#include "ir/graph.h"

namespace mlpc::lowering {

/// The operand of a contraction whose columns run in lanes, [depth, columns], where it pays to copy panel
/// after panel of it to a place where a panel's rows follow each other: its own rows lie a large power of two
/// of bytes apart, and so in few sets of the caches; or it is a transposed view, whose columns have to be
/// turned anyway.
struct Packing {
  std::size_t operand;  // of the contraction
  ir::Dim depth, columns;
};

/// Nullopt where packing does not pay. Requires that prepare() put the column last.
std::optional<Packing> packing_of(const ir::Graph& graph, ir::ValueId contraction);

}  // namespace mlpc::lowering
