#include "ir/ops/scan.h"

#include "ir/evaluate.h"
#include "ir/ops/common.h"

namespace mlpc::ir::ops {
namespace {

constexpr AttributeSpec kAttributes[] = {{"body", Kind::body},
                                         {"consts", Kind::integer},
                                         {"loops", Kind::integer},
                                         {"length", Kind::shape},
                                         {"reverse", Kind::integer}};

void require(std::string_view what, std::size_t i, const Type& given, const Type& expected) {
  if (given != expected) fail("{} {} is {}, the body's is {}", what, i, given.text(), expected.text());
}

/// Counts and lengths, before ScanSpec can be made of them.
void check_attributes(Types operands, const Attributes& a) {
  const BodySignature& s = std::get<Body>(a[0]).signature();
  const auto is_count = [](const Attribute& attribute, std::size_t count) {
    return std::get<std::int64_t>(attribute) == static_cast<std::int64_t>(count);
  };
  if (!is_count(a[1], s.consts.size()) || !is_count(a[2], s.loops.size()))
    fail("the body has {} consts and {} loop values", s.consts.size(), s.loops.size());
  const std::size_t count = s.consts.size() + s.loops.size() + s.sequences.size();
  if (operands.size() != count) fail("`scan` takes {} operands, as its body, not {}", count, operands.size());
  if (std::get<Shape>(a[3]).size() != 1) fail("`scan` has {} lengths, not 1", std::get<Shape>(a[3]).size());
  const std::int64_t reverse = std::get<std::int64_t>(a[4]);
  if (reverse != 0 && reverse != 1) fail("reverse is {}, neither 0 nor 1", reverse);
}

std::vector<Type> result_types(Types operands, const Attributes& a) {
  check_attributes(operands, a);
  const ScanSpec spec = ScanSpec::of(a);
  const Graph& body = spec.body.graph();
  const BodySignature& s = spec.body.signature();
  auto operand = operands.begin();
  for (std::size_t i = 0; i < s.consts.size(); ++i) require("const", i, *operand++, body.type(s.consts[i]));
  for (std::size_t i = 0; i < s.loops.size(); ++i)
    require("loop value", i, *operand++, body.type(s.loops[i]));
  for (std::size_t i = 0; i < s.sequences.size(); ++i)
    require("sequence", i, *operand++, sequence_of(body.type(s.sequences[i]), spec.length));
  std::vector<Type> results;
  for (ValueId v : s.next) results.push_back(body.type(v));
  for (ValueId v : s.stacked) results.push_back(sequence_of(body.type(v), spec.length));
  if (results.empty()) fail("the body has no results");
  return results;
}

/// The turns of a scan on whole arrays: what the body takes and gives, one turn after the other.
class Turns {
 public:
  Turns(const ReferenceContext& context, Operands operands)
      : context_(context),
        spec_(ScanSpec::of(context.attributes)),
        operands_(operands),
        length_(context.value_of_dim(spec_.length)) {
    for (std::size_t i = 0; i < spec_.loop_count(); ++i)
      results_.push_back(*operands[spec_.const_count() + i]);
    for (std::size_t r = spec_.loop_count(); r < context.result_shapes.size(); ++r) {
      const std::vector<std::int64_t>& shape = context.result_shapes[r];
      results_.push_back({shape, std::vector<double>(element_count(shape))});
    }
  }

  std::vector<HostTensor> run() {
    for (std::int64_t i = 0; i < length_; ++i)
      turn(static_cast<std::size_t>(spec_.reverse ? length_ - 1 - i : i));
    return std::move(results_);
  }

 private:
  static HostTensor slice(const HostTensor& sequence, std::size_t turn) {
    HostTensor out{{sequence.shape.begin() + 1, sequence.shape.end()}, {}};
    const auto count = static_cast<std::ptrdiff_t>(element_count(out.shape));
    const auto from = sequence.values.begin() + static_cast<std::ptrdiff_t>(turn) * count;
    out.values.assign(from, from + count);
    return out;
  }

  HostTensor argument(const Graph::Parameter& p, std::size_t turn) const {
    const std::size_t consts = spec_.const_count(), loops = spec_.loop_count();
    if (p.role == Role::turn) return {{}, {static_cast<double>(turn)}};
    if (p.role == Role::constant) return *operands_[p.index];
    if (p.role == Role::loop) return results_[p.index];
    return slice(*operands_[consts + loops + p.index], turn);
  }

