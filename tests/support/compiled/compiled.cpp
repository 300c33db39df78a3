#include "tests/support/compiled/compiled.h"

#include <algorithm>
#include <cmath>

#include "compiler/driver/host_cpu.h"
#include "compiler/lowering/lower.h"
#include "ir/error.h"
#include "ir/verify.h"

namespace mlpc::testing {
namespace {

using namespace ir;

std::size_t size(std::int64_t bytes) { return static_cast<std::size_t>(bytes); }

void check(int code, std::string_view what) {
  if (code != 0) fail("{} returns {}", what, code);
}

mlpc_args arguments_of(CallMemory& memory) {
  mlpc_args args{};
  args.size = sizeof args;
  args.flags = memory.accumulate ? MLPC_ACCUMULATE : 0;
  args.params = memory.params.data();
  args.state = memory.state.data();
  args.state_out = memory.state_out.data();
  args.slots = memory.slots.data();
  args.grads = memory.grads.data();
  args.tangents = memory.tangents.data();
  args.seed = static_cast<std::uint64_t>(memory.seed);
  args.step = memory.step;
  args.steps = memory.steps;
  args.epoch = memory.epoch;
  args.row_offset = memory.row_offset;
  args.loss_bar = memory.loss_bar;
  return args;
}

Program for_target(Program program, const std::string& target) {
  program.target = target;
  return program;
}

codegen::JitModel compile(const Program& program, const CompiledProgram::Options& options) {
  KernelProgram kernels = lowering::lower(program, {options.level});
  lowering::specialize(kernels, options.specialized);
  verify(kernels);
  return {kernels.header, codegen::emit_objects(kernels, codegen::kMostObjects, options.effort)};
}

}  // namespace

CompiledProgram::CompiledProgram(Program joint, const Options& options)
    : program_(for_target(std::move(joint), options.target)), model_(compile(program_, options)) {}

CompiledProgram::CompiledProgram(Program joint, int level)
    : CompiledProgram(std::move(joint), {level, std::string(driver::host_target())}) {}

const mlpc_entry& CompiledProgram::entry(const std::string& graph) const {
  const mlpc_model& model = *model_.table();
  const auto* found = std::find_if(model.entries, model.entries + model.entry_count,
                                   [&](const mlpc_entry& e) { return graph == e.name; });
  if (found == model.entries + model.entry_count) fail("no entry {}", graph);
  return *found;
}

std::vector<std::int64_t> CompiledProgram::dim_values(const Dims& dims) const {
  std::vector<std::int64_t> values;
  for (const std::string& name : program_.dims) values.push_back(value_in(dims)(name));
  return values;
}

int CompiledProgram::plan(const std::string& graph, const Dims& dims) const {
  Bytes plan(size(model_.table()->plan_bytes));
  return model_.table()->plan(reinterpret_cast<mlpc_plan*>(plan.data()), dim_values(dims).data(), 1,
                              static_cast<int>(entry(graph).kind));
}

std::vector<HostTensor> CompiledProgram::run(const std::string& name,
                                             const std::vector<HostTensor>& arguments,
                                             const Dims& dims) const {
  return run(name, arguments, dims, nullptr);
}

std::vector<HostTensor> CompiledProgram::run_backwards(const std::string& name,
                                                       const std::vector<HostTensor>& arguments,
                                                       const Dims& dims) const {
  return run(name, arguments, dims, [](void*, std::int64_t count, mlpc_task task, void* context) {
    for (std::int64_t i = count; i-- > 0;) task(context, i, 0);
  });
}

std::vector<HostTensor> CompiledProgram::run(const std::string& name,
                                             const std::vector<HostTensor>& arguments, const Dims& dims,
                                             mlpc_parallel parallel) const {
  const Graph& graph = *program_.find(name);
  const mlpc_entry& called = entry(name);
  CallMemory memory(program_, graph, dims);
  for (std::size_t i = 0; i < arguments.size(); ++i) memory.set(graph.parameters()[i], arguments[i]);
  std::vector<const void*> inputs;
  for (std::int64_t i = 0; i < called.input_count; ++i)
    inputs.push_back(memory.inputs.at(called.inputs[i].name).data());
  std::vector<void*> results;
  for (std::int64_t i = 0; i < called.result_count; ++i)
    results.push_back(memory.results.at(called.results[i].name).data());
  Bytes plan_bytes(size(model_.table()->plan_bytes));
  auto* plan = reinterpret_cast<mlpc_plan*>(plan_bytes.data());
  check(model_.table()->plan(plan, dim_values(dims).data(), 1, static_cast<int>(called.kind)), "plan");
  Bytes workspace(size(plan->workspace_bytes));
  mlpc_args args = arguments_of(memory);
  args.inputs = inputs.data();
  args.results = results.data();
  args.workspace = workspace.data();
  args.parallel = parallel;
  check(called.call(plan, &args), name);
  std::vector<HostTensor> out;
  for (const Graph::Result& r : graph.results) out.push_back(memory.get(r));
  return out;
}

Program empty_program(ElementType floats) {
  Program program;
  program.model = "m";
  program.element = floats;
  program.target = "x86-64-v4";
  return program;
}

bool same_bits(const std::vector<HostTensor>& a, const std::vector<HostTensor>& b) {
  for (std::size_t i = 0; i < a.size(); ++i)
    for (std::size_t j = 0; j < a[i].values.size(); ++j) {
      const double x = a[i].values[j], y = b[i].values[j];
      if (!(x == y && std::signbit(x) == std::signbit(y)) && !(std::isnan(x) && std::isnan(y))) return false;
    }
  return true;
}

}  // namespace mlpc::testing
