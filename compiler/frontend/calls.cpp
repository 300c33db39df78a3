#include <algorithm>

#include "compiler/frontend/derivatives.h"
#include "compiler/frontend/elaborator.h"
#include "ir/error.h"

namespace mlpc::frontend {

using ir::Dim;
using ir::Shape;
using ir::ValueId;

namespace {

std::string hint_of_arguments(const std::string& name, const std::vector<std::string>& formals) {
  const std::string guess = guess_of(name, formals);
  return !guess.empty() || formals.empty() ? guess : "it takes " + enumerated(formals);
}

/// Binds a call's arguments to formals: positions, then names, then defaults, which may use earlier formals.
void bind_arguments(Elaborator& el, const std::string& what, const std::vector<Formal>& formals,
                    const Call& call, const Scope* bound, Scope* scope, const SourceFile* file) {
  std::vector<const Value*> given(formals.size(), nullptr);
  const auto position_of = [&](const std::string& name) {
    return static_cast<std::size_t>(std::ranges::find(formals, name, &Formal::name) - formals.begin());
  };
  if (bound)
    for (const auto& [name, binding] : bound->names)
      if (const std::size_t i = position_of(name); i < formals.size()) given[i] = &binding.value;
  std::size_t next = 0;
  for (const Call::Item& item : call.items) {
    std::size_t i = next;
    if (!item.name.empty()) {
      i = position_of(item.name);
      std::vector<std::string> names;
      for (const Formal& f : formals) names.push_back(f.name);
      if (i == formals.size())
        el.fail_at("unknown-argument", item.name_span,
                   fmt::format("{} has no argument `{}`", what, item.name), {},
                   hint_of_arguments(item.name, names));
      if (given[i])
        el.fail_at("unknown-argument", item.name_span,
                   fmt::format("the argument `{}` is given twice", item.name));
    } else {
      if (next >= formals.size())
        el.fail_at("too-many-arguments", item.span,
                   fmt::format("{} takes {} {}, not {}", what, formals.size(),
                               formals.size() == 1 ? "argument" : "arguments", call.items.size()));
      ++next;
    }
    given[i] = &item.value;
  }
  for (std::size_t i = 0; i < formals.size(); ++i) {
    if (!given[i] && !formals[i].initial)
      el.fail_at("missing-argument", call.callee,
                 fmt::format("{} needs the argument `{}`", what, formals[i].name),
                 {{file, formals[i].span, "it is declared here"}});
    const SourceFile* caller = el.file;
    if (!given[i]) el.file = file;
    Value value = given[i] ? *given[i] : el.eval(*formals[i].initial, scope);
    el.file = caller;
    if (auto* t = std::get_if<Tensor>(&value.is); t && !file->is_library)
      t->id = bound_value(el, formals[i].name, t->id, true);
    scope->names[formals[i].name] = {std::move(value), file, formals[i].span, std::nullopt, el.target};
  }
}

/// Restores what the elaborator was doing when the body of a definition is done.
class Entered {
 public:
  Entered(Elaborator& el, const SourceFile* file, Elaborator::Frame& frame, std::string application,
          std::optional<Note> call_site = {}, Span arguments = {})
      : el_(el),
        file_(el.file),
        frame_(el.frame),
        application_(el.application),
        call_sites_(el.call_sites.size()) {
    el.file = file;
    el.frame = &frame;
    el.application = std::move(application);
    if (call_site) el.call_sites.push_back({std::move(*call_site), el.current_scope, arguments});
  }
  ~Entered() {
    el_.file = file_;
    el_.frame = frame_;
    el_.application = std::move(application_);
    el_.call_sites.resize(call_sites_);
  }

