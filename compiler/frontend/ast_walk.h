#pragma once

#include <functional>

#include "compiler/frontend/ast.h"

namespace mlpc::frontend {

/// Calls f for an expression and all in it, each before its parts.
void for_each_expression(const Expr& e, const std::function<void(const Expr&)>& f);
/// … for those of all statements, and of the statements in them.
void for_each_expression(const Block& block, const std::function<void(const Expr&)>& f);

}  // namespace mlpc::frontend
