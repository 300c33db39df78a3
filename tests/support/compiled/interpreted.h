#pragma once

#include <string>
#include <vector>

#include "compiler/lowering/specialize.h"
#include "ir/kernel.h"
#include "tests/support/compiled/call_memory.h"

namespace mlpc::testing {

/// A joint program as kernels that the interpreter runs, with all its checks: no element outside of its
/// buffer, none read before it is written, no two tasks in each other's way.
class InterpretedProgram {
 public:
  /// `level` as in LoweringOptions, `specialized` as in CompiledProgram; for the target that the program
  /// names.
  InterpretedProgram(ir::Program joint, int level, const lowering::Extents& specialized = {});

  /// As CompiledProgram::run. Throws mlpc::Error where a check fails.
  std::vector<ir::HostTensor> run(const std::string& graph, const std::vector<ir::HostTensor>& arguments,
                                  const Dims& dims = {}) const;

 private:
  ir::Program program_;
  ir::KernelProgram kernels_;
};

}  // namespace mlpc::testing
