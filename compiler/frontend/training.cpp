#include <algorithm>

#include "compiler/frontend/glob.h"
#include "compiler/frontend/model.h"
#include "compiler/frontend/parser.h"
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

/// One setting: where it was written, in the source or on the command line.
struct Setting {
  const Expr* value;
  const SourceFile* file;
};
using Settings = std::map<std::string, Setting>;

class Training {
 public:
  Training(Elaborator& el, Scope* file_scope) : el_(el), scope_(el.new_scope(file_scope)) {
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

  void collect(const Block& block, const SourceFile& file) {
    el_.file = &file;
    for (const Stmt& s : block) guarded([&] { take(s, file); });
  }

  std::string json() {
    std::string out;
    const auto add = [&](const std::string& key, const std::string& value) {
      out += fmt::format("{}\"{}\":{}", out.empty() ? "" : ",", key, value);
    };
    if (settings_.contains("batch")) guarded([&] { add("batch", batch()); });
    for (const char* key : {"epochs", "steps", "seed", "accumulate"})
      if (settings_.contains(key)) guarded([&] { add(key, fmt::format("{}", count(key, at(key)))); });
    if (settings_.contains("early_stop")) guarded([&] { add("early_stop", early_stop()); });
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

  void update(Target& target) {
    el_.target = &target;
    el_.frame = &frame_;
    el_.training = true;
    const std::vector<bool> is_frozen = frozen();
    std::vector<std::optional<ValueId>> gradients = clipped(target, is_frozen);
    for (std::uint32_t i = 0; i < el_.program.params.size(); ++i)
      if (!is_frozen[i]) guarded([&] { update_one(target, i, *gradients[i]); });
  }

 private:
  template <typename F>
  void guarded(F f) {
    try {
      f();
    } catch (const Failure&) {
    } catch (const Error& error) {  // an op's own rule
      el_.report("bad-train-value", {}, error.what());
    }
  }

  void take(const Stmt& s, const SourceFile& file) {
    if (s.kind != Stmt::Kind::assign || s.targets.size() != 1 || s.targets[0]->kind != Expr::Kind::name)
      el_.fail_at("bad-train-key", s.span, "`train` holds only settings, as `batch = 64`");
    const std::string& key = s.targets[0]->text;
    if (std::ranges::find(kKeys, key) == kKeys.end()) {
      const std::string guess = guess_of(key, kKeys);
      el_.fail_at(
          "bad-train-key", s.targets[0]->span, fmt::format("`{}` is not a setting of `train`", key), {},
          key == "lr" || key == "learning_rate" ? "the optimizer has it: `optimizer = adam(lr = 1e-3)`"
          : guess.empty()                       ? "there are " + enumerated(kKeys)
                                                : guess);
    }
    settings_.insert_or_assign(key, Setting{s.value.get(), &file});
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

  std::vector<bool> frozen() {
    std::vector<bool> out(el_.program.params.size(), false);
    if (!settings_.contains("freeze")) return out;
    guarded([&] {
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
    if (settings_.contains("clip")) guarded([&] { clip(target, gradients); });
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
    frame_.slot_owner = p.path;
    frame_.slot_shape = p.type.shape;
    const Expr& e = at("optimizer");
    Value optimizer = el_.eval(e, scope_);
    if (const auto* definition = optimizer.as<LayerDefinition>())
      optimizer = {el_.make_layer(*definition, {{}, e.span, e.span})};
    const auto* made = optimizer.as<std::shared_ptr<MadeLayer>>();
    if (!made || (*made)->layer.definition->kind != Stmt::Kind::optimizer)
      el_.fail_at("bad-train-value", e.span,
                  fmt::format("`optimizer` has to be an optimizer, as `adamw(lr = 1e-3)`; this is {}",
                              el_.describe(optimizer)));
    const ValueId old = el_.parameter(Role::param, i, p.path, p.type);
    Call call{
        {{"", e.span, {Tensor{old}}, nullptr}, {"", e.span, {Tensor{gradient}}, nullptr}}, e.span, e.span};
    const Value result = el_.apply_layer(*made, call);
    const ValueId updated = el_.tensor(result, e.span);
    if (el_.type(updated) != p.type)
      el_.fail_at("shape-mismatch", e.span,
                  fmt::format("the optimizer returns {} for `{}`, which is {}", el_.type(updated).text(),
                              p.path, p.type.text()));
    target.graph.results.push_back({p.path, Role::param, i, updated});
  }

  Elaborator& el_;
  Scope* scope_;
  Elaborator::Frame frame_;
  Settings settings_;
  std::vector<std::string> results_;  // what `val.` has: losses and metrics
  std::set<std::string> metrics_;
};

}  // namespace

void build_training(Elaborator& el, const SourceFile& file, Scope* file_scope,
                    std::vector<std::unique_ptr<SourceFile>>& files,
                    std::vector<std::unique_ptr<Block>>& blocks) {
  Training training(el, file_scope);
  Target target("update");
  el.target = &target;
  Elaborator::Frame frame;
  el.frame = &frame;
  if (el.train) training.collect(el.train->body, file);
  for (const auto& [key, value] : el.options.train) {
    const SourceFile& source =
        *files.emplace_back(std::make_unique<SourceFile>("--train." + key, key + " = " + value));
    const Block& block = *blocks.emplace_back(std::make_unique<Block>(parse(source, el.diagnostics)));
    training.collect(block, source);
  }
  el.program.train = training.json();
  if (!training.has_optimizer()) training.require_no_update_settings();
  if (!training.has_optimizer() || !el.diagnostics.empty()) return;
  if (!el.program.find("forward")) {
    training.report_no_loss();
    return;
  }
  training.update(target);
  for (std::uint32_t i = 0; i < el.program.slots.size(); ++i) {
    const auto changed = target.new_state.find(i);
    if (changed != target.new_state.end())
      target.graph.results.push_back({el.program.slots[i].path, Role::slot, i, changed->second});
  }
  for (const auto& o : target.objectives) target.graph.results.push_back({o.name, o.role, 0, o.value});
  el.program.graphs.push_back(ir::pruned(target.graph));
}

}  // namespace mlpc::frontend
