#pragma once

#include <string>
#include <vector>

#include "compiler/driver/subcommands.h"

namespace mlpc::driver {

struct FormatOptions {
  std::vector<std::string> paths;
  bool only_checks = false;  // names what would change, writes nothing
  bool prints = false;       // to standard output
};

/// Gives each file its layout; one that has it already is not written. Each is read and reported on its own:
/// false if one of them has errors, or, with only_checks, another layout.
bool format_files(const FormatOptions& options, const NetOptions& net);

}  // namespace mlpc::driver
