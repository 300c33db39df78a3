#include <algorithm>
#include <cmath>
#include <numbers>

#include "compiler/frontend/elaborator.h"
#include "compiler/frontend/glob.h"
#include "ir/error.h"

// What the language has besides its library: operations on tensors, distributions, numbers.

namespace mlpc::frontend {

using ir::Dim;
using ir::ElementType;
using ir::Integers;
using ir::Op;
using ir::Shape;
using ir::ValueId;

namespace {

/// The arguments of one call of a builtin, taken one by one; what is left over is an error.
class Arguments {
 public:
  Arguments(Elaborator& el, const std::string& name, Call& call)
      : el_(el), name_(name), call_(call), used_(call.items.size(), false) {}

  const Call::Item* find(std::size_t position, std::string_view formal) {
    std::size_t seen = 0;
    for (std::size_t i = 0; i < call_.items.size(); ++i) {
      const Call::Item& item = call_.items[i];
      const bool is_it = item.name.empty() ? seen++ == position : item.name == formal;
      if (is_it && !used_[i]) {
        used_[i] = true;
        return &item;
      }
    }
    return nullptr;
  }
  const Call::Item* named(std::string_view formal) { return find(SIZE_MAX, formal); }
  const Call::Item& need(std::size_t position, std::string_view formal) {
    if (const Call::Item* item = find(position, formal)) return *item;
    el_.fail_at("missing-argument", call_.callee, fmt::format("`{}` needs `{}`", name_, formal));
  }
  ValueId tensor(std::size_t position, std::string_view formal) {
    const Call::Item& item = need(position, formal);
    return el_.tensor(item.value, item.span);
  }
  double number(std::size_t position, std::string_view formal) {
    const Call::Item& item = need(position, formal);
    return el_.number(item.value, item.span, fmt::format("`{}`", formal));
  }
  std::size_t positional() const {
    return static_cast<std::size_t>(
        std::ranges::count_if(call_.items, [](const Call::Item& i) { return i.name.empty(); }));
  }
  void done() {
    for (std::size_t i = 0; i < used_.size(); ++i)
      if (!used_[i]) {
        const Call::Item& item = call_.items[i];
        if (item.name.empty())
          el_.fail_at("too-many-arguments", item.span, fmt::format("`{}` takes fewer arguments", name_));
        el_.fail_at("unknown-argument", item.span,
                    fmt::format("`{}` has no argument `{}`", name_, item.name));
      }
  }
  Span span() const { return call_.span; }

