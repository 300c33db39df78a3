#include "compiler/frontend/parser.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <map>

#include "compiler/frontend/lexer.h"

namespace mlpc::frontend {
namespace {

constexpr int kDeepest = 200;  // nested brackets, blocks and operators: the parser recurses

/// Ends the statement at hand; the error has been reported.
struct SyntaxError {};

class Parser {
 public:
  Parser(const SourceFile& file, Diagnostics& diagnostics)
      : file_(file), diagnostics_(diagnostics), tokens_(lex(file, diagnostics)) {}

  Block file() {
    Block out;
    statements(out, "");
    return out;
  }

 private:
  // ---- Tokens ----

  const Token& now() const { return tokens_[at_]; }
  const Token& peek(std::size_t ahead = 1) const {
    return tokens_[std::min(at_ + ahead, tokens_.size() - 1)];
  }
  bool at(std::string_view symbol) const { return now().is(symbol); }
  bool at_end() const { return now().kind == TokenKind::end; }
  Token next() {
    const Token t = now();
    if (!at_end()) ++at_;
    return t;
  }
  bool accept(std::string_view symbol) {
    if (!at(symbol)) return false;
    next();
    return true;
  }

  [[noreturn]] void error(std::string text, Span span, std::vector<Note> notes = {},
                          std::string_view id = "syntax-error") {
    diagnostics_.add({std::string(id), &file_, span, std::move(text), std::move(notes), {}});
    throw SyntaxError{};
  }
  std::string found() const {
    if (at_end()) return "the end of the file";
    if (now().kind == TokenKind::newline) return "the end of the line";
    return fmt::format("`{}`", now().text);
  }
  void expect(std::string_view symbol) {
    if (!accept(symbol)) error(fmt::format("expected `{}`, found {}", symbol, found()), now().span);
  }
  /// The closing bracket; where it is missing, the error is shown at the opening one.
  void close(std::string_view symbol, const Token& open) {
    if (accept(symbol)) return;
    error(fmt::format("`{}` is not closed: expected `{}`, found {}", open.text, symbol, found()), open.span,
          {{&file_, now().span, fmt::format("here `{}` was expected", symbol)}});
  }
  Token name(std::string_view what) {
    if (now().kind != TokenKind::name) {
      if (now().kind == TokenKind::keyword)
        error(fmt::format("expected {}, found the keyword `{}`", what, now().text), now().span);
      error(fmt::format("expected {}, found {}", what, found()), now().span);
    }
    return next();
  }
  void skip_newlines() {
    while (now().kind == TokenKind::newline || at(";")) next();
  }

  struct Depth {
    explicit Depth(Parser& p) : p_(p) {
      if (++p.depth_ > kDeepest) p.error("this is nested too deep", p.now().span, {}, "too-deep");
    }
    ~Depth() { --p_.depth_; }
    Parser& p_;
  };

  // ---- Statements ----

  void statements(Block& out, std::string_view end) {
    for (skip_newlines(); !at_end() && !(end.size() && at(end)); skip_newlines()) {
      const std::size_t before = at_;
      try {
        out.push_back(statement());
        if (!at(end.size() ? end : ";") && !at(";") && now().kind != TokenKind::newline && !at_end())
          error(fmt::format("expected the end of the statement, found {}", found()), now().span);
      } catch (const SyntaxError&) {
        if (diagnostics_.full()) {
          at_ = tokens_.size() - 1;
          return;
        }
        recover(before);
      }
    }
  }

  /// To the end of the line, and of the blocks that were opened in between.
  void recover(std::size_t before) {
    if (at_ == before) next();
    int depth = 0;
    for (std::size_t i = before; i < at_; ++i) depth += tokens_[i].is("{") ? 1 : tokens_[i].is("}") ? -1 : 0;
    for (; !at_end(); next()) {
      if (depth <= 0 && (now().kind == TokenKind::newline || at("}"))) return;
      depth += at("{") ? 1 : at("}") ? -1 : 0;
    }
  }

  Block block() {
    const Depth depth(*this);
    if (!at("{")) error(fmt::format("expected `{{`, found {}", found()), now().span);
    const Token open = next();
    Block out;
    statements(out, "}");
    close("}", open);
    return out;
  }

