#include "compiler/frontend/index_notation.h"

#include <algorithm>
#include <deque>
#include <ranges>

#include "compiler/frontend/ast_walk.h"
#include "compiler/frontend/index_access.h"
#include "compiler/frontend/indices.h"
#include "compiler/frontend/recurrence.h"
#include "ir/error.h"

namespace mlpc::frontend {

using ir::Dim;
using ir::Integers;
using ir::Op;
using ir::Shape;
using ir::ValueId;

namespace {

/// An index of the statement.
struct Index {
  IndexVariable variable;
  Span span;
  enum class Extent : std::uint8_t { unknown, stated, of_axis, derived } extent = Extent::unknown;
  bool is_known() const { return extent != Extent::unknown; }
};

}  // namespace

/// One statement, or one sum that stands by itself.
struct Notation {
  std::deque<Index> indices;  // values point to their variables
  std::map<const Expr*, Access> accesses;
  std::map<const Expr*, Scope*> sums;  // where their indices are bound
  IndexVariables left;                 // those of the left side, in order
};

namespace {

// ---- Sums ----

/// sum(k) e, or sum(k) -e.
struct Sum {
  const Expr* call;
  const Expr* product;
  bool is_negative;
};

bool is_binder(const Argument& a, Scope& scope) {
  if (!a.name.empty()) return false;
  const bool has_range = a.value->kind == Expr::Kind::binary && a.value->text == "in";
  const Expr& name = has_range ? *a.value->operands[0] : *a.value;
  return name.kind == Expr::Kind::name && (has_range || !scope.find(name.text));
}

/// Whether a name stands in a subscript.
bool is_index_in(const Expr& e, const std::string& name) {
  bool out = false;
  for_each_expression(e, [&](const Expr& part) {
    for (const Subscript& s : part.subscripts)
      if (s.begin)
        for_each_expression(*s.begin, [&](const Expr& in_it) {
          out |= in_it.kind == Expr::Kind::name && in_it.text == name;
        });
  });
  return out;
}

std::optional<Sum> sum_of(const Expr& e, Scope& scope) {
  const bool is_difference = e.kind == Expr::Kind::binary && e.text == "-";
  if (e.kind != Expr::Kind::index_sum && !is_difference) return std::nullopt;
  const Expr& call = *e.operands[0];
  if (is_difference) {
    const bool is_sum = call.kind == Expr::Kind::call && call.operands[0]->kind == Expr::Kind::name &&
                        call.operands[0]->text == "sum" && !call.arguments.empty();
    const auto binds = [&](const Argument& a) {
      return is_binder(a, scope) && (a.value->text == "in" || is_index_in(*e.operands[1], a.value->text));
    };
    if (!is_sum || !std::ranges::all_of(call.arguments, binds)) return std::nullopt;
  }
  return Sum{&call, e.operands[1].get(), is_difference};
}

/// Binds the indices of a sum, and finds what is read at indices.
class Reader {
 public:
  Reader(Elaborator& el, Notation& notation) : el_(el), notation_(notation) {}

  const IndexVariable& bind(const std::string& name, Span span, Scope* scope, const Affine& from = {}) {
    Index& index = notation_.indices.emplace_back(Index{{name, {}, nullptr, {}}, span});
    Affine value = from;
    value.terms.emplace_back(&index.variable, 1);
    scope->names[name] = {{std::move(value)}, el_.file, span, std::nullopt, nullptr};
    return index.variable;
  }

  void read(const Expr& e, Scope* scope) {
    if (const std::optional<Sum> sum = sum_of(e, *scope)) {
      Scope* inner = el_.new_scope(scope);
      for (const Argument& a : sum->call->arguments) bind_sum(a, *scope, inner);
      notation_.sums[&e] = inner;
      return read(*sum->product, inner);
    }
    if (e.kind == Expr::Kind::index && has_index(e, *scope)) return read_access(e, scope);
    for (const ExprPtr& operand : e.operands) read(*operand, scope);
    for (const Argument& a : e.arguments) read(*a.value, scope);
  }

