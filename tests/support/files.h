#pragma once

#include <fstream>
#include <sstream>
#include <string>

#include "ir/error.h"

namespace mlpc::testing {

/// The text of a file of the project's, whose path is from its root. Throws mlpc::Error if there is none.
inline std::string file_text(const std::string& path) {
  std::ifstream file(MLPC_SOURCE_DIR "/" + path, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  if (text.str().empty()) fail("{} cannot be read, or has nothing", path);
  return text.str();
}

}  // namespace mlpc::testing