 private:
  Elaborator& el_;
  const SourceFile* file_;
  Elaborator::Frame* frame_;
  std::string application_;
  std::size_t call_sites_;
};

Value call_function(Elaborator& el, const Function& f, const Call& call) {
  Scope* scope = el.new_scope(f.scope);
  bind_arguments(el, fmt::format("`{}`", f.definition->name), f.definition->formals, call, f.bound, scope,
                 f.file);
  Elaborator::Frame frame = *el.frame;
  if (frame.kind != Elaborator::Frame::Kind::optimizer) frame.kind = Elaborator::Frame::Kind::function;
  const Note site{el.file, call.callee, fmt::format("in this call of `{}`", f.definition->name)};
  const Span arguments = {call.callee.end, call.span.end};
  const Entered entered(el, f.file, frame, el.application, site, arguments);
  return el.eval(*f.definition->value, scope);
}

/// "x[B, C, H, W]", as it is written.
std::string signature_of(const Formal& formal, const SourceFile& file) {
  std::string out;
  for (const ShapeItem& item : *formal.shape)
    out += fmt::format("{}{}", out.empty() ? "" : ", ",
                       item.is_ellipsis ? ".."
                                        : std::string_view(file.text).substr(
                                              item.span.begin, item.extent->span.end - item.span.begin));
  return fmt::format("{}[{}]", formal.name, out);
}

/// The dims of a signature: fresh names bind to the extents that stand there, all else has to agree.
void bind_shape(Elaborator& el, const std::string& layer, const Formal& formal, const Call::Item& item,
                const SourceFile* caller, Scope* scope) {
  if (!formal.shape) return;
  const Value& value = item.value;
  const SourceFile* own = el.file;
  el.file = caller;
  const Shape given = el.type(el.tensor(value, item.span)).shape;
  el.file = own;
  const auto& items = *formal.shape;
  const bool has_batch = std::ranges::any_of(items, &ShapeItem::is_ellipsis);
  const std::size_t named = items.size() - has_batch;
  const auto refuse = [&](DiagnosticId id, std::string text, Span span) {
    std::vector<Note> notes = {{own, span, "this is its signature"}};
    el.add_note(notes, item.expr);
    el.file = caller;
    el.fail_at(id, item.span, std::move(text), std::move(notes));
  };
  if (has_batch ? given.size() < named : given.size() != named)
    refuse("rank-mismatch",
           fmt::format("`{}` takes {}{} {}, `{}`; this is {}", layer, has_batch ? "at least " : "", named,
                       named == 1 ? "axis" : "axes", signature_of(formal, *own), el.describe(value)),
           formal.span);
  std::size_t axis = 0;
  for (const ShapeItem& s : items) {
    if (s.is_ellipsis) {
      const Shape batch(given.begin() + static_cast<std::ptrdiff_t>(axis),
                        given.begin() + static_cast<std::ptrdiff_t>(axis + given.size() - named));
      if (scope->batch && *scope->batch != batch)
        refuse("extent-mismatch",
               fmt::format("`{}` is {}: the dims that `..` stands for differ from those before", formal.name,
                           el.describe(value)),
               s.span);
      scope->batch = batch;
      axis += batch.size();
      continue;
    }
    const Dim extent = given[axis++];
    if (s.extent->kind == Expr::Kind::name && !scope->names.contains(s.extent->text)) {
      scope->names[s.extent->text] = {Value::extent(extent), el.file, s.span, std::nullopt, nullptr};
      continue;
    }
    const Dim wanted = el.dim(el.eval(*s.extent, scope), s.span, "an extent");
    if (wanted != extent)
      refuse(
          "extent-mismatch",
          fmt::format("`{}` takes `{}`; this is {}: its axis {} is {}, not {}", layer,
                      signature_of(formal, *own), el.describe(value), axis - 1, extent.text(), wanted.text()),
          s.span);
  }
}

/// The callee's name, then name_2, name_3 in textual order.
std::string anonymous_name(Elaborator::Frame& frame, const std::string& name, int& number) {
  std::string out;
  do {
    number = ++frame.anonymous[name];
    out = number > 1 ? fmt::format("{}_{}", name, number) : name;
  } while (!frame.layers.insert(out).second);
  return out;
}

}  // namespace

void Elaborator::name_layer(MadeLayer& layer, const std::string& name, Span span) {
  const bool is_fresh = layer.number > 0 && layer.applications == 0 && layer.owner == frame->path &&
                        layer.turns == frame->turns;
  if (!is_fresh) return;  // it has a name already, or belongs to another definition
  frame->layers.erase(layer.name);
  int& count = frame->anonymous[layer.layer.definition->name];
  if (count == layer.number) --count;
  layer.number = 0;
  layer.name = name;
  if (!frame->layers.insert(name).second)
    fail_at("duplicate-name", span,
            fmt::format("two layers are called `{}`, and so would be their parameters", name));
}

std::shared_ptr<MadeLayer> Elaborator::make_layer(const LayerDefinition& layer, Call call) {
  if (frame->kind == Frame::Kind::function)
    fail_at("not-here", call.span, "a layer is made inside a fn: a fn owns no parameters", {},
            "write a `layer` instead, or make this one outside and apply it here");
  auto made = std::make_shared<MadeLayer>();
  made->owner = frame->path;
  made->name = anonymous_name(*frame, layer.definition->name, made->number);
  made->turns = frame->turns;
  made->home = frame->home;
  made->layer = layer;
  made->hyperparameters = new_scope(layer.scope);
  const std::string what =
      fmt::format("{} `{}`", layer.definition->kind == Stmt::Kind::optimizer ? "optimizer" : "layer",
                  layer.definition->name);
  bind_arguments(*this, what, layer.definition->formals, call, nullptr, made->hyperparameters, layer.file);
  return made;
}

Value Elaborator::apply_layer(const std::shared_ptr<MadeLayer>& layer, const Call& call) {
  const Stmt& definition = *layer->layer.definition;
  Scope* scope = new_scope(layer->hyperparameters);
  Frame own;
  own.path = layer->path() + ".";
  own.kind = definition.kind == Stmt::Kind::optimizer ? Frame::Kind::optimizer : Frame::Kind::layer;
  own.home = layer->home;
  own.applications = fmt::format("{}{}.", frame->applications, ++layer->applications);
  own.slot_owner = frame->slot_owner;
  own.slot_shape = frame->slot_shape;
  bind_arguments(*this, fmt::format("layer `{}`", definition.name), definition.inputs, call, nullptr, scope,
                 layer->layer.file);
  const SourceFile* caller = file;
  const Note site{file, call.callee, fmt::format("in this application of `{}`", definition.name)};
  if (layer->first_application) own.first_application = &*layer->first_application;
  if (!layer->first_application)
    layer->first_application = Note{file, call.span, "the first application is here"};
  const Entered entered(*this, layer->layer.file, own,
                        own.kind == Frame::Kind::optimizer ? application : layer->path(), site, call.span);
  for (std::size_t i = 0; i < definition.inputs.size(); ++i) {
    const Formal& formal = definition.inputs[i];
    for (const Call::Item& item : call.items)
      if (item.name == formal.name || (item.name.empty() && &item == &call.items[i]))
        bind_shape(*this, definition.name, formal, item, caller, scope);
  }
  const std::optional<Value> result = run(definition.body, scope);
  if (!result) {
    fail_at("missing-argument", definition.name_span, fmt::format("`{}` has no `return`", definition.name),
            {}, "end its body with `return …`");
  }
  return *result;
}

Value Elaborator::call_value(const Value& callee, Call call) {
  if (callee.as<Poison>()) throw Failure{};
  for (const Call::Item& item : call.items)
    if (item.value.as<Poison>()) throw Failure{};
  if (const auto* f = callee.as<Function>()) return call_function(*this, *f, call);
  if (const auto* builtin = callee.as<Builtin>()) return call_builtin(builtin->name, call);
  if (const auto* layer = callee.as<std::shared_ptr<MadeLayer>>()) return apply_layer(*layer, call);
  fail_at("not-callable", call.callee, fmt::format("{} cannot be called", describe(callee)), {},
          callee.as<Tensor>()        ? "`*` multiplies, and `[…]` takes a part"
          : callee.as<std::string>() ? "a function is passed by its name, without quotes"
                                     : "");
}

}  // namespace mlpc::frontend
