#include <algorithm>

#include "compiler/frontend/glob.h"
#include "compiler/frontend/model.h"
#include "compiler/frontend/parser.h"
#include "compiler/frontend/row_graph.h"
#include "ir/error.h"
#include "ir/prune.h"

// `train { … }`: what is compiled in (optimizer, clip, freeze) goes into the graph `update`; the rest is the
// trainer's.

namespace mlpc::frontend {
namespace {

using ir::ElementType;
using ir::Op;
using ir::Role;
using ir::ValueId;

const std::vector<std::string> kKeys = {"optimizer", "batch",      "epochs", "steps",     "clip",
                                        "seed",      "early_stop", "freeze", "accumulate"};

template <typename F>
void guarded(Elaborator& el, F f) {
  try {
    f();
  } catch (const Failure&) {
  } catch (const Error& error) {  // an op's own rule
    el.report("bad-train-value", {}, error.what());
  }
}

void take(Elaborator& el, const Stmt& s, const SourceFile& file, Settings& settings) {
  if (s.kind != Stmt::Kind::assign || s.targets.size() != 1 || s.targets[0]->kind != Expr::Kind::name)
    el.fail_at("bad-train-key", s.span, "`train` holds only settings, as `batch = 64`");
  const std::string& key = s.targets[0]->text;
  if (std::ranges::find(kKeys, key) == kKeys.end()) {
    const std::string guess = guess_of(key, kKeys);
    el.fail_at("bad-train-key", s.targets[0]->span, fmt::format("`{}` is not a setting of `train`", key), {},
               key == "lr" || key == "learning_rate" ? "the optimizer has it: `optimizer = adam(lr = 1e-3)`"
               : guess.empty()                       ? "there are " + enumerated(kKeys)
                                                     : guess);
  }
  settings.insert_or_assign(key, Setting{s.value.get(), &file});
}

class Training {
 public:
  Training(Elaborator& el, const Settings& settings, Scope* file_scope)
      : el_(el), scope_(el.new_scope(file_scope)), settings_(settings) {
    // Numbers of the model are known here; its tensors belong to other graphs.
    for (const Scope* s = el.train_scope; s && s != file_scope; s = s->parent)
      for (const auto& [name, binding] : s->names)
        if (!binding.value.as<Tensor>()) scope_->names.emplace(name, binding);
    frame_.kind = Elaborator::Frame::Kind::optimizer;
    if (const ir::Graph* loss = el.program.find("loss"))
      for (const ir::Graph::Result& r : loss->results) {
        results_.push_back(r.name);
        if (r.role == Role::metric) metrics_.insert(r.name);
      }
  }

  std::string json() {
    std::string out;
    const auto add = [&](const std::string& key, const std::string& value) {
      out += fmt::format("{}\"{}\":{}", out.empty() ? "" : ",", key, value);
    };
    if (settings_.contains("batch")) guarded(el_, [&] { add("batch", batch()); });
    for (const char* key : {"epochs", "steps", "seed", "accumulate"})
      if (settings_.contains(key)) guarded(el_, [&] { add(key, fmt::format("{}", count(key, at(key)))); });
    if (settings_.contains("early_stop")) guarded(el_, [&] { add("early_stop", early_stop()); });
    return "{" + out + "}";
  }

  bool has_optimizer() const { return settings_.contains("optimizer"); }
  void require_no_update_settings() {
    for (const char* key : {"clip", "freeze"})
      if (settings_.contains(key)) {
        const Expr& e = at(key);
        el_.report("bad-train-value", e.span,
                   fmt::format("`{}` acts on the steps of an `optimizer`, and there is none", key));
      }
  }
  void report_no_loss() {
    const Expr& e = at("optimizer");
    el_.report("bad-train-value", e.span, "there is nothing to train: the model has no loss");
  }

  std::vector<bool> frozen(Target& target) {
    enter(target);
    std::vector<bool> out(el_.program.params.size(), false);
    if (!settings_.contains("freeze")) return out;
    guarded(el_, [&] {
      const Expr& e = at("freeze");
      const Value v = el_.eval(e, scope_);
      const auto* list = v.as<List>();
      if (!list)
        el_.fail_at("bad-train-value", e.span,
                    fmt::format("`freeze` has to be a list of patterns, as [\"enc.*\"]; this is {}",
                                el_.describe(v)));
      for (const Value& item : list->items) freeze_matching(item, e, out);
    });
    return out;
  }