 private:
  /// sum(k), sum(u in 0..3)
  void bind_sum(const Argument& a, Scope& scope, Scope* inner) {
    const bool has_range = a.value->kind == Expr::Kind::binary && a.value->text == "in";
    const Expr& name = has_range ? *a.value->operands[0] : *a.value;
    if (!is_binder(a, scope)) {
      const Binding* binding = name.kind == Expr::Kind::name ? scope.find(name.text) : nullptr;
      std::vector<Note> notes;
      if (binding && binding->file) notes.push_back(el_.note_of(*binding, "it is defined here"));
      el_.fail_at("bad-index", a.span,
                  "an index of `sum` has to be a new name, as in `sum(k)` or `sum(u in 0..3)`",
                  std::move(notes));
    }
    if (!has_range) {
      bind(name.text, name.span, inner);
      return;
    }
    const Expr& range = *a.value->operands[1];
    if (range.kind != Expr::Kind::range)
      el_.fail_at("bad-index", range.span, "an index runs through a range, as 0..3");
    const auto bound = [&](const Expr& e) {
      return el_.dim(el_.eval(e, &scope), e.span, "the end of a range");
    };
    const Dim first = bound(*range.operands[0]), last = bound(*range.operands[1]);
    if (!el_.require(ir::DimCheck::Relation::at_least, last, first, range.span))
      el_.fail_at("bad-index", range.span,
                  fmt::format("the range from {} to {} ends before it begins", first.text(), last.text()));
    bind(name.text, name.span, inner, {{}, first});
    notation_.indices.back().variable.extent = last - first;
    notation_.indices.back().extent = Index::Extent::stated;
  }

  bool has_index(const Expr& e, Scope& scope) const {
    return std::ranges::any_of(e.subscripts, [&](const Subscript& s) {
      const IndexVariable* v = s.begin ? index_named_in(*s.begin, scope) : nullptr;
      return v && !v->body;
    });
  }

  void read_access(const Expr& e, Scope* scope) {
    const Value base = el_.eval(*e.operands[0], scope);
    Access access{&e, el_.tensor(base, e.operands[0]->span), {}, {}};
    const ir::Type type = el_.type(access.tensor);
    if (e.subscripts.size() != type.rank())
      el_.fail_at("bad-index", e.span,
                  fmt::format("{} subscripts for {}; in index notation each axis has one",
                              e.subscripts.size(), type.text()));
    for (const Subscript& s : e.subscripts) {
      if (s.kind != Subscript::Kind::index)
        el_.fail_at("bad-index", s.span, "beside an index, a subscript has to be a number or another index");
      const Value v = el_.eval(*s.begin, scope);
      std::optional<Affine> at = affine_of(v);
      if (!at)
        el_.fail_at(
            "bad-index", s.span,
            fmt::format("a subscript has to be as `i`, `2*i + u` or `N-1 - i`; this is {}", el_.describe(v)));
      const Dim n = type.shape[access.subscripts.size()];
      if (const auto* number = v.as<Number>(); number && number->value < 0) at->constant = at->constant + n;
      for (const auto& [variable, coefficient] : at->terms)
        if (variable->body)
          el_.fail_at("bad-recurrence", s.span, "time cannot stand beside an index", {},
                      "give the part in time a name, and index that");
      access.subscripts.push_back(std::move(*at));
      access.spans.push_back(s.span);
    }
    notation_.accesses.emplace(&e, std::move(access));
  }

  Elaborator& el_;
  Notation& notation_;
};

// ---- Extents ----

/// What indices run through: all of an axis where they stand alone, else the largest range that keeps every
/// access inside.
class Extents {
 public:
  Extents(Elaborator& el, Notation& notation) : el_(el), notation_(notation) {}

  void find() {
    for (auto& [expr, access] : notation_.accesses)
      for (std::size_t axis = 0; axis < access.subscripts.size(); ++axis) take_alone(access, axis);
    while (find_one()) {
    }
    for (const Index& index : notation_.indices | std::views::reverse)  // those of sums first
      if (!index.is_known()) refuse(index);
    for (const auto& [expr, access] : notation_.accesses)
      for (std::size_t axis = 0; axis < access.subscripts.size(); ++axis) check(access, axis);
  }

 private:
  [[noreturn]] void refuse(const Index& index) {
    const std::string& name = index.variable.name;
    const bool is_on_left = std::ranges::find(notation_.left, &index.variable) != notation_.left.end();
    const bool is_read = std::ranges::any_of(notation_.accesses, [&](const auto& access) {
      return std::ranges::any_of(access.second.subscripts, [&](const Affine& at) {
        return std::ranges::any_of(at.terms, [&](const auto& term) { return term.first == &index.variable; });
      });
    });
    el_.fail_at(
        "unknown-extent", index.span,
        is_read ? fmt::format("the range of `{}` does not follow from the subscripts it stands in", name)
                : fmt::format("the range of `{}` is not known: it stands in no subscript on the right", name),
        {}, is_on_left ? "" : fmt::format("state it: `sum({} in 0..n)`", name));
  }

