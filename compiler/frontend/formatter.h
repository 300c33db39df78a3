#pragma once

#include <string>

#include "compiler/frontend/diagnostics.h"

namespace mlpc::frontend {

/// The one layout of a source that has no syntax errors. Where lines break, what the comments say and where
/// blank lines stand (one at most) is the author's; indentation, blanks and semicolons are not. Applied to
/// its own result it changes nothing, and the result is the same program.
std::string laid_out(const SourceFile& file);

}  // namespace mlpc::frontend
