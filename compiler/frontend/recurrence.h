#pragma once

#include "compiler/frontend/elaborator.h"

// `recur t in 0..T { … }`: one step's body, which the op `scan` runs in order.

namespace mlpc::frontend {

/// A name that has a value at each time.
struct RecurrentName {
  std::string name;
  Span span;                                    // where it is first assigned to
  Affine time;                                  // `t`
  std::map<std::int64_t, ir::ValueId> initial;  // by k: of k steps before the first, in the graph around
  std::vector<ir::ValueId> carried;             // what it was 1, 2, … steps before, in the body
  std::vector<std::uint32_t> loops;             // indexes of those among the body's loop values
  std::optional<ir::ValueId> now;
};

void run_recurrence(Elaborator& el, const Stmt& s, Scope* scope);
/// The names that its body assigns to at a time.
std::vector<std::string> names_over_time(const Stmt& recurrence);

/// h[t] = v; false where the name is none of a `recur`.
bool assign_at_time(Elaborator& el, const Expr& target, const Value& v, Scope* scope);
/// Whether a statement gives a name its values before the first step, which has been done.
bool is_initial_assignment(const Stmt& s, Scope& scope);
/// h[t-1], or x[:, t] of a tensor from outside; nullopt where no subscript is a time.
std::optional<Value> at_time(Elaborator& el, const Expr& e, Scope* scope);
[[noreturn]] void refuse_bare(Elaborator& el, const Sequence& sequence, Span span);

}  // namespace mlpc::frontend