  Index& index_of(const IndexVariable* v) {
    return *std::ranges::find(notation_.indices, v, [](const Index& i) { return &i.variable; });
  }

  const Dim& extent(const Access& access, std::size_t axis) const {
    return el_.type(access.tensor).shape[axis];
  }

  void take_alone(const Access& access, std::size_t axis) {
    const Affine& at = access.subscripts[axis];
    if (at.terms.size() != 1 || at.terms[0].second != 1 || at.constant != Dim(0)) return;
    Index& index = index_of(at.terms[0].first);
    if (index.extent == Index::Extent::stated) return;
    const Dim n = extent(access, axis);
    if (index.is_known() && index.variable.extent != n)
      el_.fail_at("shape-mismatch", access.spans[axis],
                  fmt::format("`{}` runs through {} elsewhere, and through {} in this axis of {}",
                              index.variable.name, index.variable.extent.text(), n.text(),
                              el_.type(access.tensor).text()));
    index.variable.extent = n;
    index.extent = Index::Extent::of_axis;
  }

  /// The least and the largest value of all terms but one, and the constant.
  std::optional<std::pair<Dim, Dim>> range_without(const Affine& at, const IndexVariable* left_out) {
    Dim least = at.constant, largest = at.constant;
    for (const auto& [variable, coefficient] : at.terms) {
      if (variable == left_out) continue;
      const Index& index = index_of(variable);
      if (!index.is_known()) return std::nullopt;
      const Dim end = Dim(coefficient) * (index.variable.extent - 1);
      (coefficient > 0 ? largest : least) = (coefficient > 0 ? largest : least) + end;
    }
    return std::pair{least, largest};
  }

  /// The extents that single accesses allow an index; those where another one is not known yet, do not.
  std::vector<Dim> bounds_of(const Index& index) {
    std::vector<Dim> out;
    for (const auto& [expr, access] : notation_.accesses)
      for (std::size_t axis = 0; axis < access.subscripts.size(); ++axis)
        for (const auto& [variable, coefficient] : access.subscripts[axis].terms) {
          if (variable != &index.variable) continue;
          const auto range = range_without(access.subscripts[axis], variable);
          if (!range) continue;
          bounding_.emplace(&access, axis);
          const Dim room = coefficient > 0 ? extent(access, axis) - 1 - range->second : range->first;
          out.push_back(Dim::floordiv(room, std::abs(coefficient)) + 1);
        }
    return out;
  }

  bool find_one() {
    for (Index& index : notation_.indices) {
      if (index.is_known()) continue;
      const std::vector<Dim> bounds = bounds_of(index);
      if (bounds.empty()) continue;
      index.variable.extent = least(index, bounds);
      index.extent = Index::Extent::derived;
      const Dim& n = index.variable.extent;
      if (!el_.require(ir::DimCheck::Relation::at_least, n, 0, index.span))
        el_.fail_at("bad-index", index.span,
                    fmt::format("no value of `{}` keeps every access inside its axis", index.variable.name));
      return true;
    }
    return false;
  }

  Dim least(const Index& index, const std::vector<Dim>& bounds) {
    Dim out = bounds[0];
    for (const Dim& bound : bounds) {
      const std::optional<std::int64_t> more = (bound - out).constant();
      if (!more)
        el_.fail_at("unknown-extent", index.span,
                    fmt::format("the range of `{}` would be {} or {}, whichever is less", index.variable.name,
                                out.text(), bound.text()),
                    {}, fmt::format("state it: `sum({} in 0..n)`", index.variable.name));
      if (*more < 0) out = bound;
    }
    return out;
  }

  void check(const Access& access, std::size_t axis) {
    if (bounding_.contains({&access, axis})) return;  // it is inside by construction
    const Affine& at = access.subscripts[axis];
    const auto [least, largest] = *range_without(at, nullptr);
    const Dim& n = extent(access, axis);
    using enum ir::DimCheck::Relation;
    for (const auto& [variable, coefficient] : at.terms)
      if (variable->extent == Dim(0)) return;  // nothing is read
    if (!el_.require(at_least, least, 0, access.spans[axis]) ||
        !el_.require(at_least, n, largest + 1, access.spans[axis]))
      el_.fail_at("bad-index", access.spans[axis],
                  fmt::format("this subscript runs from {} to {}, and the extent of its axis is {}",
                              least.text(), largest.text(), n.text()));
  }

