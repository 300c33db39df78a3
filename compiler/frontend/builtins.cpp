#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

#include "compiler/frontend/arguments.h"
#include "compiler/frontend/equal_turns.h"
#include "compiler/frontend/glob.h"
#include "compiler/frontend/indices.h"
#include "ir/error.h"

// What the language has besides its library: operations on tensors, distributions, numbers.

namespace mlpc::frontend {

using ir::Dim;
using ir::ElementType;
using ir::Integers;
using ir::Op;
using ir::Shape;
using ir::ValueId;

void note_bound(Elaborator& el, ValueId index, std::int64_t n) {
  for (const ir::Graph::Parameter& p : el.target->graph.parameters())
    if (p.value == index && p.role == ir::Role::input) {
      std::int64_t& bound = el.program.inputs[p.index].index_bound;
      bound = bound == 0 ? n : std::min(bound, n);
    }
}

namespace {

template <Op op, double (*of_number)(double)>
Value elementwise(Elaborator& el, Arguments& a) {
  const Call::Item& item = a.need(0, "x");
  if (const auto* n = item.value.as<Number>()) {
    const double y = of_number(n->value);
    if (std::isnan(y) || (std::isinf(y) && std::isfinite(n->value)))
      el.fail_at("bad-value", a.span(), fmt::format("`{}` has no finite value at {}", a.name(), n->value));
    return Value::real(y);
  }
  const ValueId x = el.tensor(item.value, item.span);
  if (!ir::is_float(el.type(x).element))
    el.fail_at("type-mismatch", item.span,
               fmt::format("`{}` takes f32 or f64; this is {}", a.name(), el.describe(item.value)), {},
               fmt::format("convert it: `{}(…)`", ir::name_of(el.program.element)));
  return {Tensor{el.b().value(op, {x})}};
}

Value tan(Elaborator& el, Arguments& a) {
  Call::Item x = a.need(0, "x");
  if (const auto* n = x.value.as<Number>()) return Value::real(std::tan(n->value));
  const ValueId v = el.tensor(x.value, x.span);
  return {Tensor{el.b().div(el.b().value(Op::sin_, {v}), el.b().value(Op::cos_, {v}))}};
}

/// atan2(y, x): the angle of the point (x, y).
Value atan2(Elaborator& el, Arguments& a) {
  const Call::Item &y = a.need(0, "y"), &x = a.need(1, "x");
  const auto *ny = y.value.as<Number>(), *nx = x.value.as<Number>();
  if (ny && nx) return Value::real(std::atan2(ny->value, nx->value));
  const auto element = [&](const Value& v) {
    return v.as<Tensor>() ? std::optional(el.type(v.as<Tensor>()->id).element) : std::nullopt;
  };
  const ValueId u = el.tensor(y.value, y.span, element(x.value)),
                v = el.tensor(x.value, x.span, element(y.value));
  const Shape shape = el.common_shape(el.type(u).shape, el.type(v).shape, [&] {
    el.fail_at("shape-mismatch", a.span(),
               fmt::format("`atan2` of {} and {}", el.type(u).text(), el.type(v).text()), {},
               Elaborator::mismatch_hint(el.type(u).shape, el.type(v).shape));
  });
  return {Tensor{el.b().value(Op::atan2_, {el.broadcast_to(u, shape), el.broadcast_to(v, shape)})}};
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

constexpr std::string_view kIntegers = "integers are declared as such: `input y[B] : i32`";

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
      el.fail_at(
          "type-mismatch", x.span,
          fmt::format("`{}` with a number takes f32 or f64; this is {}", a.name(), el.describe(x.value)));
    return {Tensor{el.b().value(clamp, {t}, {ir::Constant::of(el.type(t).element, n->value)})}};
  }
  const ValueId u = el.tensor(y.value, y.span);
  const auto mismatch = [&] {
    el.fail_at("shape-mismatch", a.span(),
               fmt::format("`{}` of {} and {}", a.name(), el.type(t).text(), el.type(u).text()), {},
               Elaborator::mismatch_hint(el.type(t).shape, el.type(u).shape));
  };
  const Shape shape = el.common_shape(el.type(t).shape, el.type(u).shape, mismatch);
  return {Tensor{el.b().value(both, {el.broadcast_to(t, shape), el.broadcast_to(u, shape)})}};
}

Value argmax(Elaborator& el, Arguments& a) {
  const ValueId x = a.tensor(0, "x");
  return {Tensor{
      el.b().value(Op::argmax_, {x}, {static_cast<std::int64_t>(one_axis(el, a, el.type(x).rank()))})}};
}

Value logsumexp(Elaborator& el, Arguments& a) {
  const ValueId x = a.tensor(0, "x");
  return {Tensor{el.b().value(Op::logsumexp_, {x}, {axes(el, a, x, true)})}};
}

/// -Σ q log softmax(z) over the last axis; integers name the class of q = 1.
Value softmax_cross_entropy(Elaborator& el, Arguments& a) {
  const ValueId z = a.tensor(0, "z");
  const ir::Type type = el.type(z);
  const Call::Item& labels = a.need(1, "y");
  const ValueId y = el.tensor(labels.value, labels.span, type.element);
  const auto mismatch = [&] {
    el.fail_at("shape-mismatch", a.span(),
               fmt::format("the logits are {}, the labels {}", type.text(), el.type(y).text()));
  };
  if (!ir::is_float(type.element) || type.rank() == 0) mismatch();
  const Dim& classes = type.shape.back();
  const auto first = [&](ValueId logits, ValueId q) {
    return Value{Tensor{ir::Graph::result(
        el.b().graph().node(el.b().make(Op::softmax_cross_entropy_, std::array{logits, q})))}};
  };
  if (ir::is_integer(el.type(y).element)) {
    if (el.type(y).shape != Shape(type.shape.begin(), type.shape.end() - 1)) mismatch();
    if (const std::optional<std::int64_t> n = classes.constant()) note_bound(el, y, *n);
    return first(z, y);
  }
  if (el.type(y).element != type.element) mismatch();
  const Shape shape = el.common_shape(type.shape, el.type(y).shape, mismatch);
  return first(el.broadcast_to(z, shape), el.broadcast_to(y, shape));
}

/// (x - mean) / √(variance + eps) over the last axis.
Value standardize(Elaborator& el, Arguments& a) {
  const Call::Item& item = a.need(0, "x");
  const ValueId x = el.tensor(item.value, item.span);
  const ir::Type type = el.type(x);
  if (!ir::is_float(type.element) || type.rank() == 0)
    el.fail_at("type-mismatch", item.span,
               fmt::format("this is {}, not rows of f32 or f64", el.describe(item.value)));
  const double eps = a.number(1, "eps");
  if (!(eps >= 0) || std::isinf(eps)) el.fail_at("bad-value", a.span(), fmt::format("eps is {}", eps));
  const ir::NodeId made = el.b().make(Op::layernorm_, std::array{x}, {ir::Constant::of(type.element, eps)});
  return {Tensor{ir::Graph::result(el.b().graph().node(made))}};
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
        fmt::format("`where` of {}, {} and {}", el.type(c).text(), el.type(u).text(), el.type(v).text()), {},
        el.type(u).shape == el.type(v).shape ? Elaborator::mismatch_hint(el.type(c).shape, el.type(u).shape)
                                             : Elaborator::mismatch_hint(el.type(u).shape, el.type(v).shape));
  };
  const Shape shape = el.common_shape(el.common_shape(el.type(c).shape, el.type(u).shape, mismatch),
                                      el.type(v).shape, mismatch);
  return {
      Tensor{el.b().where(el.broadcast_to(c, shape), el.broadcast_to(u, shape), el.broadcast_to(v, shape))}};
}

