#pragma once

#include <optional>

#include "compiler/frontend/elaborator.h"

// S[b, i, j] = sum(k) Q[b, i, k] * K[b, j, k]: an expression is elaborated at all indices at once, as a
// tensor with an axis for each index that it depends on (`Indexed`).

namespace mlpc::frontend {

/// Whether a statement assigns to a name at indices.
bool is_index_assignment(const Stmt& s, Scope& scope);
void assign_at_indices(Elaborator& el, const Stmt& s, Scope* scope);

/// sum(k) …, where k names nothing: also `sum(k) -a[k]`, which reads like a difference.
bool is_index_sum(const Expr& e, Scope& scope);
Value sum_over_indices(Elaborator& el, const Expr& e, Scope* scope);

/// x[i + u, 2*j]; nullopt where no subscript is an index.
std::optional<Value> at_indices(Elaborator& el, const Expr& e);

}  // namespace mlpc::frontend
