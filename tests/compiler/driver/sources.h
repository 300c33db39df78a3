#pragma once

#include <string>

#include "compiler/driver/compile.h"
#include "tests/support/files.h"

namespace mlpc {

/// A file of the project's, whose path is from its root.
inline driver::Source source_of(const std::string& path) { return {testing::file_text(path), path}; }

}  // namespace mlpc
