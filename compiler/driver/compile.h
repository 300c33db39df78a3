#pragma once

#include <functional>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "compiler/lowering/specialize.h"
#include "ir/kernel.h"

namespace mlpc::driver {

/// What the workspace of `grad` and `train_step` may take, at these extents of the free dims.
struct MemoryBound {
  std::int64_t bytes = 0;
  lowering::Extents dims;

  /// Throws mlpc::Error where it is not given.
  std::int64_t extent(std::string_view dim) const;
};

/// A text to compile: a network, or any dump of one.
struct Source {
  std::string text;
  std::string name;  // as messages call it
};

struct CompileOptions {
  std::vector<std::pair<std::string, std::string>> defines;  // -D
  std::vector<std::pair<std::string, std::string>> train;    // --train.KEY
  bool unrolls = false;                                      // --unroll
  int level = 2;
  std::vector<std::string> entries;                // on request: jvp, hvp, jacobian
  std::optional<MemoryBound> memory;               // --memory
  std::vector<lowering::Extents> specializations;  // --specialize: one copy each, see specialize.h
  std::optional<Source> schedule;                  // see override_schedule.h
  bool use_cache = true;                           // of object code, see object_cache.h
  std::string target;  // a row of ir/target.h; empty: what a dump says, for a source this processor
};

/// Sees the compilation go by; both may be empty.
struct Observer {
  std::function<void(std::string_view pass, const std::string& text)> after_pass;
  std::function<void(std::string_view phase, double seconds)> time;
};

/// The diagnostics of a source: what() is their whole text, json() the same for programs.
class SourceError : public std::runtime_error {
 public:
  SourceError(const std::string& text, std::string json) : std::runtime_error(text), json_(std::move(json)) {}
  const std::string& json() const { return json_; }

 private:
  std::string json_;
};

/// Where a compilation may stop, in order.
enum class StopAt : std::uint8_t { graph, linear, jacobian, joint, kernels };

/// The text of a stage. Throws SourceError or mlpc::Error; so do the others.
std::string stage_text(const Source& source, const CompileOptions& options, StopAt stage,
                       const Observer& observer = {});
std::string ast_text(const Source& source);
/// The graphs of a source, or of a dump, at this stage.
ir::Program graphs(const Source& source, const CompileOptions& options, StopAt stage,
                   const Observer& observer = {});
/// A source in the one layout.
std::string formatted(const Source& source);
/// Everything that codegen needs.
ir::KernelProgram compile(const Source& source, const CompileOptions& options, const Observer& observer = {});

}  // namespace mlpc::driver