 private:
  Elaborator& el_;
  const std::string& name_;
  Call& call_;
  std::vector<bool> used_;
};

std::int64_t checked_axis(Elaborator& el, const Value& v, Span span, std::size_t rank) {
  const std::int64_t axis = el.integer(v, span, "an axis"), n = static_cast<std::int64_t>(rank);
  if (axis < -n || axis >= n)
    el.fail_at("bad-axis", span, fmt::format("axis {} of a tensor of rank {}", axis, rank));
  return axis < 0 ? axis + n : axis;
}

/// `axis = 1`, `axis = [0, -1]`, or all of them; `last` where none means the last.
Integers axes(Elaborator& el, Arguments& a, ValueId x, bool last = false) {
  const std::size_t rank = el.type(x).rank();
  const Call::Item* item = a.named("axis");
  Integers out;
  if (!item) {
    if (last && rank == 0) el.fail_at("bad-axis", a.span(), "a tensor of rank 0 has no last axis");
    for (std::size_t axis = last ? rank - 1 : 0; axis < rank; ++axis)
      out.push_back(static_cast<std::int64_t>(axis));
    return out;
  }
  if (const auto* list = item->value.as<List>())
    for (const Value& v : list->items) out.push_back(checked_axis(el, v, item->span, rank));
  else
    out.push_back(checked_axis(el, item->value, item->span, rank));
  std::ranges::sort(out);
  if (std::ranges::adjacent_find(out) != out.end())
    el.fail_at("bad-axis", item->span, "an axis is named twice");
  return out;
}

using Rule = Value (*)(Elaborator&, Arguments&);

template <Op op, double (*of_number)(double)>
Value elementwise(Elaborator& el, Arguments& a) {
  const Call::Item& item = a.need(0, "x");
  if (const auto* n = item.value.as<Number>()) {
    const double y = of_number(n->value);
    if (std::isnan(y) || (std::isinf(y) && std::isfinite(n->value)))
      el.fail_at("bad-value", a.span(), fmt::format("this function has no finite value at {}", n->value));
    return Value::real(y);
  }
  const ValueId x = el.tensor(item.value, item.span);
  if (!ir::is_float(el.type(x).element))
    el.fail_at("type-mismatch", item.span,
               fmt::format("this is {}: the function is one of f32 and f64", el.describe(item.value)), {},
               "convert it: `f32(x)`");
  return {Tensor{el.b().value(op, {x})}};
}

double sign(double x) { return (x > 0) - (x < 0); }
double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }
double softplus(double x) { return std::max(x, 0.0) + std::log1p(std::exp(-std::abs(x))); }

template <Op op>
Value reduction(Elaborator& el, Arguments& a) {
  const ValueId x = a.tensor(0, "x");
  return {Tensor{el.reduce(op, x, axes(el, a, x))}};
}

Value mean(Elaborator& el, Arguments& a) {
  const ValueId x = a.tensor(0, "x");
  return {Tensor{el.mean(x, axes(el, a, x), a.span())}};
}

/// One operand: over axes. Two: elementwise, and with a literal a clamp.
template <Op reduced, Op both, Op clamp, bool greater>
Value extremum(Elaborator& el, Arguments& a) {
  if (a.positional() < 2) return reduction<reduced>(el, a);
  Call::Item x = a.need(0, "a"), y = a.need(1, "b");
  const auto *nx = x.value.as<Number>(), *ny = y.value.as<Number>();
  if (nx && ny)
    return {Number{greater ? std::max(nx->value, ny->value) : std::min(nx->value, ny->value),
                   nx->is_integer && ny->is_integer}};
  if (x.value.as<Dim>() || y.value.as<Dim>()) {
    if (greater && !x.value.as<Tensor>() && !y.value.as<Tensor>())
      return Value::extent(
          Dim::max(el.dim(x.value, x.span, "an extent"), el.dim(y.value, y.span, "an extent")));
  }
  if (nx) std::swap(x, y);
  const ValueId t = el.tensor(x.value, x.span);
  if (const auto* n = y.value.as<Number>()) {
    if (!ir::is_float(el.type(t).element))
      el.fail_at("type-mismatch", x.span, fmt::format("this is {}, not f32 or f64", el.describe(x.value)));
    return {Tensor{el.b().value(clamp, {t}, {ir::Constant::of(el.type(t).element, n->value)})}};
  }
  const ValueId u = el.tensor(y.value, y.span);
  const auto mismatch = [&] {
    el.fail_at("shape-mismatch", a.span(),
               fmt::format("the operands are {} and {}", el.type(t).text(), el.type(u).text()));
  };
  const Shape shape = el.common_shape(el.type(t).shape, el.type(u).shape, mismatch);
  return {Tensor{el.b().value(both, {el.broadcast_to(t, shape), el.broadcast_to(u, shape)})}};
}

Value argmax(Elaborator& el, Arguments& a) {
  const ValueId x = a.tensor(0, "x");
  return {Tensor{el.b().value(Op::argmax_, {x}, {axes(el, a, x, true).front()})}};
}

Value logsumexp(Elaborator& el, Arguments& a) {
  const ValueId x = a.tensor(0, "x");
  return {Tensor{el.b().value(Op::logsumexp_, {x}, {axes(el, a, x, true)})}};
}

Value where(Elaborator& el, Arguments& a) {
  const ValueId c = a.tensor(0, "condition");
  const Call::Item &x = a.need(1, "a"), &y = a.need(2, "b");
  const auto element = [&](const Value& v) {
    return v.as<Tensor>() ? std::optional(el.type(v.as<Tensor>()->id).element) : std::nullopt;
  };
  const ValueId u = el.tensor(x.value, x.span, element(y.value)),
                v = el.tensor(y.value, y.span, element(x.value));
  const auto mismatch = [&] {
    el.fail_at(
        "shape-mismatch", a.span(),
        fmt::format("`where` of {}, {} and {}", el.type(c).text(), el.type(u).text(), el.type(v).text()));
  };
  const Shape shape = el.common_shape(el.common_shape(el.type(c).shape, el.type(u).shape, mismatch),
                                      el.type(v).shape, mismatch);
  return {
      Tensor{el.b().where(el.broadcast_to(c, shape), el.broadcast_to(u, shape), el.broadcast_to(v, shape))}};
}

/// An integer input that indexes something of extent n is checked by every call, before anything is written.
void note_bound(Elaborator& el, ValueId index, std::int64_t n) {
  for (const ir::Graph::Parameter& p : el.target->graph.parameters())
    if (p.value == index && p.role == ir::Role::input) {
      std::int64_t& bound = el.program.inputs[p.index].index_bound;
      bound = bound == 0 ? n : std::min(bound, n);
    }
}

Value one_hot(Elaborator& el, Arguments& a) {
  const Call::Item &index = a.need(0, "index"), &classes = a.need(1, "classes");
  const ValueId y = el.tensor(index.value, index.span);
  const std::int64_t n = el.integer(classes.value, classes.span, "the number of classes");
  if (!ir::is_integer(el.type(y).element))
    el.fail_at("type-mismatch", index.span,
               fmt::format("an index is an integer; this is {}", el.describe(index.value)));
  if (n < 1) el.fail_at("bad-value", classes.span, fmt::format("{} classes", n));
  note_bound(el, y, n);
  const ValueId wide = el.type(y).element == ElementType::u8 ? el.b().convert(y, ElementType::i32) : y;
  Shape shape = el.type(wide).shape;
  Integers kept;
  for (std::size_t i = 0; i < shape.size(); ++i) kept.push_back(static_cast<std::int64_t>(i));
  shape.push_back(n);
  const ValueId position = el.b().value(
      Op::iota_, {}, {shape, static_cast<std::int64_t>(shape.size()) - 1, el.type(wide).element});
  return {Tensor{el.b().convert(el.b().compare(Op::eq_, el.b().broadcast(wide, shape, kept), position),
                                el.program.element)}};
}

Value reshape(Elaborator& el, Arguments& a) {
  const ValueId x = a.tensor(0, "x");
  const Call::Item& to = a.need(1, "shape");
  const Shape shape = el.shape(to.value, to.span);
  const ir::Type result{el.type(x).element, shape};
  const Dim from_count = el.type(x).element_count(), to_count = result.element_count();
  if (from_count != to_count)
    el.fail_at("bad-reshape", to.span,
               fmt::format("{} has {} elements, the new shape has {}", el.type(x).text(), from_count.text(),
                           to_count.text()));
  return {Tensor{el.b().reshape(x, shape)}};
}

Value transpose(Elaborator& el, Arguments& a) {
  const ValueId x = a.tensor(0, "x");
  const std::size_t rank = el.type(x).rank();
  if (rank < 2)
    el.fail_at("rank-mismatch", a.span(),
               fmt::format("`transpose` swaps the last two axes; this is {}", el.type(x).text()));
  Integers permutation(rank);
  for (std::size_t i = 0; i < rank; ++i) permutation[i] = static_cast<std::int64_t>(i);
  std::swap(permutation[rank - 1], permutation[rank - 2]);
  return {Tensor{el.b().transpose(x, permutation)}};
}

Value einsum(Elaborator& el, Arguments& a) {
  const Call::Item& spec = a.need(0, "spec");
  const auto* text = spec.value.as<std::string>();
  if (!text) el.fail_at("bad-value", spec.span, "the first argument of `einsum` is its spec, in quotes");
  std::vector<ValueId> operands;
  for (std::size_t i = 1; i < a.positional(); ++i) operands.push_back(a.tensor(i, "operand"));
  return {Tensor{el.b().einsum(*text, operands)}};
}

Value extent(Elaborator& el, Arguments& a) {
  const ValueId x = a.tensor(0, "x");
  const Call::Item* axis = a.named("axis");
  const std::size_t rank = el.type(x).rank();
  if (!axis && rank == 0) el.fail_at("bad-axis", a.span(), "a tensor of rank 0 has no last axis");
  const std::int64_t at =
      axis ? checked_axis(el, axis->value, axis->span, rank) : static_cast<std::int64_t>(rank) - 1;
  return Value::extent(el.type(x).shape[static_cast<std::size_t>(at)]);
}

Value is_integer_tensor(Elaborator& el, Arguments& a) {
  return {ir::is_integer(el.type(a.tensor(0, "x")).element)};
}

Value stop_grad(Elaborator& el, Arguments& a) {
  return {Tensor{el.b().value(Op::stop_grad_, {a.tensor(0, "x")})}};
}

template <ElementType to>
Value convert(Elaborator& el, Arguments& a) {
  return {Tensor{el.b().convert(a.tensor(0, "x"), to)}};
}

ValueId sum_of_squares(Elaborator& el, ValueId x) {
  Integers all;
  for (std::size_t i = 0; i < el.type(x).rank(); ++i) all.push_back(static_cast<std::int64_t>(i));
  return el.reduce(Op::reduce_sum_, el.b().mul(x, x), all);
}

/// Σ x² over a tensor, or over all of a list.
Value sumsq(Elaborator& el, Arguments& a) {
  const Call::Item& item = a.need(0, "x");
  const auto* list = item.value.as<List>();
  if (!list) return {Tensor{sum_of_squares(el, el.tensor(item.value, item.span))}};
  std::optional<ValueId> total;
  for (const Value& v : list->items) {
    const ValueId s = sum_of_squares(el, el.tensor(v, item.span));
    total = total ? el.b().add(*total, s) : s;
  }
  return total ? Value{Tensor{*total}} : Value::integer(0);
}

/// The parameters made so far whose paths, relative to the enclosing layer, match a glob.
Value params(Elaborator& el, Arguments& a) {
  const Call::Item& item = a.need(0, "glob");
  const auto* glob = item.value.as<std::string>();
  if (!glob) el.fail_at("bad-value", item.span, "`params` takes a pattern in quotes: \"*.W\"");
  List out;
  for (const auto& [key, id] : el.target->parameters) {
    if (key.first != ir::Role::param) continue;
    const std::string& path = el.program.params[key.second].path;
    if (path.starts_with(el.frame->path) &&
        matches_glob(*glob, std::string_view(path).substr(el.frame->path.size())))
      out.items.push_back({Tensor{id}});
  }
  if (out.items.empty() && !el.diagnostics.empty()) throw Failure{};  // a layer failed: it may have had them
  if (out.items.empty()) el.fail_at("no-match", item.span, fmt::format("no parameter matches \"{}\"", *glob));
  return {std::move(out)};
}

Value normal(Elaborator& el, Arguments& a) {
  const double mean = a.number(0, "mean"), deviation = a.number(1, "deviation");
  if (!(deviation >= 0) || !std::isfinite(deviation) || !std::isfinite(mean))
    el.fail_at("bad-initialiser", a.span(), fmt::format("there is no normal({}, {})", mean, deviation));
  return {Distribution{Distribution::Kind::normal, mean, deviation}};
}
Value uniform(Elaborator& el, Arguments& a) {
  const double low = a.number(0, "low"), high = a.number(1, "high");
  if (!(low <= high) || !std::isfinite(low) || !std::isfinite(high))
    el.fail_at("bad-initialiser", a.span(), fmt::format("there is no uniform({}, {})", low, high));
  return {Distribution{Distribution::Kind::uniform, low, high}};
}

const std::map<std::string, Rule>& rules() {
  static const std::map<std::string, Rule> table = {
      {"exp", elementwise<Op::exp_, std::exp>},
      {"expm1", elementwise<Op::expm1_, std::expm1>},
      {"log", elementwise<Op::log_, std::log>},
      {"log1p", elementwise<Op::log1p_, std::log1p>},
      {"sqrt", elementwise<Op::sqrt_, std::sqrt>},
      {"abs", elementwise<Op::abs_, std::abs>},
      {"sin", elementwise<Op::sin_, std::sin>},
      {"cos", elementwise<Op::cos_, std::cos>},
      {"tanh", elementwise<Op::tanh_, std::tanh>},
      {"erf", elementwise<Op::erf_, std::erf>},
      {"floor", elementwise<Op::floor_, std::floor>},
      {"sign", elementwise<Op::sign_, sign>},
      {"sigmoid", elementwise<Op::sigmoid_, sigmoid>},
      {"softplus", elementwise<Op::softplus_, softplus>},
      {"sum", reduction<Op::reduce_sum_>},
      {"any", reduction<Op::reduce_any_>},
      {"all", reduction<Op::reduce_all_>},
      {"mean", mean},
      {"max", extremum<Op::reduce_max_, Op::max_, Op::clamp_min_, true>},
      {"min", extremum<Op::reduce_min_, Op::min_, Op::clamp_max_, false>},
      {"argmax", argmax},
      {"logsumexp", logsumexp},
      {"where", where},
      {"one_hot", one_hot},
      {"reshape", reshape},
      {"transpose", transpose},
      {"einsum", einsum},
      {"extent", extent},
      {"is_integer", is_integer_tensor},
      {"stop_grad", stop_grad},
      {"sumsq", sumsq},
      {"params", params},
      {"normal", normal},
      {"uniform", uniform},
      {"f32", convert<ElementType::f32>},
      {"f64", convert<ElementType::f64>},
      {"i32", convert<ElementType::i32>},
      {"i64", convert<ElementType::i64>}};
  return table;
}

}  // namespace

const std::vector<std::string>& Elaborator::builtin_names() {
  static const std::vector<std::string> names = [] {
    std::vector<std::string> out;
    for (const auto& [name, rule] : rules()) out.push_back(name);
    return out;
  }();
  return names;
}

bool Elaborator::is_builtin(const std::string& name) { return rules().contains(name); }

Value Elaborator::call_builtin(const std::string& name, Call& call) {
  Arguments arguments(*this, name, call);
  Value result = rules().at(name)(*this, arguments);
  arguments.done();
  return result;
}

}  // namespace mlpc::frontend
