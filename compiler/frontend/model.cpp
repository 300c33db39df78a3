#include "compiler/frontend/model.h"

#include <algorithm>
#include <set>

#include "compiler/frontend/foreign.h"
#include "compiler/frontend/random.h"
#include "ir/error.h"
#include "ir/prune.h"

namespace mlpc::frontend {
namespace {

using ir::ElementType;
using ir::Graph;
using ir::Role;
using ir::ValueId;

Graph init_graph(const Elaborator& el) {
  Graph graph;
  graph.name = "init";
  ir::Builder b(graph);
  const ValueId seed = graph.add_parameter("seed", {ElementType::i64, {}}, Role::seed);
  // Step, turns and row offset: initial values are drawn once, whole.
  const ValueId zero = b.constant(ir::Constant::of_integer(ElementType::i64, 0));
  const Draw draw{seed, zero, zero, zero};
  const auto add = [&](const std::vector<ir::TensorInfo>& table, const std::vector<Distribution>& draws,
                       Role role) {
    for (std::uint32_t i = 0; i < table.size(); ++i) {
      const ValueId v = drawn(b, table[i].type, draws[i], stream_of(ir::name_of(role), table[i].path), draw);
      graph.results.push_back({table[i].path, role, i, v});
    }
  };
  add(el.program.params, el.param_draws, Role::param);
  add(el.program.state, el.state_draws, Role::state);
  add(el.program.slots, el.slot_draws, Role::slot);
  return ir::pruned(graph);
}

/// Elaborates the model's body once.
void elaborate(Elaborator& el, Target& target, const Stmt& model, Scope* file_scope, bool training) {
  Elaborator::Frame frame;
  frame.kind = Elaborator::Frame::Kind::model;
  frame.home = &target;
  Scope* scope = el.new_scope(file_scope);
  el.target = &target;
  el.frame = &frame;
  el.training = training;
  el.run(model.body, scope);
}

/// Parameters and state exist in every mode, or a checkpoint would fit only some.
void require_in_every_mode(Elaborator& el, const Target& training) {
  const auto require = [&](const std::vector<ir::TensorInfo>& table, Role role) {
    for (std::uint32_t i = 0; i < table.size(); ++i) {
      if (training.parameters.contains({role, i})) continue;
      const ir::SourceLocation& at = el.program.locations[table[i].location];
      el.report("bad-parameter", {},
                fmt::format("`{}` of {}:{} does not exist while training", table[i].path, at.file, at.line),
                {}, "parameters and state exist in every mode: move it out of the `if training`");
    }
  };
  require(el.program.params, Role::param);
  require(el.program.state, Role::state);
}

bool is_c_name(const std::string& name) {
  static const std::set<std::string_view> keywords = {
      "auto",     "break",  "case",      "char",      "const",    "continue", "default",  "do",
      "double",   "else",   "enum",      "extern",    "float",    "for",      "goto",     "if",
      "inline",   "int",    "long",      "register",  "restrict", "return",   "short",    "signed",
      "sizeof",   "static", "struct",    "switch",    "typedef",  "union",    "unsigned", "void",
      "volatile", "while",  "class",     "namespace", "template", "this",     "new",      "delete",
      "private",  "public", "protected", "virtual"};
  return !keywords.contains(name) && !name.starts_with('_') && !name.starts_with("mlpc_");
}

bool has_loss(const Target& t) {
  return std::ranges::any_of(t.objectives, [](const auto& o) { return o.role == Role::loss_term; });
}

/// The outputs, and what streaming carries on.
Graph with_outputs(const Target& t, const ir::Program& program) {
  Graph graph = t.graph;
  graph.name = "infer";
  for (const auto& o : t.objectives)
    if (o.role == Role::output) graph.results.push_back({o.name, o.role, 0, o.value});
  if (!graph.results.empty())
    for (const auto& [index, value] : t.new_state)  // of a `carry`
      graph.results.push_back({program.state[index].path, Role::state, index, value});
  return ir::pruned(graph);
}

/// The total, each loss, each metric, and the new state.
Graph with_losses(Target& t, std::string name, const ir::Program& program) {
  Graph graph = t.graph;
  graph.name = std::move(name);
  ir::Builder b(graph);
  std::optional<ValueId> total;
  for (const auto& o : t.objectives)
    if (o.role == Role::loss_term) total = total ? b.add(*total, o.value) : o.value;
  graph.name_value(*total, "loss");
  graph.results.push_back({"loss", Role::loss_total, 0, *total});
  for (Role role : {Role::loss_term, Role::metric})
    for (const auto& o : t.objectives)
      if (o.role == role) graph.results.push_back({o.name, o.role, 0, o.value});
  if (graph.name == "forward")
    for (std::uint32_t i = 0; i < program.state.size(); ++i) {
      const auto changed = t.new_state.find(i);
      const auto old = t.parameters.find({Role::state, i});
      if (changed == t.new_state.end() && old == t.parameters.end()) continue;
      graph.results.push_back({program.state[i].path, Role::state, i,
                               changed == t.new_state.end() ? old->second : changed->second});
    }
  return ir::pruned(graph);
}

}  // namespace

void build_model(Elaborator& el, const Stmt& model, const SourceFile& file, Scope* file_scope,
                 std::vector<std::unique_ptr<SourceFile>>& files,
                 std::vector<std::unique_ptr<Block>>& blocks) {
  el.file = &file;
  if (!is_c_name(model.name))
    el.report("bad-name", model.name_span, fmt::format("`{}` cannot be the name of a model", model.name), {},
              "it becomes the prefix of C functions: it cannot be a keyword of C or C++, nor begin with `_` "
              "or `mlpc_`");
  el.program.model = model.name;
  if (!model.text.empty()) {
    const auto type = ir::element_type_named(model.text);
    if (!type || !ir::is_float(*type))
      el.fail_at("bad-input", model.text_span,
                 fmt::format("the type of a model is f32 or f64, not `{}`", model.text), {},
                 hint_for_name(model.text));
    el.program.element = *type;
  }
  Target evaluation("eval"), training("forward");
  elaborate(el, evaluation, model, file_scope, false);
  if (el.diagnostics.empty()) {
    el.declares = false;
    elaborate(el, training, model, file_scope, true);
    el.declares = true;
    el.file = &file;
  }
  if (el.diagnostics.empty()) require_in_every_mode(el, training);
  if (el.diagnostics.empty() && evaluation.objectives.empty())
    el.report("no-result", model.name_span,
              fmt::format("the model `{}` has no output, loss or metric", model.name), {},
              "a result is written `output y = …`");
  if (!el.diagnostics.empty()) return;
  el.program.graphs.push_back(with_outputs(evaluation, el.program));
  if (el.program.graphs.back().results.empty()) el.program.graphs.pop_back();
  if (has_loss(evaluation)) {
    el.program.graphs.push_back(with_losses(evaluation, "loss", el.program));
    el.program.graphs.push_back(with_losses(training, "forward", el.program));
  }
  build_training(el, file, file_scope, files, blocks);
  try {
    ir::assign_offsets(el.program.params);
    ir::assign_offsets(el.program.state);
    ir::assign_offsets(el.program.slots);
  } catch (const Error& error) {
    el.report("too-large", model.name_span, error.what());
  }
  if (el.diagnostics.empty()) el.program.graphs.push_back(init_graph(el));
}

}  // namespace mlpc::frontend
