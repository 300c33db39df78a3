#include "compiler/lowering/memory_report.h"

#include <algorithm>

#include "compiler/lowering/group.h"
#include "compiler/lowering/place_slots.h"
#include "compiler/lowering/prepare.h"
#include "ir/error.h"

namespace mlpc::lowering {
namespace {

using ir::Dim;
using ir::Graph;
using ir::Node;
using ir::Role;
using ir::ValueId;

class Reporter {
 public:
  Reporter(const ir::Program& program, const Graph& graph, const LoweringOptions& options,
           const std::vector<ir::WorkspaceSlot>& slots)
      : program_(program),
        graph_(graph),
        grouping_(group_values(graph, grouping_options(options.level, *ir::target_named(program.target)))),
        slots_(slots) {
    mark_backward();
    find_kept();
    find_recomputed();
  }

  std::string run() const {
    return "kept for the backward pass\n" + list(kept_) + "computed again in the backward pass\n" +
           list(recomputed_) + "workspace\n" + workspace();
  }

 private:
  /// Backward is what the cotangent of the loss flows into.
  void mark_backward() {
    is_backward_.assign(graph_.value_count(), false);
    for (const Graph::Parameter& p : graph_.parameters())
      is_backward_[p.value.index] = p.role == Role::loss_bar;
    for (std::uint32_t i = 0; i < graph_.node_count(); ++i) {
      const Node& node = graph_.node({i});
      if (std::ranges::any_of(graph_.operands(node), [&](ValueId v) { return is_backward_[v.index]; }))
        for (std::uint32_t r = 0; r < node.result_count; ++r) is_backward_[node.first_result + r] = true;
    }
  }

  bool is_forward(ValueId v) const {
    return !is_backward_[v.index] && grouping_.kinds[v.index] != Kind::parameter;
  }

  /// What kernels with backward members read of forward ones that ran before.
  void find_kept() {
    std::vector<bool> is_kept(graph_.value_count(), false);
    for (std::size_t g = 0; g < grouping_.groups.size(); ++g) {
      const bool is_backward =
          std::ranges::any_of(grouping_.groups[g].members, [&](ValueId v) { return is_backward_[v.index]; });
      if (!is_backward) continue;
      for (const Grouping::Read& read : grouping_.reads[g])
        if (is_forward(read.value) && grouping_.group_of[read.value.index] != static_cast<std::int32_t>(g))
          is_kept[read.value.index] = true;
    }
    for (std::uint32_t i = 0; i < is_kept.size(); ++i)
      if (is_kept[i]) kept_.push_back({i});
  }

  bool is_elementwise(ValueId v) const {
    return std::holds_alternative<ir::ElementwiseLowering>(ir::def(graph_.producer(v).op).lowering);
  }

  /// Elementwise forward values that live nowhere: whoever reads them computes them.
  void find_recomputed() {
    std::vector<bool> is_read(graph_.value_count(), false);
    for (std::size_t i = graph_.node_count(); i-- > 0;) {
      const Node& node = graph_.node({static_cast<std::uint32_t>(i)});
      const ValueId v = Graph::result(node);
      const bool passes_on =
          is_backward_[v.index] || (is_read[v.index] && grouping_.kinds[v.index] == Kind::inlined);
      if (passes_on)
        for (ValueId operand : graph_.operands(node)) is_read[operand.index] = true;
    }
    for (std::uint32_t i = 0; i < is_read.size(); ++i)
      if (const ValueId v{i}; is_read[i] && is_forward(v) && grouping_.kinds[i] == Kind::inlined &&
                              is_elementwise(v) && graph_.type(v).rank() > 0)
        recomputed_.push_back(v);
  }

  std::string list(const std::vector<ValueId>& values) const {
    std::string out;
    Dim total;
    for (ValueId v : values) {
      const ir::Type& type = graph_.type(v);
      const Dim bytes = type.element_count() * Dim(ir::size_of(type.element));
      total = total + bytes;
      const std::string& name = graph_.value_name(v);
      out += fmt::format(
          "  {:<28} {:<16} {:<16} {}\n",
          name.empty() ? fmt::format("%{} {}", v.index, ir::def(graph_.producer(v).op).name) : name,
          bytes.text(), type.text(), written_at(v));
    }
    return out + fmt::format("  {:<28} {}\n", "in all, in bytes", total.text());
  }

  /// The slots; in all it is what lies one above the other at the highest place, where free dims are as
  /// guessed.
  std::string workspace() const {
    std::string out;
    std::vector<std::int64_t> ends;
    std::vector<Dim> sums;  // of what each slot's end lies on
    std::size_t highest = 0;
    for (std::size_t i = 0; i < slots_.size(); ++i) {
      const ir::WorkspaceSlot& slot = slots_[i];
      out += fmt::format("  slot {:<23} {}\n", i, ir::text_of(slot));
      const auto below = std::ranges::max_element(slot.above, {}, [&](std::uint32_t b) { return ends[b]; });
      const bool is_lowest = below == slot.above.end();
      ends.push_back((is_lowest ? 0 : ends[*below]) + guessed_bytes(slot));
      sums.push_back((is_lowest ? Dim(0) : sums[*below]) + slot.bytes);
      if (ends[i] > ends[highest]) highest = i;
    }
    return out + fmt::format("  {:<28} {}\n", "in all, in bytes", sums.empty() ? "0" : sums[highest].text());
  }

  std::string written_at(ValueId v) const {
    for (std::uint32_t location : graph_.locations(v))
      if (location > 0 && location < program_.locations.size())
        return ir::text_of(program_.locations[location]);
    return "";
  }

  const ir::Program& program_;
  const Graph& graph_;
  const Grouping grouping_;
  const std::vector<ir::WorkspaceSlot>& slots_;
  std::vector<bool> is_backward_;
  std::vector<ValueId> kept_, recomputed_;
};

}  // namespace

std::string memory_report(const ir::Program& program, const LoweringOptions& options) {
  const Graph* grad = program.find("grad");
  if (!grad) return "the model has no loss: nothing is kept for a backward pass\n";
  const Graph graph = prepare(*grad);
  const ir::KernelProgram lowered = lower(program, options);
  const auto entry = std::ranges::find(lowered.entries, "grad", &ir::LoweredEntry::name);
  return Reporter(program, graph, options, entry->slots).run();
}

}  // namespace mlpc::lowering
