#include <algorithm>
#include <array>

#include "compiler/passes/passes.h"
#include "ir/builder.h"
#include "ir/copy.h"
#include "ir/error.h"

namespace mlpc::passes {
namespace {

using ir::Builder;
using ir::Graph;
using ir::Node;
using ir::Op;
using ir::Role;
using ir::ValueId;

bool is_float(const ir::Type& type) { return ir::is_float(type.element); }

/// Marks are told apart by their ids: ours come after those that a graph has.
std::int64_t first_free_mark(const Graph& graph) {
  std::int64_t first = 0;
  for (std::uint32_t i = 0; i < graph.node_count(); ++i)
    if (const Node& node = graph.node({i}); node.op == Op::mark_)
      first = std::max(first, std::get<std::int64_t>(node.attributes[0]) + 1);
  return first;
}

/// A graph of the program, copied under another name, with those parameters marked that derivatives are taken
/// by.
class Entry {
 public:
  struct Target {
    const Graph::Parameter& parameter;  // of the source
    ValueId marked;
  };

  Entry(ir::Program& program, const Graph& source, std::string name)
      : program_(program), source_(source), b_(graph_), copier_(source, b_) {
    graph_.name = std::move(name);
  }

  template <typename IsTarget>
  void copy(IsTarget is_target) {
    std::int64_t mark = first_free_mark(source_);
    for (const Graph::Parameter& p : source_.parameters()) {
      const ValueId own =
          graph_.add_parameter(p.name, source_.type(p.value), p.role, p.index, source_.value_name(p.value));
      copier_.bind(p.value, own);
      if (!is_target(p) || !is_float(source_.type(p.value))) continue;
      copier_.bind(p.value, b_.value(Op::mark_, {own}, {mark++}));
      targets.push_back({p, copier_.at(p.value)});
    }
    copier_.copy_all();
  }

  ValueId at(ValueId of_source) const { return copier_.at(of_source); }
  Builder& b() { return b_; }

  /// The directions of all targets: of a parameter a part of the caller's buffer, of an input one more input.
  std::vector<ValueId> tangents() {
    std::vector<ValueId> out;
    for (const Target& t : targets) {
      const Graph::Parameter& p = t.parameter;
      const ir::Type type = source_.type(p.value);
      if (p.role == Role::param)
        out.push_back(graph_.add_parameter(p.name + ".dot", type, Role::tangent, p.index));
      else
        out.push_back(graph_.add_parameter(p.name + "_dot", type, Role::input, input(p.name + "_dot", type)));
    }
    return out;
  }

  std::vector<ValueId> marked() const {
    std::vector<ValueId> out;
    for (const Target& t : targets) out.push_back(t.marked);
    return out;
  }

  /// Values of a derivative op with several operands, whose results follow each other.
  std::vector<ValueId> derivative(Op op, const std::vector<ValueId>& operands) {
    const Node& node = graph_.node(b_.make(op, operands));
    std::vector<ValueId> out;
    for (std::uint32_t r = 0; r < node.result_count; ++r) out.push_back(Graph::result(node, r));
    return out;
  }

  void add_result(const std::string& name, Role role, std::uint32_t index, ValueId v) {
    const bool is_taken = role == Role::output &&
                          std::ranges::any_of(graph_.results, [&](const auto& r) { return r.name == name; });
    if (is_taken)
      fail("the entry `{}` has a result `{}`, which is an output of the model", graph_.name, name);
    graph_.results.push_back({name, role, index, v});
  }

  Graph finish() { return std::move(graph_); }

  std::vector<Target> targets;

 private:
  std::uint32_t input(const std::string& name, const ir::Type& type) {
    if (std::ranges::find(program_.inputs, name, &ir::InputInfo::name) != program_.inputs.end())
      fail("the entry `{}` has an input `{}`, which is one of the model", graph_.name, name);
    program_.inputs.push_back({name, type});
    return static_cast<std::uint32_t>(program_.inputs.size() - 1);
  }

