#pragma once

#include <functional>
#include <vector>

#include "ir/builder.h"

namespace mlpc::frontend {

/// What a graph that is written for one row of a stack makes of all rows; results in the graph's order. Where
/// all that it does to a row is elementwise, that is done to the stack, in place if need be; else it is the
/// body of a scan.
///   rows   : the stack's leading axes
///   all_of : what stands for a parameter of `one`: the stack, of a param, grad or slot; else the same value
std::vector<ir::ValueId> over_rows(ir::Builder& b, const ir::Graph& one, const ir::Shape& rows,
                                   const std::function<ir::ValueId(const ir::Graph::Parameter&)>& all_of);

/// The shape of a stack.
ir::Shape stacked_shape(const ir::Shape& rows, const ir::Shape& row);

}  // namespace mlpc::frontend
