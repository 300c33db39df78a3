#include "compiler/driver/compile.h"

#include <algorithm>
#include <memory>
#include <optional>

#include "compiler/codegen/hash.h"
#include "compiler/driver/host_cpu.h"
#include "compiler/driver/memory_bound.h"
#include "compiler/driver/timed.h"
#include "compiler/frontend/frontend.h"
#include "compiler/lowering/lower.h"
#include "compiler/lowering/override_schedule.h"
#include "compiler/passes/passes.h"
#include "compiler/passes/pipeline.h"
#include "ir/error.h"
#include "ir/target.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "runtime/train_settings.h"

namespace mlpc::driver {
namespace {

std::string checked_target(const std::string& name) {
  const std::string row = name.empty() || name == "native" ? std::string(host_target()) : name;
  if (ir::target_named(row)) return row;
  std::string known;
  for (const ir::Target& t : ir::all_targets()) known += fmt::format(" {}", t.name);
  fail("`{}` is no processor that mlpc knows; there are:{}", row, known);
}

ir::Program parse_source(const Source& source, const CompileOptions& options) {
  frontend::Diagnostics diagnostics;
  std::vector<std::unique_ptr<frontend::SourceFile>> files;
  const frontend::FrontendOptions front{options.defines, options.train, codegen::sha256, options.unrolls};
  std::optional<ir::Program> program =
      frontend::parse_net(source.text, source.name, front, diagnostics, files);
  if (!program) throw SourceError(diagnostics.text(), diagnostics.json());
  program->target = checked_target(options.target);
  return passes::add_entries(*program, options.entries);
}

/// What was compiled in cannot be changed in a dump.
void refuse_source_options(const CompileOptions& options, const Source& source) {
  if (!options.defines.empty() || !options.train.empty() || !options.entries.empty() || options.unrolls)
    fail("{} is a dump: -D, --train.KEY, --unroll and --entries need the source", source.name);
}

ir::Program program_of(const Source& source, const CompileOptions& options, ir::Stage until,
                       const Observer& observer) {
  ir::Program program;
  {
    const Timed timed(observer, "parse");
    if (ir::kind_of_text(source.text) == ir::TextKind::graph) {
      refuse_source_options(options, source);
      program = ir::parse_program(source.text, source.name);
      if (!options.target.empty()) program.target = checked_target(options.target);
    } else {
      program = parse_source(source, options);
    }
  }
  if (!ir::target_named(program.target))
    fail("{}: `{}` is no processor that mlpc knows", source.name, program.target);
  if (observer.after_pass) observer.after_pass("parse", ir::print(program));
  const Timed timed(observer, "passes");
  const auto after = [&](std::string_view pass, const ir::Program& p) {
    if (observer.after_pass) observer.after_pass(pass, ir::print(p));
  };
  if (options.memory && until == ir::Stage::joint) {
    if (program.stage == ir::Stage::joint)
      fail("{} is at stage joint: --memory needs an earlier one", source.name);
    program = passes::run_pipeline(std::move(program), ir::Stage::jacobian, after);
    program = within_memory(program, *options.memory, options.level);
    after("recompute_segments", program);
  }
  return passes::run_pipeline(std::move(program), until, after);
}

ir::Stage stage_of(StopAt stop) {
  switch (stop) {
    case StopAt::graph:
      return ir::Stage::graph;
    case StopAt::linear:
      return ir::Stage::linear;
    case StopAt::jacobian:
      return ir::Stage::jacobian;
    case StopAt::joint:
    case StopAt::kernels:
      break;
  }
  return ir::Stage::joint;
}

/// The one free dim that all inputs of rank 1 or more begin with, if there is one.
std::optional<std::string> leading_dim(const ir::Program& program) {
  std::optional<std::string> found;
  for (const ir::InputInfo& input : program.inputs) {
    if (input.type.rank() == 0) continue;
    const std::string dim = input.type.shape[0].text();
    if (std::ranges::find(program.dims, dim) == program.dims.end() || (found && found != dim))
      return std::nullopt;
    found = dim;
  }
  return found;
}

/// What `train` says of free dims.
lowering::Extents batch_extents(const ir::Program& program) {
  runtime::TrainSettings settings = runtime::parse_train_settings(program.train, program.model);
  std::erase_if(settings.batches, [&](const auto& batch) {
    return std::ranges::find(program.dims, batch.first) == program.dims.end();
  });
  if (!settings.batch) return settings.batches;
  const std::optional<std::string> dim = leading_dim(program);
  return dim ? lowering::Extents{{*dim, *settings.batch}} : lowering::Extents{};
}

/// Copies for given extents, at -O3 for the batches of `train` if there are no others; then the schedules.
void adapt(ir::KernelProgram& program, const CompileOptions& options) {
  std::vector<lowering::Extents> all = options.specializations;
  if (options.level >= 3 && all.empty()) all.push_back(batch_extents(program.header));
  for (const lowering::Extents& extents : all) lowering::specialize(program, extents);
  if (options.schedule) lowering::override_schedule(program, options.schedule->text, options.schedule->name);
}

}  // namespace

ir::Program graphs(const Source& source, const CompileOptions& options, StopAt stage,
                   const Observer& observer) {
  if (ir::kind_of_text(source.text) == ir::TextKind::kernels)
    fail("{} holds kernels: there is no way back to graphs", source.name);
  ir::Program program = program_of(source, options, stage_of(stage), observer);
  if (program.stage > stage_of(stage))
    fail("{} is at stage {} already", source.name, ir::name_of(program.stage));
  return program;
}

std::string stage_text(const Source& source, const CompileOptions& options, StopAt stage,
                       const Observer& observer) {
  if (stage == StopAt::kernels) return ir::print(compile(source, options, observer));
  return ir::print(graphs(source, options, stage, observer));
}

std::string ast_text(const Source& source) {
  frontend::Diagnostics diagnostics;
  std::vector<std::unique_ptr<frontend::SourceFile>> files;
  std::optional<std::string> text = frontend::ast_text(source.text, source.name, diagnostics, files);
  if (!text) throw SourceError(diagnostics.text(), diagnostics.json());
  return *text;
}

std::string formatted(const Source& source) {
  frontend::Diagnostics diagnostics;
  std::vector<std::unique_ptr<frontend::SourceFile>> files;
  std::optional<std::string> text = frontend::formatted(source.text, source.name, diagnostics, files);
  if (!text) throw SourceError(diagnostics.text(), diagnostics.json());
  return *text;
}

ir::KernelProgram compile(const Source& source, const CompileOptions& options, const Observer& observer) {
  if (ir::kind_of_text(source.text) == ir::TextKind::kernels) {
    refuse_source_options(options, source);
    ir::KernelProgram program = ir::parse_kernels(source.text, source.name);
    if (!options.target.empty() && checked_target(options.target) != program.header.target)
      fail("{} holds kernels for {}: the order of their sums belongs to it", source.name,
           program.header.target);
    adapt(program, options);
    return program;
  }
  const ir::Program program = program_of(source, options, ir::Stage::joint, observer);
  const Timed timed(observer, "lower");
  ir::KernelProgram kernels = lowering::lower(program, {options.level});
  adapt(kernels, options);
  ir::verify(kernels);
  if (observer.after_pass) observer.after_pass("lower", ir::print(kernels));
  return kernels;
}

}  // namespace mlpc::driver
