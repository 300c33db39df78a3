#pragma once

#include "compiler/frontend/ast.h"
#include "compiler/frontend/token_reader.h"

namespace mlpc::frontend {

/// Expressions, by recursive descent: one function a level of precedence.
class ExpressionParser : protected TokenReader {
 protected:
  using TokenReader::TokenReader;

  ExprPtr node(Expr::Kind kind, Span span, std::string text = {}) const;
  /// Makes `child` one of `out`'s operands.
  void take(Expr& out, ExprPtr child);
  /// Keeps trees so low that walks may recurse: chains make them high without any nesting.
  void grow(Expr& out, const Expr& child);
  static Span joined(const Expr& a, const Expr& b);
  ExprPtr hole();
  ExprPtr tuple();
  ExprPtr range();
  ExprPtr binary(std::string_view op, ExprPtr a, ExprPtr b);
  ExprPtr expression();
  ExprPtr named(ExprPtr inner);
  ExprPtr either();
  ExprPtr both();
  ExprPtr negation();
  bool at_comparison() const;
  ExprPtr comparison();
  ExprPtr sum();
  ExprPtr product();
  bool at_summand(const Expr& left) const;
  static bool binds_indices(const Expr& e);
  ExprPtr signed_factor();
  ExprPtr power();
  ExprPtr postfix();
  ExprPtr call(ExprPtr callee);
  Argument argument(const Expr& call);
  ExprPtr subscripted(ExprPtr base);
  Subscript subscript();
  static std::string unquoted(const Token& t);
  ExprPtr primary();
  ExprPtr list();
  ExprPtr record();
  ExprPtr conditional();
  ExprPtr braced();
};

}  // namespace mlpc::frontend
