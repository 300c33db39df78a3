#include "compiler/autodiff/scan_residuals.h"

#include <algorithm>

#include "ir/op.h"

namespace mlpc::autodiff {
namespace {

using ir::Graph;
using ir::Node;
using ir::Op;
using ir::Role;
using ir::ValueId;

constexpr std::size_t kMostAgain = 64;    // values that are computed again for the sake of one
constexpr std::int64_t kFreeExtent = 64;  // of every free dim, where sizes are compared

/// One pass of a kernel that reads its operands anyway, with no arithmetic to speak of.
bool is_cheap(const Node& node) {
  const ir::OpLowering& lowering = ir::def(node.op).lowering;
  return !ir::def(node.op).is_dear && (std::holds_alternative<ir::ElementwiseLowering>(lowering) ||
                                       std::holds_alternative<ir::LayoutLowering>(lowering));
}

std::int64_t bytes_of(const ir::Type& type) {
  const auto count = type.element_count().evaluate([](std::string_view) { return kFreeExtent; });
  return std::min(count.value_or(INT64_MAX), INT64_MAX / 16) * ir::size_of(type.element);
}

class Chooser {
 public:
  explicit Chooser(const Graph& body)
      : body_(body),
        varies_(varying_values(body)),
        is_given_(body.value_count(), false),
        seen_(body.value_count(), 0),
        out_{std::vector<bool>(body.value_count(), false), std::vector<bool>(body.value_count(), false)} {
    for (const Graph::Parameter& p : body.parameters()) is_given_[p.value.index] = p.role != Role::loop;
    is_free_ = is_given_;
    for (const Graph::Result& r : body.results)
      if (r.role == Role::stacked) is_free_[r.value.index] = true;
  }

  ScanResiduals run(std::span<const ValueId> needed) {
    for (ValueId v : needed)
      if (!is_made_again(v)) keep(v);
    for (ValueId v : needed)
      if (is_made_again(v)) choose(v);
    return std::move(out_);
  }

 private:
  bool is_there(ValueId v) const {
    return is_free_[v.index] || out_.is_stacked[v.index] || out_.is_hoisted[v.index];
  }
  bool is_made_again(ValueId v) const {
    const Node& node = body_.producer(v);
    return is_cheap(node) || (node.op != Op::parameter_ && node.operand_count == 0);  // or a number
  }

  void keep(ValueId v) {
    if (is_given_[v.index]) return;
    (varies_[v.index] ? out_.is_stacked : out_.is_hoisted)[v.index] = true;
  }

  /// Keeps what v follows from, or v itself where that takes less room.
  void choose(ValueId v) {
    std::vector<ValueId> pending = {v}, missing;
    ++round_;
    std::size_t count = 0;
    std::int64_t bytes = 0;
    while (!pending.empty() && count <= kMostAgain) {
      const ValueId at = pending.back();
      pending.pop_back();
      if (seen_[at.index] == round_) continue;
      seen_[at.index] = round_;
      ++count;
      if (is_there(at)) {
        missing.push_back(at);  // a result that is stacked anyway is kept for nothing
      } else if (is_made_again(at)) {
        for (ValueId operand : body_.operands(body_.producer(at))) pending.push_back(operand);
      } else {
        missing.push_back(at);
        if (varies_[at.index]) bytes += bytes_of(body_.type(at));
      }
    }
    if (count > kMostAgain || bytes > bytes_of(body_.type(v)))
      keep(v);
    else
      std::ranges::for_each(missing, [&](ValueId base) { keep(base); });
  }

  const Graph& body_;
  const std::vector<bool> varies_;
  std::vector<bool> is_given_;     // by value: the turn, a const, a sequence's element
  std::vector<bool> is_free_;      // by value: that, or stacked anyway
  std::vector<std::size_t> seen_;  // by value: the last round that came by
  std::size_t round_ = 0;
  ScanResiduals out_;
};

}  // namespace

ScanResiduals choose_residuals(const Graph& body, std::span<const ValueId> needed) {
  return Chooser(body).run(needed);
}

std::vector<bool> varying_values(const Graph& body) {
  std::vector<bool> varies(body.value_count(), false);
  for (const Graph::Parameter& p : body.parameters()) varies[p.value.index] = p.role != Role::constant;
  for (std::uint32_t i = 0; i < body.node_count(); ++i) {
    const Node& node = body.node({i});
    if (node.op == Op::parameter_) continue;
    const bool any = std::ranges::any_of(body.operands(node), [&](ValueId v) { return varies[v.index]; });
    for (std::uint32_t r = 0; r < node.result_count; ++r) varies[node.first_result + r] = any;
  }
  return varies;
}

std::vector<bool> ancestors(const Graph& graph, std::span<const ValueId> wanted,
                            const std::vector<bool>& ends) {
  std::vector<bool> out(graph.value_count(), false);
  for (ValueId v : wanted) out[v.index] = true;
  for (std::size_t i = graph.node_count(); i-- > 0;) {
    const Node& node = graph.node({static_cast<std::uint32_t>(i)});
    bool is_in = false;
    for (std::uint32_t r = 0; r < node.result_count; ++r)
      is_in |= out[node.first_result + r] && !ends[node.first_result + r];
    if (is_in)
      for (ValueId v : graph.operands(node)) out[v.index] = true;
  }
  return out;
}

}  // namespace mlpc::autodiff