Value one_hot(Elaborator& el, Arguments& a) {
  const Call::Item &index = a.need(0, "index"), &classes = a.need(1, "classes");
  const ValueId y = el.tensor(index.value, index.span);
  const std::int64_t n = el.integer(classes.value, classes.span, "the number of classes");
  if (!ir::is_integer(el.type(y).element))
    el.fail_at("type-mismatch", index.span,
               fmt::format("an index has to be an integer; this is {}", el.describe(index.value)), {},
               std::string(kIntegers));
  if (n < 1)
    el.fail_at("bad-value", classes.span,
               fmt::format("the number of classes is {}; it has to be at least 1", n));
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

Value extent(Elaborator& el, Arguments& a) {
  const ValueId x = a.tensor(0, "x");
  return Value::extent(el.type(x).shape[one_axis(el, a, el.type(x).rank())]);
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

/// In the model's type.
Value real(Elaborator& el, Arguments& a) {
  return {Tensor{el.b().convert(a.tensor(0, "x"), el.program.element)}};
}

/// zeros(B, H): a tensor of the model's type.
template <int value>
Value filled(Elaborator& el, Arguments& a) {
  ir::Type type{el.program.element, {}};
  for (std::size_t i = 0; i < a.positional(); ++i) {
    const Call::Item& item = a.need(i, "extent");
    type.shape.push_back(el.dim(item.value, item.span, "an extent"));
  }
  return {Tensor{el.b().full(type, value)}};
}

/// indices(T): 0, 1, … as i32[T].
Value indices(Elaborator& el, Arguments& a) {
  const Call::Item& item = a.need(0, "count");
  const Shape shape{el.dim(item.value, item.span, "an extent")};
  return {Tensor{el.b().value(Op::iota_, {}, {shape, std::int64_t{0}, ElementType::i32})}};
}

/// (mean, mean squared difference from it).
Value moments(Elaborator& el, Arguments& a) {
  const ValueId x = a.tensor(0, "x");
  const Integers over = axes(el, a, x);
  const ValueId mu = el.mean(x, over, a.span());
  Integers kept;
  for (std::int64_t axis = 0; axis < static_cast<std::int64_t>(el.type(x).rank()); ++axis)
    if (std::ranges::find(over, axis) == over.end()) kept.push_back(axis);
  const ValueId difference = el.b().sub(x, el.b().broadcast(mu, el.type(x).shape, kept));
  const ValueId variance = el.mean(el.b().mul(difference, difference), over, a.span());
  return {List{{{Tensor{mu}}, {Tensor{variance}}}, 3}};
}

/// The length of a list.
Value length(Elaborator& el, Arguments& a) {
  const Call::Item& item = a.need(0, "list");
  const auto* list = item.value.as<List>();
  if (!list)
    el.fail_at("bad-value", item.span,
               fmt::format("`len` takes a list; this is {}", el.describe(item.value)));
  return Value::integer(static_cast<std::int64_t>(list->items.size()));
}

Value is_list(Elaborator&, Arguments& a) { return {a.need(0, "x").value.as<List>() != nullptr}; }

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
  TurnRecorder turns(el, item.span, list);
  std::optional<ValueId> total;
  if (turns.has_rows()) total = el.b().scalar(el.program.element, 0);  // the first turn adds as all others do
  for (const Value& v : list->items) {
    turns.begin_turn();
    const ValueId s = sum_of_squares(el, el.tensor(v, item.span));
    total = total ? el.b().add(*total, s) : s;
  }
  return total ? Value{Tensor{*total}} : Value::integer(0);
}

/// The parameters made so far whose paths, relative to the enclosing layer, match a glob.
Value params(Elaborator& el, Arguments& a) {
  const Call::Item& item = a.need(0, "glob");
  const auto* glob = item.value.as<std::string>();
  if (!glob)
    el.fail_at(
        "bad-value", item.span,
        fmt::format("`params` takes a pattern in quotes, as \"*.W\"; this is {}", el.describe(item.value)));
  List out;
  std::vector<std::string> known;
  for (const auto& [key, id] : el.target->root().parameters) {
    if (key.first != ir::Role::param) continue;
    const std::string& path = el.program.params[key.second].path;
    if (!path.starts_with(el.frame->path)) continue;
    known.push_back(path.substr(el.frame->path.size()));
    if (matches_glob(*glob, known.back())) out.items.push_back({Tensor{el.imported(id, &el.target->root())}});
  }
  if (out.items.empty() && !el.diagnostics.empty()) throw Failure{};  // a layer failed: it may have had them
  if (out.items.empty())
    el.fail_at("no-match", item.span, fmt::format("no parameter matches \"{}\"", *glob), {},
               known.empty() ? "there are no parameters before this line"
                             : fmt::format("the parameters before this line are {}", enumerated(known)));
  return {std::move(out)};
}

Value normal(Elaborator& el, Arguments& a) {
  const double mean = a.number(0, "mean"), deviation = a.number(1, "deviation");
  if (!(deviation >= 0) || !std::isfinite(deviation) || !std::isfinite(mean))
    el.fail_at(
        "bad-initialiser", a.span(),
        fmt::format("the deviation of a normal distribution is {}; it has to be at least 0", deviation));
  return {Distribution{Distribution::Kind::normal, mean, deviation}};
}
Value uniform(Elaborator& el, Arguments& a) {
  const double low = a.number(0, "low"), high = a.number(1, "high");
  if (!(low <= high) || !std::isfinite(low) || !std::isfinite(high))
    el.fail_at("bad-initialiser", a.span(),
               fmt::format("a uniform distribution from {} to {} ends before it begins", low, high));
  return {Distribution{Distribution::Kind::uniform, low, high}};
}

/// 1 with this probability, else 0.
Value bernoulli(Elaborator& el, Arguments& a) {
  const double p = a.number(0, "probability");
  if (!(p >= 0 && p <= 1))
    el.fail_at("bad-initialiser", a.span(), fmt::format("a probability is {}; it has to be from 0 to 1", p));
  return {Distribution{Distribution::Kind::bernoulli, p, 0}};
}

Value orthogonal(Elaborator&, Arguments&) { return {Distribution{Distribution::Kind::orthogonal, 0, 0}}; }

const Rules& own_rules() {
  static const Rules table = {{"exp", elementwise<Op::exp_, std::exp>},
                              {"expm1", elementwise<Op::expm1_, std::expm1>},
                              {"log", elementwise<Op::log_, std::log>},
                              {"log1p", elementwise<Op::log1p_, std::log1p>},
                              {"sqrt", elementwise<Op::sqrt_, std::sqrt>},
                              {"abs", elementwise<Op::abs_, std::abs>},
                              {"sin", elementwise<Op::sin_, std::sin>},
                              {"cos", elementwise<Op::cos_, std::cos>},
                              {"tan", tan},
                              {"atan2", atan2},
                              {"tanh", elementwise<Op::tanh_, std::tanh>},
                              {"erf", elementwise<Op::erf_, std::erf>},
                              {"floor", elementwise<Op::floor_, std::floor>},
                              {"sign", elementwise<Op::sign_, sign>},
                              {"sigmoid", elementwise<Op::sigmoid_, sigmoid>},
                              {"softplus", elementwise<Op::softplus_, softplus>},
                              {"sum", reduction<Op::reduce_sum_>},
                              {"prod", reduction<Op::reduce_prod_>},
                              {"any", reduction<Op::reduce_any_>},
                              {"all", reduction<Op::reduce_all_>},
                              {"mean", mean},
                              {"max", extremum<Op::reduce_max_, Op::max_, Op::clamp_min_, true>},
                              {"min", extremum<Op::reduce_min_, Op::min_, Op::clamp_max_, false>},
                              {"argmax", argmax},
                              {"logsumexp", logsumexp},
                              {"softmax_cross_entropy", softmax_cross_entropy},
                              {"standardize", standardize},
                              {"where", where},
                              {"one_hot", one_hot},
                              {"extent", extent},
                              {"is_integer", is_integer_tensor},
                              {"stop_grad", stop_grad},
                              {"sumsq", sumsq},
                              {"params", params},
                              {"normal", normal},
                              {"uniform", uniform},
                              {"bernoulli", bernoulli},
                              {"orthogonal", orthogonal},
                              {"f32", convert<ElementType::f32>},
                              {"f64", convert<ElementType::f64>},
                              {"i32", convert<ElementType::i32>},
                              {"i64", convert<ElementType::i64>},
                              {"real", real},
                              {"zeros", filled<0>},
                              {"ones", filled<1>},
                              {"indices", indices},
                              {"moments", moments},
                              {"len", length},
                              {"is_list", is_list}};
  return table;
}

const Rules& rules() {
  static const Rules table = [] {
    Rules out = own_rules();
    for (const Rules* more : {&layout_rules(), &part_rules(), &derivative_rules()})
      out.insert(more->begin(), more->end());
    return out;
  }();
  return table;
}

/// Functions of numbers: in index notation they are taken at every index.
bool is_elementwise(const std::string& name) {
  static const std::set<std::string_view> names = {
      "exp",       "expm1", "log",   "log1p", "sqrt",    "abs",      "sin",  "cos", "tan",
      "tanh",      "erf",   "floor", "sign",  "sigmoid", "softplus", "max",  "min", "where",
      "stop_grad", "f32",   "f64",   "i32",   "i64",     "real",     "atan2"};
  return names.contains(name);
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
  std::vector<Value> values;
  for (const Call::Item& item : call.items) values.push_back(item.value);
  const IndexVariables indices = indices_of(values);
  if (!indices.empty() && !is_elementwise(name))
    fail_at("bad-index", call.span,
            fmt::format("in index notation `{}` would get numbers, and it takes tensors", name));
  for (Call::Item& item : call.items)
    if (!indices.empty()) {
      if (item.value.as<Affine>())
        item.value = binary("*", Value::real(1), item.value, nullptr, nullptr, item.span);
      item.value = spread(*this, item.value, indices, item.span);
    }
  Arguments arguments(*this, name, call);
  Span whole = call.span;
  if (!call.items.empty()) whole.begin = std::min(whole.begin, call.items[0].span.begin);
  const Temporarily around(context, Piece{file, whole});
  Value result;
  try {
    result = rules().at(name)(*this, arguments);
  } catch (const Error& error) {  // an op's own rule
    fail_at("bad-operand", call.span, fmt::format("`{}`: {}", name, error.what()));
  }
  arguments.done();
  const auto* tensor = result.as<Tensor>();
  return indices.empty() || !tensor ? result : Value{Indexed{tensor->id, indices}};
}

}  // namespace mlpc::frontend