  Elaborator& el_;
  Notation& notation_;
  std::set<std::pair<const Access*, std::size_t>> bounding_;  // axes that an index' range was made for
};

// ---- Products ----

struct Factors {
  std::vector<const Expr*> above, below;
  bool is_negative = false;
};

void collect_factors(Elaborator& el, const Expr& e, Factors& out) {
  if (e.kind == Expr::Kind::unary && e.text == "-") {
    out.is_negative = !out.is_negative;
    collect_factors(el, *e.operands[0], out);
  } else if (e.kind == Expr::Kind::binary && e.text == "*") {
    collect_factors(el, *e.operands[0], out);
    collect_factors(el, *e.operands[1], out);
  } else if (e.kind == Expr::Kind::binary && e.text == "/") {
    collect_factors(el, *e.operands[0], out);
    out.below.push_back(e.operands[1].get());
  } else {
    out.above.push_back(&e);
  }
}

std::vector<Value> values_of(const std::vector<Indexed>& factors) {
  std::vector<Value> out;
  for (const Indexed& f : factors) out.push_back({f});
  return out;
}

/// Σ over `summed` of a product of tensors, as one einsum.
Indexed contracted(Elaborator& el, const std::vector<Indexed>& factors, const IndexVariables& summed,
                   Span span) {
  const IndexVariables all = indices_of(values_of(factors));
  if (all.size() > 52) el.fail_at("too-large", span, "the product has more than 52 indices");
  const auto letter = [&](const IndexVariable* v) {
    const auto i = std::ranges::find(all, v) - all.begin();
    return static_cast<char>(i < 26 ? 'a' + i : 'A' + i - 26);
  };
  std::string spec;
  std::vector<ValueId> operands;
  for (const Indexed& f : factors) {
    if (!spec.empty()) spec += ",";
    for (const IndexVariable* v : f.axes) spec += letter(v);
    operands.push_back(f.id);
  }
  Indexed out{{}, {}};
  for (const IndexVariable* v : all)
    if (std::ranges::find(summed, v) == summed.end()) out.axes.push_back(v);
  const auto place = [&](const IndexVariable* v) {
    return std::pair{std::ranges::find(el.notation->left, v) - el.notation->left.begin(),
                     std::ranges::find(all, v) - all.begin()};
  };
  std::ranges::sort(out.axes, {}, place);
  spec += "->";
  for (const IndexVariable* v : out.axes) spec += letter(v);
  out.id = el.b().einsum(spec, operands);
  return out;
}

Value product_of(Elaborator& el, const Value& a, const Value& b, std::string_view op, Span span) {
  return el.binary(std::string(op), a, b, nullptr, nullptr, span);
}

/// Σ over the indices of one value.
Value reduced(Elaborator& el, const Indexed& x, const IndexVariables& summed) {
  Integers axes;
  Indexed out{x.id, {}};
  for (std::size_t axis = 0; axis < x.axes.size(); ++axis)
    if (std::ranges::find(summed, x.axes[axis]) != summed.end())
      axes.push_back(static_cast<std::int64_t>(axis));
    else
      out.axes.push_back(x.axes[axis]);
  out.id = el.reduce(Op::reduce_sum_, x.id, axes);
  return {out};
}

/// Σ over `summed` of a product.
Value summed_product(Elaborator& el, const Expr& product, const IndexVariables& summed, Scope* scope) {
  Factors factors;
  collect_factors(el, product, factors);
  std::vector<Indexed> tensors;
  std::optional<Value> scale;  // what does not depend on the indices that are summed
  const auto depends = [&](const Value& v) {
    const IndexVariables own = indices_of(std::span(&v, 1));
    return std::ranges::any_of(
        own, [&](const IndexVariable* i) { return std::ranges::find(summed, i) != summed.end(); });
  };
  const Value one = Value::integer(1);
  const auto use = [&](const Expr& e, bool is_below) {
    Value v = el.eval(e, scope);
    if (v.as<Poison>()) throw Failure{};
    if (depends(v)) {
      if (is_below || v.as<Affine>())
        v = product_of(el, Value{Number{1, false}}, v, is_below ? "/" : "*", e.span);
      tensors.push_back(*v.as<Indexed>());
    } else {
      scale = product_of(el, scale.value_or(one), v, is_below ? "/" : "*", e.span);
    }
  };
  for (const Expr* e : factors.above) use(*e, false);
  for (const Expr* e : factors.below) use(*e, true);
  const IndexVariables own = indices_of(values_of(tensors));
  for (const IndexVariable* v :
       summed)  // what does not depend on an index is summed as often as it has values
    if (std::ranges::find(own, v) == own.end())
      scale = product_of(el, scale.value_or(one), Value::extent(v->extent), "*", product.span);
  std::optional<Value> total;
  const auto is_float = [&](const Indexed& f) { return ir::is_float(el.type(f.id).element); };
  if (tensors.size() == 1) {
    total = reduced(el, tensors[0], summed);
  } else if (!tensors.empty() && std::ranges::all_of(tensors, is_float)) {
    total = Value{contracted(el, tensors, summed, product.span)};
  } else if (!tensors.empty()) {
    Value all{tensors[0]};
    for (std::size_t i = 1; i < tensors.size(); ++i)
      all = product_of(el, all, {tensors[i]}, "*", product.span);
    total = reduced(el, *all.as<Indexed>(), summed);
  }
  if (scale) total = total ? product_of(el, *total, *scale, "*", product.span) : *scale;
  return factors.is_negative ? el.negate(*total, product.span) : *total;
}

/// Elaborates what stands at indices.
class Elaborated {
 public:
  Elaborated(Elaborator& el, Notation& notation) : el_(el), outer_(el.notation) { el.notation = &notation; }
  Elaborated(const Elaborated&) = delete;
  ~Elaborated() { el_.notation = outer_; }

