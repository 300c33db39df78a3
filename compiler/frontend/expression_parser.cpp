#include "compiler/frontend/expression_parser.h"

namespace mlpc::frontend {

ExprPtr ExpressionParser::node(Expr::Kind kind, Span span, std::string text) const {
  auto e = std::make_unique<Expr>();
  e->kind = kind;
  e->span = span;
  e->text = std::move(text);
  return e;
}

void ExpressionParser::take(Expr& out, ExprPtr child) {
  grow(out, *child);
  out.operands.push_back(std::move(child));
}

void ExpressionParser::grow(Expr& out, const Expr& child) {
  constexpr int kHighest = 300;
  out.height = std::max(out.height, child.height + 1);
  if (out.height > kHighest) error("this expression is nested too deeply", child.span, {}, "too-deep");
}

Span ExpressionParser::joined(const Expr& a, const Expr& b) { return {a.span.begin, b.span.end}; }

ExprPtr ExpressionParser::hole() { return node(Expr::Kind::hole, next().span); }

ExprPtr ExpressionParser::tuple() {
  ExprPtr first = expression();
  if (!at(",")) return first;
  ExprPtr out = node(Expr::Kind::tuple, first->span);
  take(*out, std::move(first));
  while (accept(",")) take(*out, expression());
  out->span.end = out->operands.back()->span.end;
  return out;
}

ExprPtr ExpressionParser::range() {
  ExprPtr first = expression();
  if (!accept("..")) return first;
  ExprPtr second = expression();
  ExprPtr out = node(Expr::Kind::range, joined(*first, *second));
  take(*out, std::move(first));
  take(*out, std::move(second));
  return out;
}

ExprPtr ExpressionParser::binary(std::string_view op, ExprPtr a, ExprPtr b) {
  ExprPtr out = node(Expr::Kind::binary, joined(*a, *b), std::string(op));
  take(*out, std::move(a));
  take(*out, std::move(b));
  return out;
}

ExprPtr ExpressionParser::expression() {
  const Depth depth(*this);
  ExprPtr left = either();
  while (accept("|>")) {
    ExprPtr right = either();
    if (accept("as")) right = named(std::move(right));
    left = binary("|>", std::move(left), std::move(right));
  }
  if (accept("as")) left = named(std::move(left));
  return left;
}

ExprPtr ExpressionParser::named(ExprPtr inner) {
  const Token t = name("a name");
  ExprPtr out = node(Expr::Kind::named, {inner->span.begin, t.span.end}, std::string(t.text));
  take(*out, std::move(inner));
  return out;
}

ExprPtr ExpressionParser::either() {
  ExprPtr left = both();
  while (accept("or")) left = binary("or", std::move(left), both());
  return left;
}

ExprPtr ExpressionParser::both() {
  ExprPtr left = negation();
  while (accept("and")) left = binary("and", std::move(left), negation());
  return left;
}

ExprPtr ExpressionParser::negation() {
  if (!at("not")) return comparison();
  const Depth depth(*this);
  const Token t = next();
  ExprPtr inner = negation();
  ExprPtr out = node(Expr::Kind::unary, {t.span.begin, inner->span.end}, "not");
  take(*out, std::move(inner));
  return out;
}

bool ExpressionParser::at_comparison() const {
  return at("==") || at("!=") || at("<") || at("<=") || at(">") || at(">=");
}

ExprPtr ExpressionParser::comparison() {
  ExprPtr left = sum();
  if (!at_comparison()) return left;
  const Token op = next();
  left = binary(op.text, std::move(left), sum());
  if (at_comparison())
    error("comparisons do not chain", now().span, {}, "syntax-error", "write `a < b and b < c`");
  return left;
}

ExprPtr ExpressionParser::sum() {
  ExprPtr left = product();
  while (at("+") || at("-")) {
    const Token op = next();
    left = binary(op.text, std::move(left), product());
  }
  return left;
}

/// Index notation: `sum(k) a[i, k] * b[k, j]` goes on where a call would have ended.
bool ExpressionParser::at_summand(const Expr& left) const {
  return binds_indices(left) && (now().kind == TokenKind::name || now().kind == TokenKind::number || at("("));
}

/// sum(k, u in 0..3): what it gives could not be called.
bool ExpressionParser::binds_indices(const Expr& e) {
  const auto is_binder = [](const Argument& a) {
    const bool is_range = a.value->kind == Expr::Kind::binary && a.value->text == "in";
    return a.name.empty() && (a.value->kind == Expr::Kind::name || is_range);
  };
  return e.kind == Expr::Kind::call && e.operands[0]->kind == Expr::Kind::name &&
         e.operands[0]->text == "sum" && !e.arguments.empty() && std::ranges::all_of(e.arguments, is_binder);
}

ExprPtr ExpressionParser::product() {
  ExprPtr left = signed_factor();
  if (at_summand(*left)) {
    const Depth depth(*this);
    ExprPtr right = product();
    ExprPtr out = node(Expr::Kind::index_sum, joined(*left, *right));
    take(*out, std::move(left));
    take(*out, std::move(right));
    return out;
  }
  while (at("@") || at("*") || at("/") || at("//") || at("%")) {
    const Token op = next();
    left = binary(op.text, std::move(left), signed_factor());
  }
  return left;
}

ExprPtr ExpressionParser::signed_factor() {
  if (!at("-")) return power();
  const Depth depth(*this);
  const Token t = next();
  ExprPtr inner = signed_factor();
  ExprPtr out = node(Expr::Kind::unary, {t.span.begin, inner->span.end}, "-");
  take(*out, std::move(inner));
  return out;
}

ExprPtr ExpressionParser::power() {
  ExprPtr base = postfix();
  if (!accept("^")) return base;
  const Depth depth(*this);
  return binary("^", std::move(base), signed_factor());
}

ExprPtr ExpressionParser::postfix() {
  ExprPtr e = primary();
  for (;;) {
    if (at("(")) {
      if (binds_indices(*e)) return e;
      e = call(std::move(e));
    } else if (at("[")) {
      e = subscripted(std::move(e));
    } else if (at(".") && peek().kind == TokenKind::name) {
      next();
      const Token t = next();
      ExprPtr out = node(Expr::Kind::member, {e->span.begin, t.span.end}, std::string(t.text));
      take(*out, std::move(e));
      e = std::move(out);
    } else {
      return e;
    }
  }
}

ExprPtr ExpressionParser::call(ExprPtr callee) {
  const Token open = next();
  ExprPtr out = node(Expr::Kind::call, callee->span);
  take(*out, std::move(callee));
  while (!at(")") && !at_end()) {
    if (!out->arguments.empty()) expect(",");
    out->arguments.push_back(argument(*out));
    grow(*out, *out->arguments.back().value);
    if (!at(",") && !at(")")) break;
  }
  out->span.end = now().span.end;
  close(")", open);
  return out;
}

Argument ExpressionParser::argument(const Expr& call) {
  Argument a{{}, now().span, nullptr};
  const bool is_word = now().kind == TokenKind::name || now().kind == TokenKind::keyword;
  if (is_word && peek().is("=")) {
    a.name = next().text;
    next();
  } else if (std::ranges::any_of(call.arguments, [](const Argument& b) { return !b.name.empty(); })) {
    error("a positional argument stands after a named one", now().span);
  }
  a.value = at("_") ? hole() : expression();
  if (accept("in")) a.value = binary("in", std::move(a.value), range());  // sum(u in 0..3)
  return a;
}

ExprPtr ExpressionParser::subscripted(ExprPtr base) {
  const Token open = next();
  ExprPtr out = node(Expr::Kind::index, base->span);
  take(*out, std::move(base));
  while (!at("]") && !at_end()) {
    if (!out->subscripts.empty()) expect(",");
    out->subscripts.push_back(subscript());
    const Subscript& s = out->subscripts.back();
    for (const ExprPtr* part : {&s.begin, &s.end, &s.step})
      if (*part) grow(*out, **part);
    if (!at(",") && !at("]")) break;
  }
  out->span.end = now().span.end;
  close("]", open);
  return out;
}

Subscript ExpressionParser::subscript() {
  Subscript s{Subscript::Kind::index, now().span, nullptr, nullptr, nullptr};
  if (accept("..")) {
    s.kind = Subscript::Kind::ellipsis;
  } else if (accept("_")) {
    s.kind = Subscript::Kind::new_axis;
  } else {
    if (!at(":")) s.begin = expression();
    if (accept(":")) {
      s.kind = Subscript::Kind::slice;
      if (!at(",") && !at("]") && !at(":")) s.end = expression();
      if (accept(":")) s.step = expression();
      if (!s.begin && !s.end && !s.step) s.kind = Subscript::Kind::all;
    }
  }
  s.span.end = tokens_[at_ - 1].span.end;
  return s;
}

std::string ExpressionParser::unquoted(const Token& t) {
  const std::string_view text = t.text;
  return std::string(text.substr(1, text.size() - (text.size() > 1 && text.back() == '"' ? 2 : 1)));
}

ExprPtr ExpressionParser::primary() {
  const Token t = now();
  switch (t.kind) {
    case TokenKind::number:
      return node(Expr::Kind::number, next().span, std::string(t.text));
    case TokenKind::string:
      return node(Expr::Kind::string, next().span, unquoted(t));
    case TokenKind::name:
      return node(Expr::Kind::name, next().span, std::string(t.text));
    default:
      break;
  }
  if (at("true") || at("false")) return node(Expr::Kind::boolean, next().span, std::string(t.text));
  if (at("inf")) return node(Expr::Kind::infinity, next().span);
  if (at("training")) return node(Expr::Kind::training, next().span);
  // Library functions that share a keyword: `repeat(n, block)`, `noise`-free.
  if (at("repeat")) return node(Expr::Kind::name, next().span, "repeat");
  if (at("loss")) return node(Expr::Kind::name, next().span, "loss");
  if (at("if")) return conditional();
  if (at("(")) {
    next();
    ExprPtr inner = tuple();
    close(")", t);
    inner->span = {t.span.begin, tokens_[at_ - 1].span.end};
    return inner;
  }
  if (at("[")) return list();
  if (at("{")) return record();
  unexpected("an expression", at("//") ? "a comment begins with `#`" : "");
}

ExprPtr ExpressionParser::list() {
  const Token open = next();
  ExprPtr out = node(Expr::Kind::list, open.span);
  while (!at("]") && !at_end()) {
    if (!out->operands.empty()) expect(",");
    if (at("..")) {
      take(*out, node(Expr::Kind::hole, next().span, ".."));
    } else {
      take(*out, expression());
    }
    if (!at(",") && !at("]")) break;
  }
  out->span.end = now().span.end;
  close("]", open);
  return out;
}

ExprPtr ExpressionParser::record() {
  const Token open = next();
  ExprPtr out = node(Expr::Kind::record, open.span);
  if (!at("}") && (now().kind != TokenKind::name || !peek().is(":")))
    error("expected an expression, found `{`", open.span, {}, "syntax-error",
          "braces hold the branches of an `if`, or named numbers, `{N: 256}`");
  while (!at("}") && !at_end()) {
    if (!out->arguments.empty()) expect(",");
    const Token t = name("a name");
    expect(":");
    out->arguments.push_back({std::string(t.text), t.span, expression()});
    grow(*out, *out->arguments.back().value);
    if (!at(",") && !at("}")) break;
  }
  out->span.end = now().span.end;
  close("}", open);
  return out;
}

ExprPtr ExpressionParser::conditional() {
  const Depth depth(*this);
  ExprPtr out = node(Expr::Kind::conditional, next().span);
  take(*out, expression());
  take(*out, braced());
  if (!at("else")) unexpected("`else`", "an `if` in an expression has two branches: `if c { a } else { b }`");
  next();
  take(*out, at("if") ? conditional() : braced());
  out->span.end = out->operands.back()->span.end;
  return out;
}

ExprPtr ExpressionParser::braced() {
  const Token open = open_brace();
  skip_newlines();
  ExprPtr inner = tuple();
  skip_newlines();
  close("}", open);
  return inner;
}

}  // namespace mlpc::frontend
