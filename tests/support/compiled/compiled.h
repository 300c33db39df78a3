#pragma once

#include <string>
#include <vector>

#include "compiler/codegen/jit.h"
#include "compiler/codegen/object.h"
#include "compiler/lowering/specialize.h"
#include "tests/support/compiled/call_memory.h"

namespace mlpc::testing {

/// A joint program as machine code in this process.
class CompiledProgram {
 public:
  struct Options {
    int level;           // as in LoweringOptions
    std::string target;  // a row that this machine runs
    codegen::Effort effort = codegen::Effort::usual;
    lowering::Extents specialized = {};  // none: not at all
  };
  CompiledProgram(ir::Program joint, const Options& options);
  /// For this machine's best target.
  CompiledProgram(ir::Program joint, int level);

  bool has(const std::string& graph) const { return program_.find(graph) != nullptr; }
  /// What the plan of the entry of a graph's name returns for these dims.
  int plan(const std::string& graph, const Dims& dims) const;
  /// Runs the entry. `arguments`: one for each parameter of the graph, in its order. Returns one for each of
  /// its results, in their order, as doubles.
  std::vector<ir::HostTensor> run(const std::string& graph, const std::vector<ir::HostTensor>& arguments,
                                  const Dims& dims = {}) const;
  /// The same through the hook of a host that runs tasks backwards.
  std::vector<ir::HostTensor> run_backwards(const std::string& graph,
                                            const std::vector<ir::HostTensor>& arguments,
                                            const Dims& dims = {}) const;

 private:
  std::vector<std::int64_t> dim_values(const Dims& dims) const;
  const mlpc_entry& entry(const std::string& graph) const;
  std::vector<ir::HostTensor> run(const std::string& graph, const std::vector<ir::HostTensor>& arguments,
                                  const Dims& dims, mlpc_parallel parallel) const;

  ir::Program program_;
  codegen::JitModel model_;
};

/// A program without graphs, for the best target.
ir::Program empty_program(ir::ElementType floats);

/// All NaNs counting as equal, and zeros by their sign.
bool same_bits(const std::vector<ir::HostTensor>& a, const std::vector<ir::HostTensor>& b);

}  // namespace mlpc::testing
