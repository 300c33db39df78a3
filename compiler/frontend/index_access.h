#pragma once

#include <vector>

#include "compiler/frontend/indices.h"

namespace mlpc::frontend {

/// A tensor read at indices.
struct Access {
  const Expr* expr;
  ir::ValueId tensor;
  std::vector<Affine> subscripts;  // one an axis
  std::vector<Span> spans;
};

/// What is read there, with one axis for each index. x[i, i] is the diagonal.
Indexed read(Elaborator& el, const Access& access);

}  // namespace mlpc::frontend