  Stmt make(Stmt::Kind kind) const {
    Stmt s{kind, now().span, now().span, {}, {}, {}, {}, {}, {}, {}, false, {}, {}};
    return s;
  }
  void finish(Stmt& s) const { s.span.end = std::max(s.span.begin, tokens_[at_ ? at_ - 1 : 0].span.end); }
  void take_name(Stmt& s, std::string_view what) {
    const Token t = name(what);
    s.name = t.text;
    s.name_span = t.span;
  }

  Stmt statement() {
    const Depth depth(*this);
    using Rule = Stmt (Parser::*)();
    static const std::map<std::string_view, Rule> kRules = {{"fn", &Parser::fn},
                                                            {"layer", &Parser::layer},
                                                            {"optimizer", &Parser::layer},
                                                            {"model", &Parser::model},
                                                            {"const", &Parser::constant},
                                                            {"input", &Parser::input},
                                                            {"param", &Parser::stored},
                                                            {"state", &Parser::stored},
                                                            {"carry", &Parser::stored},
                                                            {"noise", &Parser::stored},
                                                            {"output", &Parser::objective},
                                                            {"loss", &Parser::objective},
                                                            {"metric", &Parser::objective},
                                                            {"train", &Parser::train},
                                                            {"return", &Parser::give},
                                                            {"assert", &Parser::check},
                                                            {"for", &Parser::loop},
                                                            {"recur", &Parser::loop},
                                                            {"use", &Parser::use}};
    if (at("optimizer") && peek().is("=")) return setting();
    if (now().kind == TokenKind::keyword) {
      if (const auto rule = kRules.find(now().text); rule != kRules.end()) return (this->*rule->second)();
      if (at("if") && is_branch_statement()) return branch();
    }
    return assignment();
  }

  Stmt fn() {
    Stmt s = make(Stmt::Kind::fn);
    next();
    take_name(s, "the name of the fn");
    s.formals = formals();
    expect("=");
    s.value = expression();
    finish(s);
    return s;
  }

  Stmt layer() {
    Stmt s = make(at("layer") ? Stmt::Kind::layer : Stmt::Kind::optimizer);
    const std::string what = fmt::format("the name of the {}", now().text);
    next();
    take_name(s, what);
    s.formals = formals();
    s.inputs = formals();
    finish(s);
    s.body = block();
    return s;
  }

  Stmt model() {
    Stmt s = make(Stmt::Kind::model);
    next();
    take_name(s, "the name of the model");
    if (accept(":")) s.text = name("f32 or f64").text;
    finish(s);
    s.body = block();
    return s;
  }

  std::vector<Formal> formals() {
    if (!at("(")) error(fmt::format("expected `(`, found {}", found()), now().span);
    const Token open = next();
    std::vector<Formal> out;
    while (!at(")") && !at_end()) {
      if (!out.empty()) expect(",");
      const Token t = name("a name");
      Formal f{std::string(t.text), t.span, nullptr, std::nullopt};
      if (at("[")) f.shape = shape();
      if (accept("=")) f.initial = expression();
      out.push_back(std::move(f));
      if (!at(",") && !at(")")) break;
    }
    close(")", open);
    return out;
  }

  std::vector<ShapeItem> shape() {
    std::vector<ShapeItem> out;
    const Token open = next();
    while (!at("]") && !at_end()) {
      if (!out.empty()) expect(",");
      ShapeItem item{now().span, accept(".."), nullptr};
      if (!item.is_ellipsis) item.extent = expression();
      out.push_back(std::move(item));
      if (!at(",") && !at("]")) break;
    }
    close("]", open);
    return out;
  }

  Stmt constant() {
    Stmt s = make(Stmt::Kind::constant);
    next();
    take_name(s, "the name of the constant");
    expect("=");
    s.value = expression();
    // `const D = 32, beta = 0.5`: the rest follows as statements of their own.
    if (at(",")) {
      tokens_[at_] = {TokenKind::keyword, now().span, "const"};
      tokens_.insert(tokens_.begin() + static_cast<std::ptrdiff_t>(at_),
                     {TokenKind::newline, now().span, ""});
    }
    finish(s);
    return s;
  }

  Stmt input() {
    Stmt s = make(Stmt::Kind::input);
    next();
    take_name(s, "the name of the input");
    if (at("[")) s.shape = shape();
    if (accept(":")) s.text = name("an element type").text;
    finish(s);
    return s;
  }