  void update(Target& target, const std::vector<bool>& is_frozen) {
    enter(target);
    std::vector<std::optional<ValueId>> gradients = clipped(target, is_frozen);
    for (std::uint32_t i = 0; i < el_.program.params.size(); ++i)
      if (!is_frozen[i]) {
        el_.target = &target;
        guarded(el_, [&] { update_one(target, i, *gradients[i]); });
      }
  }

 private:
  void enter(Target& target) {
    el_.target = &target;
    el_.frame = &frame_;
    el_.training = true;
  }

  /// Positions of errors are those of the setting's own file.
  const Expr& at(const std::string& key) {
    const Setting& s = settings_.at(key);
    el_.file = s.file;
    return *s.value;
  }

  /// 64, or how many rows of each free dim: {N: 256, M: 64}
  std::string batch() {
    const Expr& e = at("batch");
    if (e.kind != Expr::Kind::record) return fmt::format("{}", count("batch", e));
    std::string out;
    std::set<std::string> seen;
    for (const Argument& a : e.arguments) {
      if (std::ranges::find(el_.program.dims, a.name) == el_.program.dims.end())
        el_.fail_at("bad-train-value", a.span, fmt::format("`{}` is not a free dim of the model", a.name), {},
                    guess_of(a.name, el_.program.dims));
      if (!seen.insert(a.name).second)
        el_.fail_at("bad-train-value", a.span, fmt::format("`{}` is given twice", a.name));
      out += fmt::format("{}\"{}\":{}", out.empty() ? "" : ",", a.name, count("batch", *a.value));
    }
    if (out.empty()) el_.fail_at("bad-train-value", e.span, "`batch` names no dim");
    return "{" + out + "}";
  }

  std::int64_t count(const std::string& key, const Expr& e) {
    const std::int64_t n = el_.integer(el_.eval(e, scope_), e.span, fmt::format("`{}`", key));
    if (n < (key == "seed" ? 0 : 1))
      el_.fail_at("bad-train-value", e.span,
                  fmt::format("`{}` is {}; it {}", key, n,
                              key == "seed" ? "cannot be negative" : "has to be at least 1"));
    return n;
  }

  /// patience(val.ce, 3), patience(val.acc, 3, mode = "max")
  std::string early_stop() {
    const Expr& e = at("early_stop");
    const auto is_value = [](const Expr& m) {
      return m.kind == Expr::Kind::member && m.operands[0]->kind == Expr::Kind::name &&
             m.operands[0]->text == "val";
    };
    const bool is_call = e.kind == Expr::Kind::call && e.operands[0]->kind == Expr::Kind::name &&
                         e.operands[0]->text == "patience";
    if (!is_call || e.arguments.size() < 2 || !is_value(*e.arguments[0].value))
      el_.fail_at("bad-train-value", e.span, "`early_stop` has to be patience(val.NAME, epochs)", {},
                  "a metric states its mode: patience(val.acc, 3, mode = \"max\")");
    const std::string& watched = e.arguments[0].value->text;
    if (std::ranges::find(results_, watched) == results_.end())
      el_.fail_at("bad-train-value", e.arguments[0].value->span,
                  fmt::format("the model has no loss or metric `{}`", watched), {},
                  guess_of(watched, results_));
    const std::int64_t patience =
        el_.integer(el_.eval(*e.arguments[1].value, scope_), e.arguments[1].value->span, "the patience");
    std::string mode = "min";
    if (e.arguments.size() == 2 && metrics_.contains(watched))
      el_.fail_at(
          "bad-train-value", e.span,
          fmt::format("it is not said whether the metric `{}` should fall or rise", watched), {},
          fmt::format("a metric states its mode: patience(val.{}, {}, mode = \"max\")", watched, patience));
    if (e.arguments.size() > 2) {
      const Value v = el_.eval(*e.arguments[2].value, scope_);
      const auto* text = v.as<std::string>();
      if (!text || (*text != "min" && *text != "max"))
        el_.fail_at("bad-train-value", e.arguments[2].value->span, "the mode has to be \"min\" or \"max\"");
      mode = *text;
    }
    return fmt::format("{{\"metric\":\"{}\",\"patience\":{},\"mode\":\"{}\"}}", e.arguments[0].value->text,
                       patience, mode);
  }

  void freeze_matching(const Value& item, const Expr& e, std::vector<bool>& out) {
    const auto* glob = item.as<std::string>();
    if (!glob)
      el_.fail_at("bad-train-value", e.span, "the patterns of `freeze` stand in quotes, as [\"enc.*\"]");
    bool any = false;
    for (std::size_t i = 0; i < out.size(); ++i)
      if (matches_glob(*glob, el_.program.params[i].path)) out[i] = any = true;
    if (any) return;
    std::vector<std::string> known;
    for (const ir::TensorInfo& p : el_.program.params) known.push_back(p.path);
    el_.fail_at("no-match", e.span, fmt::format("no parameter matches \"{}\"", *glob), {},
                known.empty() ? "" : "the parameters are " + enumerated(known));
  }

