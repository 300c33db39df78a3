#pragma once

#include "compiler/frontend/ast.h"

namespace mlpc::frontend {

/// The statements of a file. Syntax errors are reported and their statements left out.
Block parse(const SourceFile& file, Diagnostics& diagnostics);

/// The tree as text, for `--emit=ast`: one node a line, indented.
std::string print_ast(const Block& block);

}  // namespace mlpc::frontend