  Stmt stored() {
    Stmt s = make(at("param")   ? Stmt::Kind::param
                  : at("state") ? Stmt::Kind::state
                  : at("carry") ? Stmt::Kind::carry
                                : Stmt::Kind::noise);
    const std::string what = fmt::format("the name of the {}", now().text);
    next();
    take_name(s, what);
    if (at("[")) s.shape = shape();
    s.is_drawn = accept("~");
    if (!s.is_drawn) expect("=");
    s.value = expression();
    finish(s);
    return s;
  }

  Stmt objective() {
    Stmt s = make(at("output") ? Stmt::Kind::output : at("loss") ? Stmt::Kind::loss : Stmt::Kind::metric);
    const std::string what = fmt::format("the name of the {}", now().text);
    next();
    take_name(s, what);
    expect("=");
    s.value = expression();
    finish(s);
    return s;
  }

  Stmt train() {
    Stmt s = make(Stmt::Kind::train);
    next();
    finish(s);
    s.body = block();
    return s;
  }

  Stmt give() {
    Stmt s = make(Stmt::Kind::give);
    next();
    s.value = tuple();
    finish(s);
    return s;
  }

  Stmt check() {
    Stmt s = make(Stmt::Kind::check);
    next();
    s.value = expression();
    if (accept(",")) {
      if (now().kind != TokenKind::string)
        error(fmt::format("expected a message in quotes, found {}", found()), now().span);
      s.text = unquoted(next());
    }
    finish(s);
    return s;
  }

  Stmt loop() {
    Stmt s = make(at("for") ? Stmt::Kind::loop : Stmt::Kind::recurrence);
    next();
    take_name(s, "the loop's variable");
    expect("in");
    s.value = range();
    finish(s);
    s.body = block();
    return s;
  }

  Stmt use() {
    Stmt s = make(Stmt::Kind::use);
    next();
    if (now().kind != TokenKind::string)
      error(fmt::format("expected a file's name in quotes, found {}", found()), now().span);
    s.text = unquoted(next());
    finish(s);
    return s;
  }

  /// A statement's `if` has statements in its braces; an expression's `if` stands in an expression.
  bool is_branch_statement() const {
    int depth = 0;
    for (std::size_t i = at_ + 1; i < tokens_.size(); ++i) {
      if (tokens_[i].is("{")) {
        if (depth++ == 0) return looks_like_statements(i + 1);
      } else if (tokens_[i].is("}")) {
        --depth;
      } else if (tokens_[i].kind == TokenKind::newline && depth == 0) {
        return false;
      }
    }
    return false;
  }
  bool looks_like_statements(std::size_t i) const {
    while (i < tokens_.size() && tokens_[i].kind == TokenKind::newline) ++i;
    for (int depth = 0; i + 1 < tokens_.size(); ++i) {
      const Token& t = tokens_[i];
      if (t.kind == TokenKind::keyword &&
          (t.is("param") || t.is("state") || t.is("return") || t.is("assert") || t.is("if") || t.is("for")))
        return true;
      if (t.is("(") || t.is("[") || t.is("{")) ++depth;
      if (t.is(")") || t.is("]")) --depth;
      if (t.is("}") && depth-- == 0) return false;
      if (depth == 0 && (t.is("=") || t.is("<-"))) return true;
      if (depth == 0 && t.kind == TokenKind::newline) return false;
    }
    return false;
  }

  Stmt branch() {
    Stmt s = make(Stmt::Kind::branch);
    next();
    s.value = expression();
    finish(s);
    s.body = block();
    if (accept("else")) {
      if (at("if"))
        s.otherwise.push_back(branch());
      else
        s.otherwise = block();
    }
    return s;
  }

  /// `optimizer = …` in `train`: the one setting that is called like a keyword.
  Stmt setting() {
    Stmt s = make(Stmt::Kind::assign);
    const Token t = next();
    s.targets.push_back(node(Expr::Kind::name, t.span, std::string(t.text)));
    expect("=");
    s.value = tuple();
    finish(s);
    return s;
  }

