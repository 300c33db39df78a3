#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "compiler/frontend/diagnostics.h"

namespace mlpc::frontend {

// The syntax tree. Nodes are of two kinds, expressions and statements; which fields count follows from
// `kind`.

struct Expr;
struct Stmt;
using ExprPtr = std::unique_ptr<Expr>;
using Block = std::vector<Stmt>;

struct Argument {
  std::string name;  // empty: positional
  Span span;
  ExprPtr value;
};

/// One item in the brackets of an index or a shape.
struct Subscript {
  enum class Kind : std::uint8_t { all, ellipsis, new_axis, index, slice } kind;
  Span span;
  ExprPtr begin, end, step;  // index: begin
};

struct Expr {
  enum class Kind : std::uint8_t {
    number,   // text
    string,   // text, without quotes
    boolean,  // text "true" or "false"
    infinity,
    name,  // text
    hole,  // _ among arguments: leaky_relu(_, 0.1)
    training,
    unary,        // text, operands[0]
    binary,       // text, operands[0], operands[1]; the pipe is text "|>"
    call,         // operands[0], arguments
    index,        // operands[0], subscripts
    member,       // operands[0] . text
    list,         // operands
    record,       // {B: 256}: arguments
    tuple,        // operands, of `return a, b`
    range,        // operands[0] .. operands[1]
    conditional,  // if operands[0] { operands[1] } else { operands[2] }
    named,        // operands[0] as text
    index_sum,    // sum(k) product: operands[0] is the call, operands[1] the product
  };
  Kind kind;
  Span span;
  int height = 1;  // of the tree
  std::string text;
  std::vector<ExprPtr> operands;
  std::vector<Argument> arguments;
  std::vector<Subscript> subscripts;
};

/// `x[B, 784]`, `..` for any batch dims, as in a signature.
struct ShapeItem {
  Span span;
  bool is_ellipsis = false;
  ExprPtr extent;
};

/// A parameter of a fn, a hyperparameter, or a tensor of a signature.
struct Formal {
  std::string name;
  Span span;
  ExprPtr initial;  // default
  std::optional<std::vector<ShapeItem>> shape;
};

struct Stmt {
  enum class Kind : std::uint8_t {
    fn,         // name, formals, value
    layer,      // name, formals (hyperparameters), inputs, body
    optimizer,  // the same
    model,      // name, type, body
    constant,   // name, value
    input,      // name, shape, type
    param,      // name, shape, value; is_drawn for ~
    state,      // the same
    carry,
    noise,
    assign,  // targets, value
    update,  // name <- value
    output,
    loss,
    metric,      // name, value
    train,       // body of assigns
    give,        // return value
    check,       // assert value, text
    branch,      // if value { body } else { otherwise }
    loop,        // for name in value { body }
    recurrence,  // recur name in value { body }
    use,         // text
    expression,  // value
  };
  Kind kind;
  Span span;  // the whole statement's first token to its last
  Span name_span;
  std::string name;
  std::string text;
  std::vector<Formal> formals, inputs;
  std::vector<ShapeItem> shape;
  std::vector<ExprPtr> targets;
  ExprPtr value;
  bool is_drawn = false;
  Block body, otherwise;
  Span text_span = {};
};

}  // namespace mlpc::frontend