  ir::Program& program_;
  const Graph& source_;
  Graph graph_;
  Builder b_;
  ir::Copier copier_;
};

const Graph& needed(const ir::Program& program, std::string_view graph, std::string_view entry,
                    std::string_view lack) {
  const Graph* found = program.find(graph);
  if (!found) fail("there is no entry `{}`: the model has no {}", entry, lack);
  return *found;
}

bool is_differentiable_output(const Graph& graph, const Graph::Result& r) {
  return r.role == Role::output && is_float(graph.type(r.value));
}

/// Outputs y, and y_dot = ∂y/∂parameters · their tangents + ∂y/∂x · x_dot.
Graph jvp_entry(ir::Program& program) {
  const Graph source = needed(program, "infer", "jvp", "output");
  Entry entry(program, source, "jvp");
  entry.copy([](const Graph::Parameter& p) { return p.role == Role::param || p.role == Role::input; });
  if (entry.targets.empty()) fail("there is no entry `jvp`: no parameter or input of a float type is read");
  const std::vector<ValueId> marked = entry.marked(), tangents = entry.tangents();
  for (const Graph::Result& r : source.results)
    if (r.role == Role::output) entry.add_result(r.name, Role::output, 0, entry.at(r.value));
  for (const Graph::Result& r : source.results) {
    if (!is_differentiable_output(source, r)) continue;
    std::vector<ValueId> operands = {entry.at(r.value)};
    operands.insert(operands.end(), marked.begin(), marked.end());
    operands.insert(operands.end(), tangents.begin(), tangents.end());
    entry.add_result(r.name + "_dot", Role::output, 0, entry.derivative(Op::jvp_, operands).front());
  }
  return entry.finish();
}

/// The values of `grad`, and H v in place of the gradients: ∂/∂θ of the loss' derivative in the direction v,
/// reverse over forward (Pearlmutter, "Fast exact multiplication by the Hessian", 1994).
Graph hvp_entry(ir::Program& program) {
  const Graph source = needed(program, "forward", "hvp", "loss");
  Entry entry(program, source, "hvp");
  entry.copy([](const Graph::Parameter& p) { return p.role == Role::param; });
  if (entry.targets.empty()) fail("there is no entry `hvp`: the loss reads no parameter");
  const std::vector<ValueId> marked = entry.marked(), tangents = entry.tangents();
  std::vector<ValueId> slope;
  for (const Graph::Result& r : source.results) {
    if (r.role == Role::state) continue;  // a look at the curvature is no step of training
    entry.add_result(r.name, r.role, r.index, entry.at(r.value));
    if (r.role == Role::loss_total) slope = {entry.at(r.value)};
  }
  slope.insert(slope.end(), marked.begin(), marked.end());
  slope.insert(slope.end(), tangents.begin(), tangents.end());
  Builder& b = entry.b();
  const ValueId directional = entry.derivative(Op::jvp_, slope).front();
  const ValueId loss_bar = b.graph().add_parameter("loss_bar", {ir::ElementType::f64, {}}, Role::loss_bar);
  const ir::ElementType element = b.type(directional).element;
  std::vector<ValueId> pulled = {directional,
                                 element == ir::ElementType::f64 ? loss_bar : b.convert(loss_bar, element)};
  pulled.insert(pulled.end(), marked.begin(), marked.end());
  const std::vector<ValueId> products = entry.derivative(Op::vjp_, pulled);
  std::vector<std::optional<ValueId>> by_param(program.params.size());
  for (std::size_t i = 0; i < products.size(); ++i) by_param[entry.targets[i].parameter.index] = products[i];
  for (std::uint32_t i = 0; i < program.params.size(); ++i)
    entry.add_result(program.params[i].path, Role::grad, i,
                     by_param[i] ? *by_param[i] : b.full(program.params[i].type, 0));
  return entry.finish();
}

/// dy_dx[i…, j…] = ∂y[i…]/∂x[j…] for each output y and each input x of float types.
Graph jacobian_entry(ir::Program& program) {
  const Graph source = needed(program, "infer", "jacobian", "output");
  Entry entry(program, source, "jacobian");
  entry.copy([](const Graph::Parameter& p) { return p.role == Role::input; });
  for (const Graph::Result& r : source.results) {
    if (!is_differentiable_output(source, r)) continue;
    for (const Entry::Target& t : entry.targets)
      entry.add_result(fmt::format("d{}_d{}", r.name, t.parameter.name), Role::output, 0,
                       entry.derivative(Op::jacobian_, {entry.at(r.value), t.marked}).front());
  }
  Graph graph = entry.finish();
  if (graph.results.empty()) fail("there is no entry `jacobian`: it is of float outputs by float inputs");
  return graph;
}

struct EntryOnRequest {
  std::string_view name;
  Graph (*make)(ir::Program& program);
};
constexpr std::array kOnRequest = {EntryOnRequest{"jvp", jvp_entry}, EntryOnRequest{"hvp", hvp_entry},
                                   EntryOnRequest{"jacobian", jacobian_entry}};

}  // namespace

bool is_on_request(std::string_view name) {
  return std::ranges::find(kOnRequest, name, &EntryOnRequest::name) != kOnRequest.end();
}

ir::Program add_entries(const ir::Program& program, std::span<const std::string> names) {
  ir::Program out = program;
  for (const std::string& name : names) {
    if (out.find(name)) continue;
    const auto* entry = std::ranges::find(kOnRequest, name, &EntryOnRequest::name);
    if (entry == kOnRequest.end()) fail("`{}` is no entry that can be asked for: jvp, hvp, jacobian", name);
    out.graphs.push_back(entry->make(out));
  }
  return out;
}

}  // namespace mlpc::passes
