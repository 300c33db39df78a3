#pragma once

#include "compiler/lowering/group.h"

namespace mlpc::lowering {

/// Puts the groups of a narrow net into an order in which those that run over the same rows follow each
/// other, so that phases can take some rows through many kernels (phases.h): sums over all rows, and what
/// needs them, wait until the rows are done. A net is narrow where a row's work reads so little of weights
/// that it could not be tasks of its own; for others, sums would read from afar what has just been written.
///
/// Sets Grouping::is_gathered where it did anything.
void gather_rows(const ir::Graph& graph, Grouping& grouping);

}  // namespace mlpc::lowering
