#pragma once

#include <span>

#include "ir/kernel.h"
#include "ir/program.h"

namespace mlpc::ir {

/// Throw mlpc::Error that names graph or kernel, value and the rule that it breaks. What passes here, later
/// phases take without looking again; a program from a file is verified when it was read.
void verify(const Program& program);
void verify(const KernelProgram& program);

/// The types of one node by its op's record, against those that it has.
void check_node_types(const OpDef& record, const Graph& graph, std::span<const ValueId> operands,
                      const Attributes& attributes, std::span<const Type> results);

}  // namespace mlpc::ir
