#pragma once

#include <vector>

#include "ir/kernel.h"
#include "ir/target.h"

namespace mlpc::lowering {

/// Makes phases of loops over turns whose kernels can all be cut into tasks of the same rows: each task then
/// goes through all turns, and none waits for another one.
///   kernels: one for each call; those in phases are cut anew
void form_phases(std::vector<ir::Action>& actions, std::vector<ir::Kernel>& kernels,
                 const ir::Target& target);

/// Makes phases of calls that follow each other (gather_rows.h): each task takes some rows through all of
/// them, whose values are then read from its own cache, and tasks meet once.
///   parts_join: sums of parts of rows (row_parts.h) may be in them, whose tasks have as many rows as a part;
///     else tasks have fewer, so that a small batch is several
void form_row_phases(std::vector<ir::Action>& actions, std::vector<ir::Kernel>& kernels,
                     const ir::Target& target, bool parts_join);

/// Makes phases of calls that follow each other and compute, for each of a batch, what is larger than all
/// that goes in and comes out: the scores of attention. Each task is one of the batch, so that what it
/// computes needs room once a worker (task_rooms.h), and is near when it is read.
void form_batch_phases(std::vector<ir::Action>& actions, std::vector<ir::Kernel>& kernels,
                       const ir::Target& target);

/// Phases whose kernels are not cut into the same tasks any more are none: their kernels meet again.
void dissolve_phases(std::vector<ir::Action>& actions, const std::vector<ir::Kernel>& kernels);

}  // namespace mlpc::lowering
