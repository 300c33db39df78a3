#pragma once

#include "compiler/frontend/elaborator.h"

// Statements, by what they declare or do. Each binds its names in `scope`, or reports and throws Failure.

namespace mlpc::frontend {

// declarations.cpp
void declare_input(Elaborator& el, const Stmt& s, Scope* scope);
void declare_param(Elaborator& el, const Stmt& s, Scope* scope);
/// `state` and `carry`; in an optimizer a slot, of the parameter's shape unless sized.
void declare_state(Elaborator& el, const Stmt& s, Scope* scope);
/// s <- e: executed while training (a `carry` always), under stop_grad; later reads see it.
void update_state(Elaborator& el, const Stmt& s, Scope* scope);
/// `output`, `loss` and `metric`.
void declare_objective(Elaborator& el, const Stmt& s, Scope* scope);
void declare_constant(Elaborator& el, const Stmt& s, Scope* scope);

/// `noise e[B, D] ~ normal(0, 1)`: drawn while training, else 0 (noise.cpp).
void declare_noise(Elaborator& el, const Stmt& s, Scope* scope);

/// The values for the targets of an assignment: of a list, a tuple, or a tensor along its leading axis.
std::vector<Value> unpacked(Elaborator& el, const Stmt& s, const Value& value);

// loops.cpp
/// `for`: its turns one after the other.
void run_loop(Elaborator& el, const Stmt& s, Scope* scope);
/// The names that a body assigns to: those that are bound outside get a new value there.
std::set<std::string> assigned_names(const Block& body);

}  // namespace mlpc::frontend
