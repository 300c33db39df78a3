#pragma once

#include <vector>

#include "compiler/frontend/elaborator.h"

namespace mlpc::frontend {

/// Makes one `scan` of each loop whose turns are equal, innermost loops first; parameters and states that are
/// one thing in each turn become one, "block[*].W", with a leading axis of turns. A parameter is in one
/// tensor in all graphs, so either all of them read it in turns of such loops only, or all keep their loops
/// unrolled.
///   is_frozen : by parameter; a stack is wholly frozen or not at all
/// Returns whether there was such a loop.
bool roll_up(Elaborator& el, const std::vector<Target*>& targets, std::vector<bool>& is_frozen);

}  // namespace mlpc::frontend
