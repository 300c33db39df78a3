#include <algorithm>

#include "compiler/passes/passes.h"
#include "compiler/passes/recompute.h"
#include "ir/error.h"

namespace mlpc::passes {
namespace {

using ir::Graph;
using ir::Node;
using ir::ValueId;
using Extents = std::function<std::int64_t(std::string_view)>;

/// Cuts the forward part into segments of about equal bytes.
class Segments {
 public:
  Segments(const Graph& graph, std::int64_t count, const Extents& value_of_dim)
      : graph_(graph), parts_(graph), last_(count - 1) {
    cut(count, value_of_dim);
    find_kept();
  }

  const ForwardParts& parts() const { return parts_; }

 private:
  double bytes_of(const Node& node, const Extents& value_of_dim) const {
    if (std::holds_alternative<ir::LayoutLowering>(ir::def(node.op).lowering)) return 0;
    double bytes = 0;
    for (std::uint32_t r = 0; r < node.result_count; ++r) {
      const ir::Type& type = graph_.type(Graph::result(node, r));
      const auto count = static_cast<double>(type.element_count().evaluate(value_of_dim).value_or(INT64_MAX));
      bytes += count * ir::size_of(type.element);
    }
    return bytes;
  }

  /// Primal nodes by their place among all bytes; a partial derivative belongs where its last operand does.
  void cut(std::int64_t count, const Extents& value_of_dim) {
    double total = 0, before = 0;
    parts_.for_each_forward([&](ir::NodeId, const Node& node) { total += bytes_of(node, value_of_dim); });
    parts_.for_each_forward([&](ir::NodeId id, const Node& node) {
      std::int64_t segment = 0;
      for (ValueId v : graph_.operands(node)) segment = std::max(segment, parts_.of(v));
      if (parts_.is_primal(id) && total > 0)
        segment = std::max(segment, static_cast<std::int64_t>(static_cast<double>(count) * before / total));
      before += bytes_of(node, value_of_dim);
      parts_.set(node, std::min(segment, last_));
    });
  }

  /// What crosses a cut, or is a result, or belongs to the last segment. Partial derivatives are made where
  /// they are read, unless all that they are made of is there.
  void find_kept() {
    parts_.keep_results();
    parts_.for_each_forward([&](ir::NodeId id, const Node& node) {
      const std::int64_t own = parts_.of(Graph::result(node));
      if (parts_.is_primal(id))
        for (ValueId v : graph_.operands(node))
          if (parts_.of(v) >= 0 && parts_.of(v) < own) parts_.keep(v);
    });
    parts_.for_each_forward([&](ir::NodeId id, const Node& node) {
      if (parts_.of(Graph::result(node)) != last_ || (!parts_.is_primal(id) && !parts_.is_made_of_kept(node)))
        return;
      for (std::uint32_t r = 0; r < node.result_count; ++r) parts_.keep(Graph::result(node, r));
    });
  }

  const Graph& graph_;
  ForwardParts parts_;
  std::int64_t last_;
};

}  // namespace

ir::Program recompute_segments(const ir::Program& program, std::int64_t segments,
                               const Extents& value_of_dim) {
  MLPC_CHECK(segments > 0, "{} segments", segments);
  ir::Program out = program;
  if (Graph* grad = out.find("grad"))
    *grad = with_recomputation(*grad, Segments(*grad, segments, value_of_dim).parts());
  return out;
}

}  // namespace mlpc::passes
