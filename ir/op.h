#pragma once

#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <variant>
#include <vector>

#include "ir/graph.h"

namespace mlpc::ir {

class Builder;
class KernelBuilder;
struct Scalar;

/// One node as a rule sees it. Operand values may be absent: while a linear program is transposed, its
/// tangents have types but no value in the graph under construction.
struct NodeView {
  Op op;
  std::span<const Type> operand_types;
  std::span<const Type> result_types;
  std::span<const std::optional<ValueId>> operands;
  std::span<const std::optional<ValueId>> results;
  const Attributes& attributes;

  ValueId operand(std::size_t i) const { return operands[i].value(); }
  ValueId result(std::size_t i = 0) const { return results[i].value(); }
};

using MaybeValue = std::optional<ValueId>;  // a tangent or cotangent; nullopt is a symbolic zero

// ---- Types ----------------------------------------------------------------------------------------------

struct AttributeSpec {
  std::string_view name;
  enum class Kind : std::uint8_t {
    integer,
    integers,
    shape,
    element_type,
    constant,
    string,
    body
  } kind;  // = variant index
};

/// The results' types, or mlpc::Error that says which operand breaks which rule, with both shapes.
using TypeRule = std::vector<Type> (*)(std::span<const Type> operands, const Attributes& attributes);

// ---- Derivatives: one of two facts ----------------------------------------------------------------------

/// ȳ ↦ the contribution to operand `k`'s cotangent, Jₖᵀ ȳ. At least one cotangent is present. Called only for
/// operands that the fact declares linear. Other operands' values are available; the linear ones' are not.
using TransposeRule = MaybeValue (*)(Builder&, const NodeView&, std::size_t k,
                                     std::span<const MaybeValue> cotangents);
/// ẋ ↦ ẏ, in ops that are linear in the tangents. At least one tangent is present.
using JvpRule = std::vector<MaybeValue> (*)(Builder&, const NodeView&, std::span<const MaybeValue> tangents);
/// ∂y/∂xₖ of an elementwise op, elementwise.
using PartialRule = ValueId (*)(Builder&, const NodeView&, std::size_t k);
/// The Jacobian with respect to operand k, for dumps: "diag(z > 0)". Names come from `name(value)`.
using JacobianText = std::string (*)(const NodeView&, std::size_t k,
                                     std::span<const std::string> operand_names,
                                     std::string_view result_name);

/// No operand has a derivative (comparisons, integers, sources).
struct NotDifferentiable {};

/// Linear in the operands of `linear_operands` jointly (bit k: operand k): ẏ = f(ẋ), with zeros for absent
/// tangents.
struct Linear {
  std::uint32_t linear_operands;
  TransposeRule transpose;
};

/// Linear in each operand of `linear_operands` apart: the product rule, ẏ = Σₖ f(…, ẋₖ, …).
struct Multilinear {
  std::uint32_t linear_operands;
  TransposeRule transpose;
};

/// J is diagonal: ẏ = Σₖ ∂y/∂xₖ · ẋₖ, one partial an operand. `absorb` bit k: the partial can be infinite at
/// a finite x, so the product is `scale` (0 absorbs), not `mul`.
struct Pointwise {
  std::uint32_t differentiable_operands;
  PartialRule partial;
  std::uint32_t absorb = 0;
};

/// Anything else. In operands of `linear_operands` the op is linear apart, too, as a node of a linear
/// program: then `transpose` says how.
struct Jvp {
  JvpRule jvp;
  std::uint32_t linear_operands = 0;
  TransposeRule transpose = nullptr;
};

/// The op runs a body: its derivative is the op over the body's (compiler/autodiff/push_scan.h).
struct ThroughBody {};

using Derivative = std::variant<NotDifferentiable, Linear, Multilinear, Pointwise, Jvp, ThroughBody>;

// ---- Lowering -------------------------------------------------------------------------------------------

/// One scalar of the result from the scalars of the operands at the same index. Shares nothing with
/// `reference`.
using ScalarRule = Scalar (*)(KernelBuilder&, const NodeView&, std::span<const Scalar> operands);
struct ElementwiseLowering {
  ScalarRule emit;
};

/// A value that depends on the index alone (constant, dim, iota) and on rank-0 operands (random numbers):
/// `index` are the result's index scalars (i64), one an axis.
struct SourceLowering {
  Scalar (*emit)(KernelBuilder&, const NodeView&, std::span<const Scalar> operands,
                 std::span<const Scalar> index);
  /// Its last operand is followed by its stream, an i64, and it takes one index in row-major order, too.
  bool is_random = false;
};

/// Operand 0 reduced over the attribute `axes`, by one accumulator. argmax carries (value, position).
enum class Reducer : std::uint8_t { sum, prod, max, min, any, all, argmax, fma };
struct ReductionLowering {
  Reducer reducer;
};

/// An einsum: products of the operands, summed by one chain of FMAs in the order of the contracted letters.
struct ContractionLowering {};

/// The result is the operands under another index, or zero outside of them: broadcast, reshape, transpose,
/// slice, pad, concat, flip, window, gather.
struct LayoutLowering {};

/// Each element is the sum, in the order of the taps, of the elements of the windows that lie on it: fold.
struct FoldLowering {};

/// Each row is the sum, in the order of the ids, of the rows that operand 0 sends to it: scatter_add.
struct ScatterLowering {};

/// A value that runs along an axis (attribute 0), from its end where attribute 1 is 1: each turn makes it
/// from what the turn before had, `start` in the first, and the operands' elements. The result has it turn by
/// turn; or, where `is_delayed`, what the turn before had.
struct CumulativeLowering {
  double start;
  Scalar (*step)(KernelBuilder&, Scalar before, std::span<const Scalar> operands);
  bool is_delayed = false;
};

/// Written in simpler ops before lowering (logsumexp).
struct CompositeLowering {
  std::vector<ValueId> (*expand)(Builder&, const NodeView&);
};

/// The kernels of the node's body, run once a turn.
struct BodyLowering {};

using OpLowering = std::variant<ElementwiseLowering, SourceLowering, ReductionLowering, ContractionLowering,
                                LayoutLowering, FoldLowering, ScatterLowering, CumulativeLowering,
                                CompositeLowering, BodyLowering, std::monostate>;  // monostate: never lowered

// ---- Reference ------------------------------------------------------------------------------------------

/// The oracle: whole arrays in f64 (integers and bools as exact doubles), plain loops. `value_of_dim` gives
/// the free dims; operand shapes are already numbers.
struct HostTensor {
  std::vector<std::int64_t> shape;
  std::vector<double> values;  // row-major
};
/// Sees each value of a graph, or of a body in each turn, when it is there, and may change it.
using ValueHook = std::function<void(const Graph&, ValueId, HostTensor&)>;
struct ReferenceContext {
  std::span<const Type> result_types;
  std::span<const std::vector<std::int64_t>> result_shapes;
  const Attributes& attributes;
  const std::function<std::int64_t(const Dim&)>& value_of_dim;
  const ValueHook* hook = nullptr;  // for the values inside
};
using Reference = std::vector<HostTensor> (*)(const ReferenceContext&,
                                              std::span<const HostTensor* const> operands);

// ---- The record -----------------------------------------------------------------------------------------

inline constexpr std::size_t kAnyArity = SIZE_MAX;
inline constexpr std::size_t kArityOfBody = SIZE_MAX - 1;

struct OpDef {
  std::string_view name;
  std::string_view summary;  // one line for the op documentation; states ties and special values
  std::size_t arity;         // kAnyArity: one or more; kArityOfBody: as its type rule says
  std::span<const AttributeSpec> attributes = {};
  TypeRule type_rule;
  Derivative derivative;
  JacobianText jacobian = nullptr;  // null: the derivative's kind has a text of its own
  OpLowering lowering;
  bool is_dear = false;  // an element costs more than reading it from memory
  Reference reference;   // null: of `parameter`, and where asks_for_derivative(op)
};

/// The record of an op.
const OpDef& def(Op op);
/// grad, jvp, vjp, jacobian: what the first pass writes in other ops. They have neither a lowering nor a
/// reference.
bool asks_for_derivative(Op op);
/// Throws mlpc::Error if the op does not take so many operands.
void check_arity(const OpDef& record, std::size_t operands);
std::span<const Op> all_ops();
std::optional<Op> op_named(std::string_view name);

}  // namespace mlpc::ir
