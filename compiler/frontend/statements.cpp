#include "compiler/frontend/statements.h"

#include <algorithm>

#include "compiler/frontend/derivatives.h"
#include "compiler/frontend/index_notation.h"
#include "compiler/frontend/recurrence.h"
#include "ir/error.h"

namespace mlpc::frontend {

using ir::Dim;
using ir::ElementType;
using ir::Role;
using ir::Shape;
using ir::ValueId;

Elaborator::Elaborator(ir::Program& p, const FrontendOptions& o, Diagnostics& d)
    : program(p), options(o), diagnostics(d) {}

void Elaborator::require_new(const Scope& scope, const std::string& name, Span span) {
  const auto found = scope.names.find(name);
  if (found != scope.names.end() && found->second.file && !found->second.value.as<Poison>())
    fail_at("duplicate-name", span, fmt::format("`{}` is defined twice", name),
            {note_of(found->second, "the first is here")});
}

void Elaborator::bind(Scope& scope, const std::string& name, Span span, Value value, bool is_new) {
  if (is_new) require_new(scope, name, span);
  if (auto* t = std::get_if<Tensor>(&value.is); t && target) {
    if (!file->is_library) t->id = bound_value(*this, name, t->id, false);
    target->graph.name_value(t->id, frame->path + name);
  }
  // In a loop's body a name that is bound outside, in the same definition, is that one.
  Scope* owner = &scope;
  while (!is_new && owner->is_turn && !owner->names.contains(name)) owner = owner->parent;
  (owner->names.contains(name) ? *owner : scope).names[name] = {std::move(value), file, span, std::nullopt,
                                                                target};
}

const Shape& Elaborator::batch_dims(Scope* scope, Span span) {
  while (scope && !scope->batch) scope = scope->parent;
  if (!scope)
    fail_at("bad-shape", span, "`..` stands for the dims that a signature left open; there are none here");
  return *scope->batch;
}

Shape Elaborator::shape(const std::vector<ShapeItem>& items, Scope* scope, Dims dims) {
  Shape out;
  for (const ShapeItem& item : items) {
    if (item.is_ellipsis) {
      if (dims != Dims::with_batch)
        fail_at("bad-shape", item.span,
                "`..` cannot stand here: only in the signature of a layer, and in the shape of noise");
      const Shape& batch = batch_dims(scope, item.span);
      out.insert(out.end(), batch.begin(), batch.end());
      continue;
    }
    if (dims == Dims::declared && item.extent->kind == Expr::Kind::name && !scope->find(item.extent->text)) {
      const std::string& name = item.extent->text;
      if (std::ranges::find(program.dims, name) == program.dims.end()) {
        constexpr std::size_t kMostDims = 16;
        if (program.dims.size() >= kMostDims)
          fail_at("too-large", item.span,
                  fmt::format("`{}` is free dim {}; a model can have {}", name, kMostDims + 1, kMostDims));
        program.dims.push_back(name);
      }
      scope->names[name] = {{Dim::named(name)}, file, item.span, std::nullopt, nullptr};
    }
    if (dims == Dims::known && item.extent->kind == Expr::Kind::name && !scope->find(item.extent->text))
      unknown_name(item.extent->text, item.span, *scope,
                   "an extent is declared by `const H = 64`, or is one of an input");
    out.push_back(dim(eval(*item.extent, scope), item.span, "an extent"));
  }
  return out;
}

namespace {

void check(Elaborator& el, const Stmt& s, Scope* scope) {
  if (el.condition(el.eval(*s.value, scope), s.value->span)) return;
  std::string text;  // {H} is replaced by the value of H
  for (std::size_t i = 0; i < s.text.size(); ++i) {
    const std::size_t close = s.text[i] == '{' ? s.text.find('}', i) : std::string::npos;
    const Binding* binding =
        close == std::string::npos ? nullptr : scope->find(s.text.substr(i + 1, close - i - 1));
    if (!binding) {
      text += s.text[i];
      continue;
    }
    const auto* n = binding->value.as<Number>();
    text += n ? fmt::format("{}", n->value) : el.describe_bound(*binding);
    i = close;
  }
  el.fail_at("assert-failed", s.value->span, text.empty() ? "the assertion does not hold" : text);
}

void bind_target(Elaborator& el, const Expr& t, Value value, Scope* scope) {
  if (t.kind == Expr::Kind::hole || assign_at_time(el, t, value, scope)) return;
  if (t.kind != Expr::Kind::name)
    el.fail_at("bad-index", t.span, "several elements cannot be assigned at once: write `S[i, j] = …` alone");
  if (const auto* layer = value.as<std::shared_ptr<MadeLayer>>()) el.name_layer(**layer, t.text, t.span);
  el.bind(*scope, t.text, t.span, std::move(value), false);
}

void assign(Elaborator& el, const Stmt& s, Scope* scope) {
  if (is_initial_assignment(s, *scope)) return;  // has been done
  if (is_index_assignment(s, *scope)) return assign_at_indices(el, s, scope);
  const std::vector<Value> values = unpacked(el, s, el.eval(*s.value, scope));
  // From the right, so that anonymous layers' numbers are given back in turn.
  for (std::size_t i = s.targets.size(); i-- > 0;) bind_target(el, *s.targets[i], values[i], scope);
}

/// After an error, the names that the statement would have bound are poison, so that no error follows from
/// it.
void poison(const Stmt& s, Scope& scope, const SourceFile* file) {
  const auto mark = [&](const std::string& name) {
    scope.names[name] = {{Poison{}}, file, s.span, std::nullopt, nullptr};
  };
  if (!s.name.empty() && s.kind != Stmt::Kind::update && s.kind != Stmt::Kind::loop &&
      s.kind != Stmt::Kind::recurrence)
    mark(s.name);
  if (s.kind == Stmt::Kind::loop)
    for (const std::string& name : assigned_names(s.body)) mark(name);
  if (s.kind == Stmt::Kind::branch)
    for (const Block* block : {&s.body, &s.otherwise})
      for (const std::string& name : assigned_names(*block)) mark(name);
  if (s.kind == Stmt::Kind::expression && s.value->kind == Expr::Kind::binary && s.value->text == "==" &&
      s.value->operands[0]->kind == Expr::Kind::name)
    mark(s.value->operands[0]->text);  // == for =
  if (s.kind == Stmt::Kind::recurrence)
    for (const std::string& name : names_over_time(s)) mark(name);
  for (const ExprPtr& t : s.targets) {
    const Expr& target = t->kind == Expr::Kind::index ? *t->operands[0] : *t;
    const Binding* known = target.kind == Expr::Kind::name ? scope.find(target.text) : nullptr;
    if (target.kind == Expr::Kind::name && !(known && known->value.as<Sequence>())) mark(target.text);
  }
}

/// Brings in what a file defines. A name that reaches here by two ways has to be one definition.
void use(Elaborator& el, const Stmt& s, Scope* scope) {
  if (el.frame->kind != Elaborator::Frame::Kind::file)
    el.fail_at("not-here", s.span, "`use` belongs at the top of a file");
  const Elaborator::Used used = el.used(s);
  for (const auto& [name, binding] : used.scope->names) {
    if (binding.file != used.file) continue;  // what that file uses is its own affair
    const auto [found, is_new] = scope->names.try_emplace(name, binding);
    const Binding& other = found->second;
    if (is_new || (other.file == binding.file && other.span.begin == binding.span.begin)) continue;
    el.fail_at("duplicate-name", s.span, fmt::format("`{}` is defined in two files", name),
               {el.note_of(other, "the first is here"), el.note_of(binding, "the second is here")});
  }
}

[[noreturn]] void refuse_unused(Elaborator& el, const Stmt& s, Scope* scope) {
  const Temporarily no_names(el.current_scope, static_cast<Scope*>(nullptr));
  const Expr& e = *s.value;
  const bool is_comparison = e.kind == Expr::Kind::binary && e.text == "==";
  if (!is_comparison) el.eval(e, scope);
  el.report("bad-value", s.span, "this value is not used", {},
            is_comparison ? "did you mean `=`?" : "give it a name: `h = …`");
  throw Failure{};
}

std::optional<Value> execute(Elaborator& el, const Stmt& s, Scope* scope) {
  Scope* outer = scope;
  switch (s.kind) {
    case Stmt::Kind::fn:
      el.bind(*scope, s.name, s.name_span, {Function{&s, el.file, scope, nullptr}}, true);
      break;
    case Stmt::Kind::layer:
    case Stmt::Kind::optimizer:
      // Its body sees the file's names, never the model's.
      while (el.frame->kind == Elaborator::Frame::Kind::model && outer->parent && outer->parent->parent)
        outer = outer->parent;
      el.bind(*scope, s.name, s.name_span, {LayerDefinition{&s, el.file, outer}}, true);
      break;
    case Stmt::Kind::constant:
      declare_constant(el, s, scope);
      break;
    case Stmt::Kind::input:
      declare_input(el, s, scope);
      break;
    case Stmt::Kind::param:
      el.require_new(*scope, s.name, s.name_span);
      declare_param(el, s, scope);
      break;
    case Stmt::Kind::state:
    case Stmt::Kind::carry:
      el.require_new(*scope, s.name, s.name_span);
      declare_state(el, s, scope);
      break;
    case Stmt::Kind::assign:
      assign(el, s, scope);
      break;
    case Stmt::Kind::update:
      update_state(el, s, scope);
      break;
    case Stmt::Kind::output:
    case Stmt::Kind::loss:
    case Stmt::Kind::metric:
      declare_objective(el, s, scope);
      break;
    case Stmt::Kind::check:
      check(el, s, scope);
      break;
    case Stmt::Kind::give:
      if (el.frame->kind == Elaborator::Frame::Kind::model)
        el.fail_at("not-here", s.span, "`return` belongs in a layer or an optimizer", {},
                   "the results of a model have names: `output y = …`");
      return el.eval(*s.value, scope);
    case Stmt::Kind::branch:
      return el.run(el.condition(el.eval(*s.value, scope), s.value->span) ? s.body : s.otherwise, scope);
    case Stmt::Kind::train:
      if (el.frame->kind != Elaborator::Frame::Kind::model)
        el.fail_at("not-here", s.span, "`train` belongs in a model");
      el.train = &s;
      el.train_scope = scope;
      break;
    case Stmt::Kind::expression:
      refuse_unused(el, s, scope);
    case Stmt::Kind::model:
      el.fail_at("not-here", s.name_span, "a model belongs at the top of a file");
    case Stmt::Kind::noise:
      declare_noise(el, s, scope);
      break;
    case Stmt::Kind::loop:
      run_loop(el, s, scope);
      break;
    case Stmt::Kind::use:
      use(el, s, scope);
      break;
    case Stmt::Kind::recurrence:
      run_recurrence(el, s, scope);
      break;
  }
  return std::nullopt;
}

/// An op's own rule may refuse what no check of ours foresaw.
std::optional<Value> executed(Elaborator& el, const Stmt& s, Scope* scope) {
  const Temporarily inside(el.current_scope, scope);
  try {
    return execute(el, s, scope);
  } catch (const Error& error) {
    el.fail_at("bad-operand", s.span, error.what());
  }
}

}  // namespace

std::vector<Value> unpacked(Elaborator& el, const Stmt& s, const Value& value) {
  const std::size_t count = s.targets.size();
  if (count == 1) return {value};
  const auto wrong = [&](std::string text) { el.fail_at("unpack-count", s.value->span, std::move(text)); };
  if (const auto* list = value.as<List>()) {
    if (list->items.size() != count) wrong(fmt::format("{} values for {} names", list->items.size(), count));
    return list->items;
  }
  const auto* tensor = value.as<Tensor>();
  if (!tensor || el.type(tensor->id).rank() == 0)
    wrong(fmt::format("{} names stand for the parts of a list or a tensor; this is {}", count,
                      el.describe(value)));
  const Shape shape = el.type(tensor->id).shape;
  if (shape[0] != Dim(static_cast<std::int64_t>(count)))
    wrong(fmt::format("{} names for the {} parts of {} along its first axis", count, shape[0].text(),
                      el.describe(value)));
  Shape start(shape.size()), extents = shape;
  extents[0] = 1;
  std::vector<Value> out;
  for (std::size_t i = 0; i < count; ++i) {
    start[0] = static_cast<std::int64_t>(i);
    const ValueId part = el.b().slice(tensor->id, start, extents, ir::Integers(shape.size(), 1));
    out.push_back({Tensor{el.b().reshape(part, {shape.begin() + 1, shape.end()})}});
  }
  return out;
}

void Elaborator::define_all(const Block& block, const SourceFile& source, Scope* scope) {
  const SourceFile* caller = file;
  file = &source;
  for (const Stmt& s : block) {
    if (s.kind == Stmt::Kind::model) continue;
    try {
      if (s.kind != Stmt::Kind::fn && s.kind != Stmt::Kind::layer && s.kind != Stmt::Kind::optimizer &&
          s.kind != Stmt::Kind::constant && s.kind != Stmt::Kind::use)
        fail_at("not-here", s.span,
                "only fn, layer, optimizer, const, use and one model stand at the top of a file", {},
                "the rest belongs inside of `model name { … }`");
      executed(*this, s, scope);
    } catch (const Failure&) {
      poison(s, *scope, file);
    }
  }
  file = caller;
}

std::optional<Value> Elaborator::run(const Block& block, Scope* scope) {
  std::optional<Value> result;
  bool failed = false;
  for (const Stmt& s : block) {
    try {
      result = executed(*this, s, scope);
      if (result) break;
    } catch (const Failure&) {
      // What follows a condition that does not hold relies on it; and the library is right in the rest.
      const bool is_relied_on =
          file->is_library || (s.kind == Stmt::Kind::check && frame->kind != Frame::Kind::model);
      if (diagnostics.full() || is_relied_on) throw;
      failed = true;
      poison(s, *scope, file);
    }
  }
  const bool is_whole = frame->kind == Frame::Kind::model && !scope->is_turn && !target->outer;
  if (failed && !result && !is_whole) throw Failure{};
  return result;
}

}  // namespace mlpc::frontend
