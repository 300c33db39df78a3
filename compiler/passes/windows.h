#pragma once

#include <string>

#include "ir/graph.h"

namespace mlpc::passes {

/// Letters of the axes that windows over v lie on, and of their taps, of the letters of all of v's axes.
std::string window_letters(const ir::Graph& graph, ir::ValueId v, std::string letters);

}  // namespace mlpc::passes
