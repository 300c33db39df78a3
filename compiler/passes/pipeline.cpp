#include "compiler/passes/pipeline.h"

#include <array>

#include "compiler/autodiff/autodiff.h"
#include "compiler/passes/passes.h"
#include "ir/verify.h"

namespace mlpc::passes {
namespace {

using ir::Stage;

constexpr std::array kPipeline = {
    Pass{"expand_derivatives", autodiff::expand_derivatives, Stage::graph, Stage::graph},
    Pass{"linearise", autodiff::linearise, Stage::graph,
         Stage::linear},  // before any rewrite: the dumps show what the user wrote
    Pass{"transpose", autodiff::transpose, Stage::linear, Stage::jacobian},
    Pass{"recompute_squares", recompute_squares, Stage::jacobian, Stage::jacobian},
    Pass{"compose_train_step", compose_train_step, Stage::jacobian, Stage::jacobian},
    Pass{"accumulate_gradients", accumulate_gradients, Stage::jacobian,
         Stage::joint},  // after the step took them
    Pass{"expand_composites", expand_composites, Stage::joint, Stage::joint},
    Pass{"rewrite_bounded", rewrite_bounded, Stage::joint, Stage::joint},
    Pass{"contract_overlaps", contract_overlaps, Stage::joint, Stage::joint},
    Pass{"canonicalize", canonicalize, Stage::joint, Stage::joint},  // sees the expanded ops
    Pass{"hoist_contractions", hoist_contractions, Stage::joint, Stage::joint},
    Pass{"images_in_lanes", images_in_lanes, Stage::joint, Stage::joint},  // takes what it is better for
    Pass{"channels_last", channels_last, Stage::joint, Stage::joint},      // no rule may undo its transposes
    Pass{"drop_unused", drop_unused, Stage::joint, Stage::joint},
};

}  // namespace

std::span<const Pass> pipeline() { return kPipeline; }

ir::Program run_pipeline(ir::Program program, ir::Stage until,
                         const std::function<void(std::string_view, const ir::Program&)>& after) {
  ir::verify(program);
  if (program.stage == Stage::joint) return program;  // a dump: it has been through everything
  for (const Pass& pass : kPipeline) {
    if (until != Stage::joint && program.stage >= until) break;
    if (program.stage > pass.from) continue;
    program = pass.run(program);
    program.stage = pass.to;
    ir::verify(program);
    if (after) after(pass.name, program);
  }
  return program;
}

}  // namespace mlpc::passes
