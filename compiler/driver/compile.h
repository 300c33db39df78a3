#pragma once

#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "ir/kernel.h"

namespace mlpc::driver {

/// A text to compile: a network, or any dump of one.
struct Source {
  std::string text;
  std::string name;  // as messages call it
};

struct CompileOptions {
  std::vector<std::pair<std::string, std::string>> defines;  // -D
  std::vector<std::pair<std::string, std::string>> train;    // --train.KEY
  int level = 2;
  std::optional<Source> schedule;  // see override_schedule.h
  bool use_cache = true;           // of object code, see object_cache.h
  std::string target;  // a row of ir/target.h; empty: what a dump says, for a source this processor
};

/// Sees the compilation go by; both may be empty.
struct Observer {
  std::function<void(std::string_view pass, const std::string& text)> after_pass;
  std::function<void(std::string_view phase, double seconds)> time;
};

/// The diagnostics of a source: what() is their whole text.
class SourceError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Where a compilation may stop, in order.
enum class StopAt : std::uint8_t { graph, linear, jacobian, joint, kernels };

/// The text of a stage. Throws SourceError or mlpc::Error; so do the others.
std::string stage_text(const Source& source, const CompileOptions& options, StopAt stage,
                       const Observer& observer = {});
std::string ast_text(const Source& source);
/// Everything that codegen needs.
ir::KernelProgram compile(const Source& source, const CompileOptions& options, const Observer& observer = {});

}  // namespace mlpc::driver