  void turn(std::size_t turn) {
    const Graph& body = spec_.body.graph();
    std::vector<HostTensor> arguments;
    for (const Graph::Parameter& p : body.parameters()) arguments.push_back(argument(p, turn));
    const std::vector<HostTensor> values = evaluate(
        body, arguments, [&](std::string_view name) { return context_.value_of_dim(Dim::named(name)); },
        context_.hook ? *context_.hook : nullptr);
    for (std::size_t r = 0; r < values.size(); ++r) {
      const Graph::Result& result = body.results[r];
      if (result.role == Role::loop) {
        results_[result.index] = values[r];
        continue;
      }
      std::vector<double>& stacked = results_[spec_.loop_count() + result.index].values;
      std::ranges::copy(values[r].values,
                        stacked.begin() + static_cast<std::ptrdiff_t>(turn * values[r].values.size()));
    }
  }

  const ReferenceContext& context_;
  const ScanSpec spec_;
  Operands operands_;
  std::int64_t length_;
  std::vector<HostTensor> results_;
};

/// The loop values of a body: "h", "(h, c)".
std::string state_text(const Graph& body, const BodySignature& s) {
  std::string out;
  for (ValueId v : s.loops) out += (out.empty() ? "" : ", ") + body.value_name(v);
  return s.loops.size() == 1 ? out : "(" + out + ")";
}

/// The chain rule over the turns, in the body's own names: h′ is what becomes of h in a turn.
std::string scan_jacobian(const NodeView& n, std::size_t k, std::span<const std::string>, std::string_view) {
  const ScanSpec spec = ScanSpec::of(n.attributes);
  const Graph& body = spec.body.graph();
  const BodySignature& s = spec.body.signature();
  const std::size_t consts = s.consts.size(), loops = s.loops.size();
  const bool is_const = k < consts, is_loop = !is_const && k < consts + loops;
  const std::string operand = body.value_name(is_const  ? s.consts[k]
                                              : is_loop ? s.loops[k - consts]
                                                        : s.sequences[k - consts - loops]);
  const std::string turns = spec.length.text() + " turns";
  if (loops == 0)
    return fmt::format("J(y, {})ₜ of each turn t, {}, {}", operand,
                       is_const ? "one below the other" : "diagonal", turns);
  const std::string state = state_text(body, s), step = fmt::format("J({0}′, {0})", state);
  if (is_loop) return fmt::format("∏ₜ {}ₜ, {}", step, turns);
  return fmt::format("Σₜ (∏ of {} of the turns after t) · J({}′, {})ₜ, {}", step, state, operand, turns);
}

}  // namespace

ScanSpec ScanSpec::of(const Attributes& a) {
  return {std::get<Body>(a[0]), std::get<Shape>(a[3])[0], std::get<std::int64_t>(a[4]) != 0};
}

Attributes ScanSpec::attributes() const {
  return {body, static_cast<std::int64_t>(const_count()), static_cast<std::int64_t>(loop_count()),
          Shape{length}, std::int64_t{reverse}};
}

std::vector<ValueId> scan(Builder& b, const ScanSpec& spec, std::span<const ValueId> operands) {
  const Node& made = b.graph().node(b.make(Op::scan_, operands, spec.attributes()));
  std::vector<ValueId> results;
  for (std::uint32_t r = 0; r < made.result_count; ++r) results.push_back(Graph::result(made, r));
  return results;
}

Type element_of(Type sequence) {
  sequence.shape.erase(sequence.shape.begin());
  return sequence;
}

Type sequence_of(Type element, Dim length) {
  element.shape.insert(element.shape.begin(), std::move(length));
  return element;
}

const OpDef scan_ = {.name = "scan",
                     .summary =
                         "a body run once a turn: loop values are handed on, slices of sequences read, "
                         "results stacked",
                     .arity = kArityOfBody,
                     .attributes = kAttributes,
                     .type_rule = result_types,
                     .derivative = ThroughBody{},
                     .jacobian = scan_jacobian,
                     .lowering = BodyLowering{},
                     .reference = [](const ReferenceContext& c, Operands x) { return Turns(c, x).run(); }};

}  // namespace mlpc::ir::ops
