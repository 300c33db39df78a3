#pragma once

#include <set>
#include <string>
#include <vector>

#include "compiler/frontend/ast.h"
#include "ir/graph.h"

namespace mlpc::frontend {

class Elaborator;

/// The names that derivatives in these blocks are taken by: targets as they are written, and names that are
/// passed to fns whose own arguments are such targets.
std::set<std::string> derivative_targets(const std::vector<const Block*>& blocks);

/// The value that a name is bound to: where derivatives are taken by the name, marked, so that uses of this
/// binding are told from uses of equal values.
ir::ValueId bound_value(Elaborator& el, const std::string& name, ir::ValueId v, bool is_formal);

}  // namespace mlpc::frontend