  /// targets = value, name <- value, or an expression.
  Stmt assignment() {
    Stmt s = make(Stmt::Kind::expression);
    ExprPtr first = at("_") ? hole() : expression();
    std::vector<ExprPtr> targets;
    targets.push_back(std::move(first));
    while (accept(",")) targets.push_back(at("_") ? hole() : expression());
    if (accept("<-")) {
      s.kind = Stmt::Kind::update;
      if (targets.size() != 1 || targets[0]->kind != Expr::Kind::name)
        error("the left of `<-` is the name of a state", targets[0]->span);
      s.name = targets[0]->text;
      s.name_span = targets[0]->span;
      s.value = expression();
    } else if (accept("=")) {
      s.kind = Stmt::Kind::assign;
      for (const ExprPtr& t : targets)
        if (t->kind != Expr::Kind::name && t->kind != Expr::Kind::hole && t->kind != Expr::Kind::index)
          error("the left of `=` is a name, not an expression", t->span);
      s.targets = std::move(targets);
      s.value = tuple();
    } else {
      if (targets.size() > 1) error(fmt::format("expected `=`, found {}", found()), now().span);
      s.value = std::move(targets[0]);
    }
    finish(s);
    return s;
  }

  // ---- Expressions, loosest first ----

  ExprPtr node(Expr::Kind kind, Span span, std::string text = {}) const {
    auto e = std::make_unique<Expr>();
    e->kind = kind;
    e->span = span;
    e->text = std::move(text);
    return e;
  }
  static Span joined(const Expr& a, const Expr& b) { return {a.span.begin, b.span.end}; }

  ExprPtr hole() { return node(Expr::Kind::hole, next().span); }

  ExprPtr tuple() {
    ExprPtr first = expression();
    if (!at(",")) return first;
    ExprPtr out = node(Expr::Kind::tuple, first->span);
    out->operands.push_back(std::move(first));
    while (accept(",")) out->operands.push_back(expression());
    out->span.end = out->operands.back()->span.end;
    return out;
  }

  ExprPtr range() {
    ExprPtr first = expression();
    if (!accept("..")) return first;
    ExprPtr second = expression();
    ExprPtr out = node(Expr::Kind::range, joined(*first, *second));
    out->operands.push_back(std::move(first));
    out->operands.push_back(std::move(second));
    return out;
  }

  ExprPtr binary(std::string_view op, ExprPtr a, ExprPtr b) const {
    ExprPtr out = node(Expr::Kind::binary, joined(*a, *b), std::string(op));
    out->operands.push_back(std::move(a));
    out->operands.push_back(std::move(b));
    return out;
  }

