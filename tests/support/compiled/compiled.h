#pragma once

#include <string>
#include <vector>

#include "compiler/codegen/jit.h"
#include "ir/evaluate.h"
#include "ir/program.h"

namespace mlpc::testing {

/// A joint program as machine code in this process, for this machine's best target. Free dims: none.
class CompiledProgram {
 public:
  /// `level` as in LoweringOptions.
  CompiledProgram(ir::Program joint, int level);

  /// Runs the entry of a graph's name. `arguments`: one for each parameter of the graph, in its order.
  /// Returns one for each of its results, in their order, as doubles.
  std::vector<ir::HostTensor> run(const std::string& graph,
                                  const std::vector<ir::HostTensor>& arguments) const;

 private:
  ir::Program program_;
  codegen::JitModel model_;
};

}  // namespace mlpc::testing
