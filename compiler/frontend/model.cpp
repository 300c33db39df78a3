#include "compiler/frontend/model.h"

#include <algorithm>
#include <set>

#include "compiler/frontend/foreign.h"
#include "compiler/frontend/random.h"
#include "compiler/frontend/roll_up.h"
#include "ir/error.h"
#include "ir/ops/scan.h"
#include "ir/prune.h"

namespace mlpc::frontend {
namespace {

using ir::ElementType;
using ir::Graph;
using ir::Role;
using ir::ValueId;

constexpr std::int64_t kTurnsOfALoop = 1 << 14;  // more than any has

/// The number of a turn of a loop inside of a turn of those around it.
ValueId turn_in(ir::Builder& b, ValueId around, ValueId turn) {
  const ValueId n = b.constant(ir::Constant::of_integer(ElementType::i64, kTurnsOfALoop));
  return b.add(b.mul(around, n), turn);
}

/// A tensor's initial value, whole: one draw for each turn of the loops that its path names. A row of a stack
/// is drawn as it would be alone.
///   path : what is left of it     seed, turn : i64[]
ValueId initial(ir::Builder& b, std::string_view path, const ir::Type& type, const Distribution& from,
                std::int64_t stream, ValueId seed, ValueId turn) {
  const std::size_t open = path.find('[');
  if (open == std::string_view::npos || from.kind == Distribution::Kind::constant) {
    const ValueId zero = b.constant(ir::Constant::of_integer(ElementType::i64, 0));
    return drawn(b, type, from, stream, {seed, zero, turn, zero});
  }
  const std::size_t close = path.find(']', open);
  const std::string number(path.substr(open + 1, close - open - 1));
  path = path.substr(close);
  if (number != "*") {
    const ValueId k = b.constant(ir::Constant::of_integer(ElementType::i64, std::stoll(number)));
    return initial(b, path, type, from, stream, seed, turn_in(b, turn, k));
  }
  const ir::Type i64{ElementType::i64, {}};
  Graph body;
  body.name = "init";
  ir::Builder inside(body);
  const ValueId now = body.add_parameter("turn", i64, Role::turn),
                same_seed = body.add_parameter("seed", i64, Role::constant, 0),
                around = body.add_parameter("around", i64, Role::constant, 1);
  const ValueId row =
      initial(inside, path, ir::ops::element_of(type), from, stream, same_seed, turn_in(inside, around, now));
  body.results.push_back({"row", Role::stacked, 0, row});
  const ir::ops::ScanSpec spec{ir::Body(std::move(body)), type.shape[0], false};
  return ir::ops::scan(b, spec, std::vector{seed, turn})[0];
}

Graph init_graph(const Elaborator& el) {
  Graph graph;
  graph.name = "init";
  ir::Builder b(graph);
  const ValueId seed = graph.add_parameter("seed", {ElementType::i64, {}}, Role::seed);
  const ValueId zero = b.constant(ir::Constant::of_integer(ElementType::i64, 0));
  const auto add = [&](const std::vector<ir::TensorInfo>& table, const std::vector<Distribution>& draws,
                       Role role) {
    for (std::uint32_t i = 0; i < table.size(); ++i) {
      const std::string& path = table[i].path;
      const std::int64_t stream = stream_of(ir::name_of(role), without_turns(path));
      graph.results.push_back({path, role, i, initial(b, path, table[i].type, draws[i], stream, seed, zero)});
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
  const Settings settings = train_settings(el, file, files, blocks);
  std::vector<bool> is_frozen = frozen_parameters(el, settings, file_scope);
  const bool is_rolled =
      !el.options.unrolls && el.diagnostics.empty() && roll_up(el, {&evaluation, &training}, is_frozen);
  el.program.graphs.push_back(with_outputs(evaluation, el.program));
  if (el.program.graphs.back().results.empty()) el.program.graphs.pop_back();
  if (has_loss(evaluation)) {
    el.program.graphs.push_back(with_losses(evaluation, "loss", el.program));
    el.program.graphs.push_back(with_losses(training, "forward", el.program));
  }
  build_training(el, settings, is_frozen, file_scope);
  try {
    ir::assign_offsets(el.program.params);
    ir::assign_offsets(el.program.state);
    ir::assign_offsets(el.program.slots);
  } catch (const Error& error) {
    el.report("too-large", model.name_span, error.what());
  }
  if (el.diagnostics.empty()) el.program.graphs.push_back(init_graph(el));
  if (is_rolled) ir::drop_unused_locations(el.program);  // those of each turn
}

}  // namespace mlpc::frontend