 private:
  Elaborator& el_;
  Notation* outer_;
};

/// The value with one axis for each of `indices`, in order.
ValueId arranged(Elaborator& el, const Value& v, const IndexVariables& indices, Span span) {
  const Value at = spread(el, v, indices, span);
  return el.broadcast_to(el.tensor(at, span), extents_of(indices));
}

}  // namespace

bool is_index_assignment(const Stmt& s, Scope& scope) {
  if (s.targets.size() != 1 || s.targets[0]->kind != Expr::Kind::index) return false;
  const Expr& base = *s.targets[0]->operands[0];
  const Binding* binding = base.kind == Expr::Kind::name ? scope.find(base.text) : nullptr;
  return !(binding && binding->value.as<Sequence>());
}

void assign_at_indices(Elaborator& el, const Stmt& s, Scope* scope) {
  const Expr& target = *s.targets[0];
  if (target.operands[0]->kind != Expr::Kind::name)
    el.fail_at("bad-index", target.span,
               "the left side of `=` has to be a name, or a name at indices, as `S[i, j]`");
  Notation notation;
  Scope* inner = el.new_scope(scope);
  Reader reader(el, notation);
  IndexVariables& indices = notation.left;
  for (const Subscript& i : target.subscripts) {
    if (i.kind != Subscript::Kind::index || i.begin->kind != Expr::Kind::name ||
        inner->names.contains(i.begin->text))
      el.fail_at("bad-index", i.span,
                 "each index on the left has to be a name of its own, as in `S[i, j] = …`");
    indices.push_back(&reader.bind(i.begin->text, i.span, inner));
  }
  reader.read(*s.value, inner);
  Extents(el, notation).find();
  const Elaborated elaborated(el, notation);
  const Value v = el.eval(*s.value, inner);
  if (v.as<Poison>()) throw Failure{};
  const ValueId result = arranged(el, v, indices, s.value->span);
  el.bind(*scope, target.operands[0]->text, target.operands[0]->span, {Tensor{result}}, false);
}

bool is_index_sum(const Expr& e, Scope& scope) { return sum_of(e, scope).has_value(); }

Value sum_over_indices(Elaborator& el, const Expr& e, Scope* scope) {
  if (!el.notation || !el.notation->sums.contains(&e)) {  // it stands by itself: a number
    Notation notation;
    Reader(el, notation).read(e, scope);
    Extents(el, notation).find();
    const Elaborated elaborated(el, notation);
    const Value v = sum_over_indices(el, e, scope);
    return {Tensor{arranged(el, v, {}, e.span)}};
  }
  const Sum sum = *sum_of(e, *scope);
  Scope* inner = el.notation->sums.at(&e);
  IndexVariables summed;
  for (const auto& [name, binding] : inner->names)
    summed.push_back(binding.value.as<Affine>()->terms.back().first);
  const Value total = summed_product(el, *sum.product, summed, inner);
  return sum.is_negative ? el.negate(total, e.span) : total;
}

std::optional<Value> at_indices(Elaborator& el, const Expr& e) {
  if (!el.notation) return std::nullopt;
  const auto access = el.notation->accesses.find(&e);
  if (access == el.notation->accesses.end()) return std::nullopt;
  return Value{read(el, access->second)};
}

}  // namespace mlpc::frontend
