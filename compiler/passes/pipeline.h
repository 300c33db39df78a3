#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string_view>

#include "ir/program.h"

namespace mlpc::passes {

/// One step from a program of graphs to the next. It runs on programs of stage `from` and gives stage `to`.
struct Pass {
  std::string_view name;
  ir::Program (*run)(const ir::Program&);
  ir::Stage from, to;
};

/// From `graph` to `joint`, in order.
std::span<const Pass> pipeline();

/// Runs what is left of the pipeline for a program of any stage, up to the first program of stage `until`.
/// `after` sees each pass' result. Every result is verified.
ir::Program run_pipeline(ir::Program program, ir::Stage until,
                         const std::function<void(std::string_view pass, const ir::Program&)>& after = {});

}  // namespace mlpc::passes
