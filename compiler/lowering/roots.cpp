#include "compiler/lowering/roots.h"

#include <algorithm>
#include <span>

#include "compiler/lowering/access.h"
#include "compiler/lowering/convolution.h"
#include "compiler/lowering/packing.h"
#include "ir/error.h"

namespace mlpc::lowering {
namespace {

using ir::Graph;
using ir::Node;
using ir::Op;
using ir::ValueId;

constexpr int kDeepest = 32;  // inlined expressions are evaluated recursively, and code grows with them

class Classifier {
 public:
  Classifier(const Graph& graph, bool fuse)
      : graph_(graph),
        fuse_(fuse),
        kinds_(graph.value_count()),
        depth_(graph.value_count(), 0),
        uses_(graph.value_count(), 0),
        dear_ops_(graph.value_count(), 0),
        arrays_(graph.value_count(), 0),
        is_epilogue_(graph.value_count(), false) {}

  std::vector<Kind> run() {
    for (std::uint32_t i = 0; i < graph_.node_count(); ++i) by_op(graph_.node({i}));
    for (const Graph::Result& result : graph_.results) compute(result.value);
    count_uses();
    for (std::uint32_t i = 0; i < graph_.node_count(); ++i) by_use(graph_.node({i}));
    for (std::uint32_t i = 0; i < graph_.node_count(); ++i) by_depth(graph_.node({i}));
    return std::move(kinds_);
  }

 private:
  void by_op(const Node& node) {
    const ir::OpLowering& lowering = ir::def(node.op).lowering;
    Kind kind = Kind::inlined;
    if (node.op == Op::parameter_) kind = Kind::parameter;
    if (std::holds_alternative<ir::ReductionLowering>(lowering) ||
        std::holds_alternative<ir::FoldLowering>(lowering))
      kind = Kind::reduction;
    if (std::holds_alternative<ir::ScatterLowering>(lowering)) kind = Kind::scatter;
    if (std::holds_alternative<ir::ContractionLowering>(lowering)) kind = Kind::contraction;
    if (std::holds_alternative<ir::CumulativeLowering>(lowering)) kind = Kind::cumulative;
    if (std::holds_alternative<ir::BodyLowering>(lowering)) kind = Kind::turns;
    if (std::holds_alternative<ir::ElementwiseLowering>(lowering) && !fuse_) kind = Kind::elementwise;
    MLPC_CHECK(!std::holds_alternative<ir::CompositeLowering>(lowering), "graph {}: {} was not expanded",
               graph_.name, ir::def(node.op).name);
    for (std::uint32_t r = 0; r < node.result_count; ++r) kinds_[node.first_result + r] = kind;
  }

  void compute(ValueId v) {
    if (kinds_[v.index] == Kind::inlined) kinds_[v.index] = Kind::elementwise;
  }

  /// The value below a chain of layout ops of one operand, or the first of them that is a `last`.
  ValueId strip_layout(ValueId v, std::optional<Op> last = std::nullopt) const {
    while (is_layout(graph_.producer(v).op) && graph_.producer(v).operand_count == 1 &&
           graph_.producer(v).op != last)
      v = graph_.operands(graph_.producer(v))[0];
    return v;
  }

  /// What a contraction reads: a pad's zeros are stored, so that no sum has guards, unless it clips them all.
  ValueId below_clips(std::span<const ValueId> pads, ValueId operand) const {
    ValueId below = strip_layout(operand, Op::pad_);
    while (std::ranges::find(pads, below) != pads.end())
      below = strip_layout(graph_.operands(graph_.producer(below))[0], Op::pad_);
    return below;
  }

  bool is_elementwise(ValueId v) const {
    return std::holds_alternative<ir::ElementwiseLowering>(ir::def(graph_.producer(v).op).lowering);
  }

  void count_uses() {
    for (std::uint32_t i = 0; i < graph_.node_count(); ++i)
      for (ValueId operand : graph_.operands(graph_.node({i}))) ++uses_[operand.index];
    for (const Graph::Result& result : graph_.results) ++uses_[result.value.index];
  }

  /// The only reader of a contraction is its epilogue, and so on: its value is stored, not the bare
  /// contraction.
  bool is_epilogue(const Node& node) const {
    return fuse_ && is_elementwise(Graph::result(node)) &&
           std::ranges::any_of(graph_.operands(node), [&](ValueId operand) {
             const bool ends = is_epilogue_[operand.index] ||
                               (kinds_[operand.index] == Kind::contraction && !sums_much(graph_, operand));
             return ends && uses_[operand.index] == 1;
           });
  }