  ExprPtr expression() {
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

  ExprPtr named(ExprPtr inner) {
    const Token t = name("a name");
    ExprPtr out = node(Expr::Kind::named, {inner->span.begin, t.span.end}, std::string(t.text));
    out->operands.push_back(std::move(inner));
    return out;
  }

  ExprPtr either() {
    ExprPtr left = both();
    while (accept("or")) left = binary("or", std::move(left), both());
    return left;
  }
  ExprPtr both() {
    ExprPtr left = negation();
    while (accept("and")) left = binary("and", std::move(left), negation());
    return left;
  }
  ExprPtr negation() {
    if (!at("not")) return comparison();
    const Depth depth(*this);
    const Token t = next();
    ExprPtr inner = negation();
    ExprPtr out = node(Expr::Kind::unary, {t.span.begin, inner->span.end}, "not");
    out->operands.push_back(std::move(inner));
    return out;
  }
  bool at_comparison() const { return at("==") || at("!=") || at("<") || at("<=") || at(">") || at(">="); }
  ExprPtr comparison() {
    ExprPtr left = sum();
    if (!at_comparison()) return left;
    const Token op = next();
    left = binary(op.text, std::move(left), sum());
    if (at_comparison()) error("comparisons do not chain: write `a < b and b < c`", now().span);
    return left;
  }
  ExprPtr sum() {
    ExprPtr left = product();
    while (at("+") || at("-")) {
      const Token op = next();
      left = binary(op.text, std::move(left), product());
    }
    return left;
  }
  ExprPtr product() {
    ExprPtr left = signed_factor();
    while (at("@") || at("*") || at("/") || at("//") || at("%")) {
      const Token op = next();
      left = binary(op.text, std::move(left), signed_factor());
    }
    return left;
  }
  ExprPtr signed_factor() {
    if (!at("-")) return power();
    const Depth depth(*this);
    const Token t = next();
    ExprPtr inner = signed_factor();
    ExprPtr out = node(Expr::Kind::unary, {t.span.begin, inner->span.end}, "-");
    out->operands.push_back(std::move(inner));
    return out;
  }
  ExprPtr power() {
    ExprPtr base = postfix();
    if (!accept("^")) return base;
    const Depth depth(*this);
    return binary("^", std::move(base), signed_factor());
  }

  ExprPtr postfix() {
    ExprPtr e = primary();
    for (;;) {
      if (at("(")) {
        e = call(std::move(e));
      } else if (at("[")) {
        e = subscripted(std::move(e));
      } else if (at(".") && peek().kind == TokenKind::name) {
        next();
        const Token t = next();
        ExprPtr out = node(Expr::Kind::member, {e->span.begin, t.span.end}, std::string(t.text));
        out->operands.push_back(std::move(e));
        e = std::move(out);
      } else {
        return e;
      }
    }
  }

  ExprPtr call(ExprPtr callee) {
    const Token open = next();
    ExprPtr out = node(Expr::Kind::call, callee->span);
    out->operands.push_back(std::move(callee));
    while (!at(")") && !at_end()) {
      if (!out->arguments.empty()) expect(",");
      out->arguments.push_back(argument(*out));
      if (!at(",") && !at(")")) break;
    }
    out->span.end = now().span.end;
    close(")", open);
    return out;
  }

  Argument argument(const Expr& call) {
    Argument a{{}, now().span, nullptr};
    const bool is_word = now().kind == TokenKind::name || now().kind == TokenKind::keyword;
    if (is_word && peek().is("=")) {
      a.name = next().text;
      next();
    } else if (std::ranges::any_of(call.arguments, [](const Argument& b) { return !b.name.empty(); })) {
      error("a positional argument stands after a named one", now().span);
    }
    a.value = at("_") ? hole() : expression();
    return a;
  }

  ExprPtr subscripted(ExprPtr base) {
    const Token open = next();
    ExprPtr out = node(Expr::Kind::index, base->span);
    out->operands.push_back(std::move(base));
    while (!at("]") && !at_end()) {
      if (!out->subscripts.empty()) expect(",");
      out->subscripts.push_back(subscript());
      if (!at(",") && !at("]")) break;
    }
    out->span.end = now().span.end;
    close("]", open);
    return out;
  }

  Subscript subscript() {
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

  static std::string unquoted(const Token& t) {
    const std::string_view text = t.text;
    return std::string(text.substr(1, text.size() - (text.size() > 1 && text.back() == '"' ? 2 : 1)));
  }

  ExprPtr primary() {
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
    error(fmt::format("expected an expression, found {}", found()), t.span);
  }

  ExprPtr list() {
    const Token open = next();
    ExprPtr out = node(Expr::Kind::list, open.span);
    while (!at("]") && !at_end()) {
      if (!out->operands.empty()) expect(",");
      if (at("..")) {
        out->operands.push_back(node(Expr::Kind::hole, next().span, ".."));
      } else {
        out->operands.push_back(expression());
      }
      if (!at(",") && !at("]")) break;
    }
    out->span.end = now().span.end;
    close("]", open);
    return out;
  }

  ExprPtr record() {
    const Token open = next();
    ExprPtr out = node(Expr::Kind::record, open.span);
    while (!at("}") && !at_end()) {
      if (!out->arguments.empty()) expect(",");
      const Token t = name("a name");
      expect(":");
      out->arguments.push_back({std::string(t.text), t.span, expression()});
      if (!at(",") && !at("}")) break;
    }
    out->span.end = now().span.end;
    close("}", open);
    return out;
  }

  ExprPtr conditional() {
    const Depth depth(*this);
    ExprPtr out = node(Expr::Kind::conditional, next().span);
    out->operands.push_back(expression());
    out->operands.push_back(braced());
    if (!at("else"))
      error(fmt::format("an `if` in an expression needs `else`; found {}", found()), now().span);
    next();
    out->operands.push_back(at("if") ? conditional() : braced());
    out->span.end = out->operands.back()->span.end;
    return out;
  }

  ExprPtr braced() {
    if (!at("{")) error(fmt::format("expected `{{`, found {}", found()), now().span);
    const Token open = next();
    skip_newlines();
    ExprPtr inner = tuple();
    skip_newlines();
    close("}", open);
    return inner;
  }

  const SourceFile& file_;
  Diagnostics& diagnostics_;
  std::vector<Token> tokens_;
  std::size_t at_ = 0;
  int depth_ = 0;
};

}  // namespace

Block parse(const SourceFile& file, Diagnostics& diagnostics) { return Parser(file, diagnostics).file(); }

}  // namespace mlpc::frontend
