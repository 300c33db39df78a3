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
  std::vector<ir::ElementType> type_of;           // by scalar
  std::vector<VarSet> vars_of;                    // by scalar: the variables that its value depends on
  std::map<const ir::Block*, VarSet> vars_in;     // what anything computed or stored in a block depends on
  VarSet limiting_vars;                           // which a limit reads: their loops run turn by turn
  std::map<std::uint32_t, std::int64_t> extents;  // of loops, by variable, where it is constant
  double statements = 0;                          // after unrolling, at most: a guess of the code's size
};

/// Kernels come from files too: throws mlpc::Error, with the kernel's name, for one that is ill-formed or
/// whose unrolling would make code without bounds.
KernelFacts check_kernel(const ir::Kernel& kernel);

/// The one variable of the sum that a clip reads, and its coefficient.
const ir::AffineIndex::Term& own_term(const ir::Reduce& reduce, const ir::Reduce::Clip& clip);

/// Instances of a jammed loop that a clip leaves.
struct LiveTurns {
  int begin, end;
};

/// Which of `count` jammed turns a clip may leave, in the order in which the sum's turns leave them; empty if
/// that is not known, or if none ever are.
std::vector<LiveTurns> live_parts(const KernelFacts& facts, const ir::Reduce& reduce,
                                  const ir::Reduce::Clip& clip, ir::VarId jammed, int count);

/// The variables in an index apart from those behind its scalar.
VarSet vars_of(const ir::AffineIndex& index);

}  // namespace mlpc::codegen
