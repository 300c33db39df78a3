#include "compiler/frontend/parser.h"

#include <map>
#include <utility>

#include "compiler/frontend/brace_pairs.h"
#include "compiler/frontend/expression_parser.h"

namespace mlpc::frontend {
namespace {

/// Statements. An error ends its statement; parsing goes on at the next line.
class Parser : ExpressionParser {
 public:
  using ExpressionParser::ExpressionParser;

  Block file() {
    Block out;
    statements(out, "");
    return out;
  }

 private:
  void statements(Block& out, std::string_view end) {
    for (skip_newlines(); !at_end() && !(end.size() && at(end)); skip_newlines()) {
      const std::size_t before = at_;
      try {
        if (at("}")) superfluous_brace();
        out.push_back(statement());
        if (!more_constants_ && !at(end.size() ? end : ";") && !at(";") && now().kind != TokenKind::newline &&
            !at_end())
          unexpected("the end of the statement", hint_at_end(tokens_[before]));
      } catch (const SyntaxError&) {
        if (diagnostics_.full()) {
          at_ = tokens_.size() - 1;
          return;
        }
        recover(before);
      }
    }
  }

  /// What the statement, or what goes on after it, may have been meant to be.
  std::string hint_at_end(const Token& first) const {
    if (at("//")) return "a comment begins with `#`";
    if (at(",") && first.kind != TokenKind::name) return "statements end with their line, or with `;`";
    if (at("if")) return "a choice is written `if c { a } else { b }`";
    if (at("[") && first.is("input")) return "the shape follows the name: `input x[B, 784] : f32`";
    return "";
  }

  [[noreturn]] void superfluous_brace() {
    std::vector<Note> notes;
    if (const std::optional<BracePair> pair = closed_too_far_right(file_, tokens_)) {
      notes.push_back({&file_, pair->close, "by its indentation, this one may be too many"});
      notes.push_back({&file_, pair->open, "it closes this one"});
    }
    error("`}` closes nothing", now().span, std::move(notes));
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
    const Token open = open_brace();
    Block out;
    statements(out, "}");
    if (at_end())
      if (const std::optional<BracePair> pair = closed_too_far_left(file_, tokens_))
        error("`{` is not closed where its lines stop being indented", pair->open,
              {{&file_, pair->close, "this `}` closes it now"}});
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
    if (std::exchange(more_constants_, false)) return constant();
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
    if (at("{"))
      unexpected("`=`", "an fn is one expression, `fn f(x) = …`; a `layer` has a body of statements");
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
    if (at("{"))
      unexpected("`(`", fmt::format("hyperparameters and tensors stand apart: `{} {}(n)(x)`",
                                    s.kind == Stmt::Kind::layer ? "layer" : "optimizer", s.name));
    s.inputs = formals();
    finish(s);
    s.body = block();
    return s;
  }

  Stmt model() {
    Stmt s = make(Stmt::Kind::model);
    next();
    take_name(s, "the name of the model");
    if (accept(":")) {
      if (now().kind != TokenKind::name)
        unexpected("f32 or f64", fmt::format("a block stands in braces: `model {} {{ … }}`", s.name));
      s.text_span = now().span;
      s.text = next().text;
    }
    finish(s);
    s.body = block();
    return s;
  }

  std::vector<Formal> formals() {
    if (!at("(")) unexpected("`(`");
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

  /// `const D = 32, beta = 0.5` is two statements: the second begins at the comma.
  Stmt constant() {
    Stmt s = make(Stmt::Kind::constant);
    next();
    take_name(s, "the name of the constant");
    expect("=");
    s.value = expression();
    finish(s);
    more_constants_ = at(",");
    return s;
  }

  Stmt input() {
    Stmt s = make(Stmt::Kind::input);
    next();
    take_name(s, "the name of the input");
    if (at("[")) s.shape = shape();
    if (accept(":")) {
      s.text_span = now().span;
      s.text = name("an element type").text;
    }
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
    if (!s.is_drawn && !accept("="))
      unexpected("`~` or `=`", s.kind == Stmt::Kind::noise
                                   ? "noise is drawn: `~ normal(0, 1)`"
                                   : "initial values are needed: `~ he` draws them, `= 0` is a number");
    s.value = expression();
    finish(s);
    return s;
  }

  Stmt objective() {
    Stmt s = make(at("output") ? Stmt::Kind::output : at("loss") ? Stmt::Kind::loss : Stmt::Kind::metric);
    const std::string keyword(next().text);
    const std::string example = fmt::format("write `{} NAME = …`", keyword);
    if (now().kind != TokenKind::name && now().kind != TokenKind::keyword)
      unexpected(fmt::format("the name of the {}", keyword), example);
    take_name(s, fmt::format("the name of the {}", keyword));
    if (at(","))
      unexpected("`=`",
                 fmt::format("names are given first: `a, b = …`, then `{0} a = a; {0} b = b`", keyword));
    if (!at("=")) unexpected("`=`", example);
    next();
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
      if (now().kind != TokenKind::string) unexpected("a message in quotes");
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
    if (now().kind != TokenKind::string) unexpected("a file's name in quotes");
    s.text_span = now().span;
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
    const Depth depth(*this);
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
        error("the left side of `<-` has to be the name of a state", targets[0]->span);
      s.name = targets[0]->text;
      s.name_span = targets[0]->span;
      s.value = expression();
    } else if (accept("=")) {
      s.kind = Stmt::Kind::assign;
      for (const ExprPtr& t : targets)
        if (t->kind != Expr::Kind::name && t->kind != Expr::Kind::hole && t->kind != Expr::Kind::index)
          error("the left side of `=` has to be a name; this is another expression", t->span);
      s.targets = std::move(targets);
      s.value = tuple();
    } else {
      if (targets.size() > 1) unexpected("`=`");
      s.value = std::move(targets[0]);
    }
    finish(s);
    return s;
  }

  bool more_constants_ = false;
};

}  // namespace

Block parse(const SourceFile& file, Diagnostics& diagnostics) { return Parser(file, diagnostics).file(); }

}  // namespace mlpc::frontend
