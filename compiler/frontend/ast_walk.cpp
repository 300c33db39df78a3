#include "compiler/frontend/ast_walk.h"

namespace mlpc::frontend {
namespace {

void walk(const ExprPtr& e, const std::function<void(const Expr&)>& f) {
  if (e) for_each_expression(*e, f);
}

}  // namespace

void for_each_expression(const Expr& e, const std::function<void(const Expr&)>& f) {
  f(e);
  for (const ExprPtr& operand : e.operands) walk(operand, f);
  for (const Argument& a : e.arguments) walk(a.value, f);
  for (const Subscript& s : e.subscripts)
    for (const ExprPtr* part : {&s.begin, &s.end, &s.step}) walk(*part, f);
}

void for_each_expression(const Block& block, const std::function<void(const Expr&)>& f) {
  for (const Stmt& s : block) {
    for (const auto* formals : {&s.formals, &s.inputs})
      for (const Formal& formal : *formals) walk(formal.initial, f);
    for (const ExprPtr& t : s.targets) walk(t, f);
    walk(s.value, f);
    for_each_expression(s.body, f);
    for_each_expression(s.otherwise, f);
  }
}

}  // namespace mlpc::frontend
