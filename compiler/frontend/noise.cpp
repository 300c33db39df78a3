#include <algorithm>

#include "compiler/frontend/random.h"
#include "compiler/frontend/statements.h"

// Noise is a pure function of seed, step and stream: a loss and all its derivatives see one value.

namespace mlpc::frontend {

using ir::Dim;
using ir::ElementType;
using ir::Role;
using ir::Shape;
using ir::ValueId;

void declare_noise(Elaborator& el, const Stmt& s, Scope* scope) {
  if (el.frame->kind != Elaborator::Frame::Kind::model && el.frame->kind != Elaborator::Frame::Kind::layer)
    el.fail_at("not-here", s.span, "noise belongs in a model or a layer");
  const ir::Type type{el.program.element, el.shape(s.shape, scope, Elaborator::Dims::with_batch)};
  const Value from = el.eval(*s.value, scope);
  const auto* distribution = from.as<Distribution>();
  if (!s.is_drawn || !distribution || distribution->kind == Distribution::Kind::orthogonal)
    el.fail_at("bad-initialiser", s.value->span,
               fmt::format("noise is drawn from a distribution, `{} ~ normal(0, 1)`; this is {}", s.name,
                           s.is_drawn ? el.describe(from) : "an assignment"));
  ValueId v = el.b().full(type, 0);
  if (el.training) {
    const std::string owner = without_turns(el.frame->path + s.name) + ":" + el.frame->applications;
    v = drawn(el.b(), type, *distribution, stream_of("noise", owner), el.draw(type));
  }
  el.target->graph.add_location(v, el.location(s.name_span));
  el.bind(*scope, s.name, s.name_span, {Tensor{v}}, true);
}

}  // namespace mlpc::frontend
