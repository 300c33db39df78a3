#pragma once

#include <cstdint>
#include <map>
#include <vector>

#include "ir/kernel.h"

namespace mlpc::codegen {

/// Loop variables by index, ascending.
using VarSet = std::vector<std::uint32_t>;

void add_all(VarSet& set, const VarSet& more);
bool contains(const VarSet& set, ir::VarId var);

/// What emission needs to know of a kernel ahead of the statement it is at.
struct KernelFacts {
  std::vector<ir::ElementType> type_of;        // by scalar
  std::vector<VarSet> vars_of;                 // by scalar: the variables that its value depends on
  std::map<const ir::Block*, VarSet> vars_in;  // what anything computed or stored in a block depends on
  VarSet limiting_vars;                        // which a limit reads: their loops run turn by turn
  double statements = 0;                       // after unrolling, at most: a guess of the code's size
};

/// Kernels come from files too: throws mlpc::Error, with the kernel's name, for one that is ill-formed or
/// whose unrolling would make code without bounds.
KernelFacts check_kernel(const ir::Kernel& kernel);

/// The variables in an index apart from those behind its scalar.
VarSet vars_of(const ir::AffineIndex& index);

}  // namespace mlpc::codegen