  /// The gradients as the optimizer sees them. By norm: g · min(1, c / (‖g‖ + 1e-6)), over all parameters
  /// together (PyTorch's clip_grad_norm_); by value: each element into [-c, c].
  std::vector<std::optional<ValueId>> clipped(Target& target, const std::vector<bool>& is_frozen) {
    std::vector<std::optional<ValueId>> gradients;
    for (std::uint32_t i = 0; i < el_.program.params.size(); ++i) {
      const ir::TensorInfo& p = el_.program.params[i];
      gradients.push_back(is_frozen[i]
                              ? std::nullopt
                              : std::optional(el_.parameter(Role::grad, i, p.path + ".grad", p.type)));
    }
    if (settings_.contains("clip")) guarded(el_, [&] { clip(target, gradients); });
    return gradients;
  }

  void clip(Target& target, std::vector<std::optional<ValueId>>& gradients) {
    const Expr& e = at("clip");
    const bool is_call =
        e.kind == Expr::Kind::call && e.operands[0]->kind == Expr::Kind::name && e.arguments.size() == 1;
    const std::string how = is_call ? e.operands[0]->text : "";
    if (how != "norm" && how != "value")
      el_.fail_at("bad-train-value", e.span, "`clip` has to be norm(c) or value(c)");
    const double limit =
        el_.number(el_.eval(*e.arguments[0].value, scope_), e.arguments[0].value->span, "the limit");
    const ElementType type = el_.program.element;
    ir::Builder& b = target.builder;
    if (how == "value") {
      for (auto& g : gradients)
        if (g)
          g = b.value(Op::clamp_max_, {b.value(Op::clamp_min_, {*g}, {ir::Constant::of(type, -limit)})},
                      {ir::Constant::of(type, limit)});
      return;
    }
    std::optional<ValueId> squares;
    for (const auto& g : gradients) {
      if (!g) continue;
      ir::Integers all;
      for (std::size_t axis = 0; axis < el_.type(*g).rank(); ++axis)
        all.push_back(static_cast<std::int64_t>(axis));
      const ValueId s = el_.reduce(Op::reduce_sum_, b.mul(*g, *g), all);
      squares = squares ? b.add(*squares, s) : s;
    }
    if (!squares) return;
    const ValueId norm = b.sqrt(*squares);
    const ValueId ratio = b.div(b.scalar(type, limit), b.add(norm, b.scalar(type, 1e-6)));
    const ValueId factor = b.value(Op::clamp_max_, {ratio}, {ir::Constant::of(type, 1)});
    for (auto& g : gradients)
      if (g) g = b.mul(*g, el_.broadcast_to(factor, el_.type(*g).shape));
    target.objectives.push_back({Role::clip_norm, "clip_norm", norm});
  }

  void update_one(Target& target, std::uint32_t i, ValueId gradient) {
    const ir::TensorInfo p = el_.program.params[i];
    if (ir::stacked_axes(p.path) > 0) return update_rows(target, i, gradient);
    const ValueId updated = stepped(p.path, el_.parameter(Role::param, i, p.path, p.type), gradient);
    target.graph.results.push_back({p.path, Role::param, i, updated});
  }

  /// The optimizer's new value of a parameter.
  ValueId stepped(const std::string& path, ValueId p, ValueId gradient) {
    const ir::Type type = el_.type(p);
    frame_.slot_owner = path;
    frame_.slot_shape = type.shape;
    const Expr& e = at("optimizer");
    Value optimizer = el_.eval(e, scope_);
    if (const auto* definition = optimizer.as<LayerDefinition>())
      optimizer = {el_.make_layer(*definition, {{}, e.span, e.span})};
    const auto* made = optimizer.as<std::shared_ptr<MadeLayer>>();
    if (!made || (*made)->layer.definition->kind != Stmt::Kind::optimizer)
      el_.fail_at("bad-train-value", e.span,
                  fmt::format("`optimizer` has to be an optimizer, as `adamw(lr = 1e-3)`; this is {}",
                              el_.describe(optimizer)));
    Call call{
        {{"", e.span, {Tensor{p}}, nullptr}, {"", e.span, {Tensor{gradient}}, nullptr}}, e.span, e.span};
    const ValueId updated = el_.tensor(el_.apply_layer(*made, call), e.span);
    if (el_.type(updated) != type)
      el_.fail_at("shape-mismatch", e.span,
                  fmt::format("the optimizer returns {} for `{}`, which is {}", el_.type(updated).text(),
                              path, type.text()));
    return updated;
  }