  /// Contractions read each operand element many times; a broadcast of dear work would repeat it, and so
  /// would windows; a reshape that merges axes has to view a buffer, and indexes that are computed want one;
  /// a body reads buffers.
  void by_use(const Node& node) {
    const auto operands = graph_.operands(node);
    if (is_epilogue(node)) {
      is_epilogue_[Graph::result(node).index] = true;
      compute(Graph::result(node));
    }
    if (std::holds_alternative<ir::ContractionLowering>(ir::def(node.op).lowering)) {
      const Clips clips = clips_of(graph_, Graph::result(node));
      for (std::size_t k = 0; k < operands.size(); ++k) {
        const ValueId operand = operands[k], below = below_clips(clips.pads[k], operand);
        if (is_elementwise(below) || is_layout(graph_.producer(below).op)) compute(below);
        const bool is_turned = graph_.producer(operand).op == Op::transpose_;  // made by prepare()
        if (is_turned && !is_packed(node, operand)) compute(operand);
      }
    }
    if (kinds_[Graph::result(node).index] == Kind::turns)
      for (ValueId operand : operands) compute(viewed(graph_, kinds_, operand));
    if (is_layout(node.op) && !has_affine_index(graph_, node)) compute(operands[0]);
    if (node.op == Op::fold_ && has_stride(node)) compute(operands[0]);
    if (node.op == Op::scatter_add_)
      for (ValueId operand : operands) compute(operand);
    const bool repeats = node.op == Op::broadcast_ || node.op == Op::window_;
    if (repeats && is_dear(strip_layout(operands[0]))) compute(strip_layout(operands[0]));
    if (repeats)
      if (const ValueId turned = strip_layout(operands[0], Op::transpose_); turns_lanes(turned))
        compute(turned);
    if (std::holds_alternative<ir::ReductionLowering>(ir::def(node.op).lowering) &&
        is_worth_keeping(operands[0]))
      compute(operands[0]);
    if (reads_many_arrays(node)) compute(Graph::result(node));
    count_dear_ops(node);
    count_arrays(node);
  }

  /// An expression that several read, such as what residual blocks have added up so far: each reader would
  /// read all of its arrays again.
  bool reads_many_arrays(const Node& node) const {
    constexpr int kMany = 3;
    const ValueId v = Graph::result(node);
    return fuse_ && is_elementwise(v) && uses_[v.index] > 1 && arrays_below(node) >= kMany;
  }

  /// Arrays of about its own size that an expression reads.
  int arrays_below(const Node& node) const {
    constexpr int kEnough = 100;  // shared ones are counted more than once
    if (node.op == Op::broadcast_) return 0;
    int count = 0;
    for (ValueId operand : graph_.operands(node))
      count += kinds_[operand.index] == Kind::inlined ? arrays_[operand.index]
               : graph_.type(operand).rank() > 0      ? 1
                                                      : 0;
    return std::min(count, kEnough);
  }

  void count_arrays(const Node& node) {
    const ValueId v = Graph::result(node);
    if (kinds_[v.index] == Kind::inlined) arrays_[v.index] = arrays_below(node);
  }

  /// Whether v is a transpose after which the operand's last axis is not the last: each read strides.
  bool turns_lanes(ValueId v) const {
    const Node& node = graph_.producer(v);
    if (node.op != Op::transpose_) return false;
    const auto& permutation = std::get<ir::Integers>(node.attributes[0]);
    return permutation.back() + 1 != static_cast<std::int64_t>(permutation.size());
  }

  /// Whether reading it back costs less than another pass that computes it again: a derivative of an
  /// activation that is summed here (for a bias) and there (for a mean), and goes on.
  bool is_worth_keeping(ValueId v) const {
    constexpr int kManyDearOps = 3;
    return fuse_ && is_elementwise(v) && uses_[v.index] > 1 && dear_ops_[v.index] >= kManyDearOps;
  }

