#pragma once

#include <span>

#include "compiler/frontend/elaborator.h"

// Expressions that have a file of their own.

namespace mlpc::frontend {

/// A bare layer's name stands where a layer or a function is applied: an error.
void require_made(Elaborator& el, const Value& v, const Expr& e);

/// Whether an expression is `repeat(n, f)` (loops.cpp).
bool is_repeat(const Expr& e);
/// x |> repeat(n, f): f is evaluated once a turn, so that a layer is made afresh, and applied to what the
/// turn before gave.
Value run_repeat(Elaborator& el, const Expr& e, Call::Item x, Scope* scope);

/// x[:, 1:], x[.., _], items[-1] (indexing.cpp).
Value subscripted(Elaborator& el, const Expr& e, Scope* scope);
/// The part of a tensor that subscripts take; `e` is the expression that they stand in.
Value part_of_tensor(Elaborator& el, ir::ValueId x, std::span<const Subscript* const> subscripts,
                     const Expr& e, Scope* scope);

}  // namespace mlpc::frontend
