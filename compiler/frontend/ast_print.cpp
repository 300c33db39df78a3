#include <fmt/format.h>

#include <array>

#include "compiler/frontend/parser.h"

namespace mlpc::frontend {
namespace {

constexpr std::array<std::string_view, 19> kExprNames = {
    "number", "string", "boolean", "inf",    "name",  "hole",  "training",    "unary", "binary",   "call",
    "index",  "member", "list",    "record", "tuple", "range", "conditional", "as",    "index sum"};
constexpr std::array<std::string_view, 25> kStmtNames = {
    "fn",    "layer",  "optimizer", "model",  "const",      "input",  "param", "state",  "carry",
    "noise", "assign", "update",    "output", "loss",       "metric", "train", "return", "assert",
    "if",    "for",    "recur",     "use",    "expression", "",       ""};
constexpr std::array<std::string_view, 5> kSubscripts = {":", "..", "_", "at", "slice"};

class Printer {
 public:
  std::string run(const Block& block) {
    statements(block, 0);
    return std::move(out_);
  }

 private:
  void line(int depth, std::string_view text) { out_ += fmt::format("{:{}}{}\n", "", 2 * depth, text); }

  void statements(const Block& block, int depth) {
    for (const Stmt& s : block) statement(s, depth);
  }

  void statement(const Stmt& s, int depth) {
    std::string head(kStmtNames[static_cast<std::size_t>(s.kind)]);
    if (!s.name.empty()) head += " " + s.name;
    if (!s.text.empty()) head += fmt::format(" \"{}\"", s.text);
    if (s.is_drawn) head += " ~";
    line(depth, head);
    for (const Formal& f : s.formals) formal("hyper", f, depth + 1);
    for (const Formal& f : s.inputs) formal("tensor", f, depth + 1);
    shape(s.shape, depth + 1);
    for (const ExprPtr& t : s.targets) expression(*t, depth + 1);
    if (s.value) expression(*s.value, depth + 1);
    statements(s.body, depth + 1);
    if (!s.otherwise.empty()) line(depth, "else");
    statements(s.otherwise, depth + 1);
  }

  void formal(std::string_view kind, const Formal& f, int depth) {
    line(depth, fmt::format("{} {}", kind, f.name));
    if (f.shape) shape(*f.shape, depth + 1);
    if (f.initial) expression(*f.initial, depth + 1);
  }

  void shape(const std::vector<ShapeItem>& items, int depth) {
    for (const ShapeItem& item : items) {
      if (item.is_ellipsis)
        line(depth, "extent ..");
      else
        line(depth, "extent"), expression(*item.extent, depth + 1);
    }
  }

  void expression(const Expr& e, int depth) {
    std::string head(kExprNames[static_cast<std::size_t>(e.kind)]);
    if (!e.text.empty()) head += " " + e.text;
    line(depth, head);
    for (const ExprPtr& o : e.operands) expression(*o, depth + 1);
    for (const Argument& a : e.arguments) {
      if (!a.name.empty()) line(depth + 1, a.name + " =");
      expression(*a.value, depth + (a.name.empty() ? 1 : 2));
    }
    for (const Subscript& s : e.subscripts) {
      line(depth + 1, kSubscripts[static_cast<std::size_t>(s.kind)]);
      for (const ExprPtr* part : {&s.begin, &s.end, &s.step})
        if (*part) expression(**part, depth + 2);
    }
  }

  std::string out_;
};

}  // namespace

std::string print_ast(const Block& block) { return Printer().run(block); }

}  // namespace mlpc::frontend
