#pragma once

#include "ir/graph.h"

namespace mlpc::driver {

/// A graph in two parts, of which the second takes what stands under stop_grad, in loops too, for given.
struct HeldFixed {
  ir::Graph values;  // its results: residuals, by number
  ir::Graph graph;   // the given results; parameters: residuals, of these numbers
};
HeldFixed hold_fixed(const ir::Graph& graph);

}  // namespace mlpc::driver