  /// Of a stack, whose rows are a parameter each to the optimizer: it is elaborated for one, and done to all.
  void update_rows(Target& target, std::uint32_t i, ValueId gradients) {
    const ir::TensorInfo p = el_.program.params[i];
    const auto begin = p.type.shape.begin(),
               end = begin + static_cast<std::ptrdiff_t>(ir::stacked_axes(p.path));
    const ir::Shape rows(begin, end);
    const ir::Type row{p.type.element, {end, p.type.shape.end()}};
    const std::size_t slots_before = el_.program.slots.size();
    Target one("row");
    el_.target = &one;
    const ValueId old = el_.parameter(Role::param, i, p.path, row);
    const ValueId updated = stepped(p.path, old, el_.parameter(Role::grad, i, p.path + ".grad", row));
    one.graph.results.push_back({p.path, Role::param, i, updated});
    for (const auto& [slot, value] : one.new_state)
      one.graph.results.push_back({el_.program.slots[slot].path, Role::slot, slot, value});
    el_.target = &target;
    for (std::size_t k = slots_before; k < el_.program.slots.size(); ++k) {
      ir::Type& type = el_.program.slots[k].type;
      type.shape = stacked_shape(rows, type.shape);
    }
    const std::vector<ValueId> all =
        over_rows(target.builder, one.graph, rows, [&](const ir::Graph::Parameter& q) {
          if (q.role == Role::grad) return gradients;
          ir::Type type = one.graph.type(q.value);
          if (q.role == Role::param || q.role == Role::slot) type.shape = stacked_shape(rows, type.shape);
          return el_.parameter(q.role, q.index, q.name, type);
        });
    target.graph.results.push_back({p.path, Role::param, i, all[0]});
    for (std::size_t r = 1; r < all.size(); ++r) target.new_state[one.graph.results[r].index] = all[r];
  }

  Elaborator& el_;
  Scope* scope_;
  Elaborator::Frame frame_;
  const Settings& settings_;
  std::vector<std::string> results_;  // what `val.` has: losses and metrics
  std::set<std::string> metrics_;
};

}  // namespace

Settings train_settings(Elaborator& el, const SourceFile& file,
                        std::vector<std::unique_ptr<SourceFile>>& files,
                        std::vector<std::unique_ptr<Block>>& blocks) {
  Settings out;
  const auto collect = [&](const Block& block, const SourceFile& from) {
    el.file = &from;
    for (const Stmt& s : block) guarded(el, [&] { take(el, s, from, out); });
  };
  Target scratch("settings");  // nothing is computed
  el.target = &scratch;
  Elaborator::Frame frame;
  el.frame = &frame;
  if (el.train) collect(el.train->body, file);
  for (const auto& [key, value] : el.options.train) {
    const SourceFile& source =
        *files.emplace_back(std::make_unique<SourceFile>("--train." + key, key + " = " + value));
    collect(*blocks.emplace_back(std::make_unique<Block>(parse(source, el.diagnostics))), source);
  }
  return out;
}

std::vector<bool> frozen_parameters(Elaborator& el, const Settings& settings, Scope* file_scope) {
  if (!settings.contains("optimizer")) return std::vector<bool>(el.program.params.size(), false);
  Target scratch("settings");
  return Training(el, settings, file_scope).frozen(scratch);
}

void build_training(Elaborator& el, const Settings& settings, const std::vector<bool>& is_frozen,
                    Scope* file_scope) {
  Training training(el, settings, file_scope);
  Target target("update");
  el.target = &target;
  Elaborator::Frame frame;
  el.frame = &frame;
  el.program.train = training.json();
  if (!training.has_optimizer()) training.require_no_update_settings();
  if (!training.has_optimizer() || !el.diagnostics.empty()) return;
  if (!el.program.find("forward")) {
    training.report_no_loss();
    return;
  }
  training.update(target, is_frozen);
  for (std::uint32_t i = 0; i < el.program.slots.size(); ++i) {
    const auto changed = target.new_state.find(i);
    if (changed != target.new_state.end())
      target.graph.results.push_back({el.program.slots[i].path, Role::slot, i, changed->second});
  }
  for (const auto& o : target.objectives) target.graph.results.push_back({o.name, o.role, 0, o.value});
  el.program.graphs.push_back(ir::pruned(target.graph));
}

}  // namespace mlpc::frontend