  /// How many dear ops the expression below an inlined value has.
  void count_dear_ops(const Node& node) {
    constexpr int kEnough = 100;  // shared ones are counted more than once
    const ValueId v = Graph::result(node);
    if (kinds_[v.index] != Kind::inlined) return;
    int count = ir::def(node.op).is_dear ? 1 : 0;
    for (ValueId operand : graph_.operands(node)) count += dear_ops_[operand.index];
    dear_ops_[v.index] = std::min(count, kEnough);
  }

  static bool has_stride(const Node& fold) { return std::get<std::int64_t>(fold.attributes[2]) != 1; }

  bool is_packed(const Node& node, ValueId operand) const {
    const std::optional<Packing> packing = packing_of(graph_, Graph::result(node));
    return packing && graph_.operands(node)[packing->operand] == operand;
  }

  /// Looks a few inlined steps down for dear work.
  bool is_dear(ValueId v, int steps = 4) const {
    if (kinds_[v.index] != Kind::inlined || steps == 0) return false;
    const Node& node = graph_.producer(v);
    if (ir::def(node.op).is_dear) return true;
    return std::ranges::any_of(graph_.operands(node), [&](ValueId o) { return is_dear(o, steps - 1); });
  }

  void by_depth(const Node& node) {
    const ValueId v = Graph::result(node);
    int depth = 0;
    for (ValueId operand : graph_.operands(node)) depth = std::max(depth, depth_[operand.index]);
    if (kinds_[v.index] == Kind::inlined && depth >= kDeepest && (is_elementwise(v) || is_layout(node.op)))
      compute(v);
    depth_[v.index] = kinds_[v.index] == Kind::inlined ? depth + 1 : 0;
  }

  const Graph& graph_;
  const bool fuse_;
  std::vector<Kind> kinds_;
  std::vector<int> depth_;
  std::vector<int> uses_;
  std::vector<int> dear_ops_;  // by value; 0 for what is computed once
  std::vector<int> arrays_;    // by value: what an inlined one reads
  std::vector<bool> is_epilogue_;
};

}  // namespace

std::vector<Kind> classify(const Graph& graph, bool fuse) { return Classifier(graph, fuse).run(); }

ir::Shape contracted_extents(const Graph& graph, const Node& contraction, const ir::ops::EinsumSpec& spec) {
  ir::Shape extents(spec.contracted.size());
  for (std::size_t i = 0; i < extents.size(); ++i)
    for (std::size_t k = 0; k < spec.operands.size(); ++k)
      if (const auto axis = spec.operands[k].find(spec.contracted[i]); axis != std::string::npos)
        extents[i] = graph.type(graph.operands(contraction)[k]).shape[axis];
  return extents;
}

bool sums_much(const Graph& graph, ValueId contraction) {
  constexpr std::int64_t kFreeExtent = 128, kMuch = 2048;
  const auto is_constant = [](const ir::Dim& extent) { return extent.is_constant(); };
  if (!std::ranges::all_of(graph.type(contraction).shape, is_constant)) return false;
  const Node& node = graph.producer(contraction);
  const ir::ops::EinsumSpec spec = ir::ops::parse_einsum(std::get<std::string>(node.attributes[0]));
  ir::Dim turns = 1;
  for (const ir::Dim& extent : contracted_extents(graph, node, spec)) turns = turns * extent;
  return turns.evaluate([](std::string_view) { return kFreeExtent; }).value_or(kMuch) >= kMuch;
}

std::optional<std::size_t> joined_axis(const Node& node) {
  if (node.op != Op::concat_) return std::nullopt;
  const std::int64_t axis = std::get<std::int64_t>(node.attributes[0]);
  return axis > 0 ? std::optional(static_cast<std::size_t>(axis)) : std::nullopt;
}

std::size_t folded_axis(const Node& node) {
  return static_cast<std::size_t>(std::get<std::int64_t>(node.attributes[0]));
}

ValueId viewed(const Graph& graph, const std::vector<Kind>& kinds, ValueId v) {
  while (kinds[v.index] == Kind::inlined && graph.producer(v).op == Op::reshape_)
    v = graph.operands(graph.producer(v))[0];
  return v;
}

std::size_t running_axis(const Node& node) {
  return static_cast<std::size_t>(std::get<std::int64_t>(node.attributes[0]));
}

ir::Integers reduced_axes(const Node& node) {
  if (node.op == Op::argmax_) return {std::get<std::int64_t>(node.attributes[0])};
  return std::get<ir::Integers>(node.attributes[0]);
}

}  // namespace mlpc::lowering
