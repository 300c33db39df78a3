#pragma once

#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "compiler/frontend/diagnostics.h"
#include "ir/program.h"

namespace mlpc::frontend {

struct FrontendOptions {
  std::vector<std::pair<std::string, std::string>>
      defines;  // -D NAME=VALUE: overrides a const of the file or model
  std::vector<std::pair<std::string, std::string>> train;  // --train.KEY=VALUE
  std::function<std::string(std::string_view)> hash;  // of all that the sources say; goes into the program
  bool unrolls = false;                               // --unroll: loops of equal turns are written out, too
};

/// The program, at stage `graph`: infer, loss, forward, update and init, as far as the model has them.
/// Nullopt if something is wrong; then `diagnostics` says what. `files` owns the sources that diagnostics
/// point into.
std::optional<ir::Program> parse_net(std::string_view source, const std::string& name,
                                     const FrontendOptions& options, Diagnostics& diagnostics,
                                     std::vector<std::unique_ptr<SourceFile>>& files);

/// The tree of a source, for `--emit=ast`; nullopt after a syntax error.
std::optional<std::string> ast_text(std::string_view source, const std::string& name,
                                    Diagnostics& diagnostics,
                                    std::vector<std::unique_ptr<SourceFile>>& files);

/// The source in the one layout, for `mlpc fmt`; nullopt after a syntax error.
std::optional<std::string> formatted(std::string_view source, const std::string& name,
                                     Diagnostics& diagnostics,
                                     std::vector<std::unique_ptr<SourceFile>>& files);

/// The library's sources, for `--print-std`.
std::string standard_library();

}  // namespace mlpc::frontend
