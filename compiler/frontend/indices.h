#pragma once

#include <optional>
#include <span>
#include <vector>

#include "compiler/frontend/elaborator.h"

// Numbers that depend on indices, and tensors at indices.

namespace mlpc::frontend {

using IndexVariables = std::vector<const IndexVariable*>;

/// A compile-time integer, a dim or an Affine as an Affine; nullopt for anything else.
std::optional<Affine> affine_of(const Value& v);
Affine operator+(Affine a, const Affine& b);
Affine operator*(Affine a, std::int64_t factor);

/// Whether a value differs from index to index of index notation.
bool is_indexed(const Value& v);
/// a op b where one of them depends on indices; nullopt where none does.
std::optional<Value> index_binary(Elaborator& el, const std::string& op, const Value& a, const Value& b,
                                  const Expr* ea, const Expr* eb, Span span);
/// The number at this place as a tensor of rank 0: of a `recur`'s time.
ir::ValueId number_at(Elaborator& el, const Affine& a, Span span, ir::ElementType type);

/// The indices that any of the values has, in order of first occurrence.
IndexVariables indices_of(std::span<const Value> values);
ir::Shape extents_of(const IndexVariables& variables);
/// The value at each of `variables`, which include its own: one axis each. Numbers and tensors of rank 0 stay
/// as they are.
Value spread(Elaborator& el, const Value& v, const IndexVariables& variables, Span span);

/// The first index that a piece of source names.
const IndexVariable* index_named_in(const Expr& e, Scope& scope);

}  // namespace mlpc::frontend
