#include "compiler/lowering/storage.h"

#include <algorithm>

#include "compiler/lowering/packing.h"
#include "compiler/lowering/slots.h"
#include "ir/error.h"

namespace mlpc::lowering {
namespace {

using ir::BufferRef;
using ir::Graph;
using ir::Role;
using ir::ValueId;
using Space = ir::BufferRef::Space;

bool is_value_role(Role role) {
  return role == Role::output || role == Role::loss_total || role == Role::loss_term ||
         role == Role::metric || role == Role::clip_norm;
}

class Assigner {
 public:
  Assigner(const Graph& graph, const Grouping& grouping) : graph_(graph), grouping_(grouping) {
    out_.places.resize(graph.value_count());
  }

  Storage run() {
    for (const Graph::Parameter& p : graph_.parameters()) out_.places[p.value.index] = {place_of(p)};
    for (const Graph::Result& r : graph_.results)
      if (r.role == Role::loss_total) out_.loss_group = group_of(r.value);
    for (const Graph::Result& r : graph_.results) place_result(r);
    assign_workspace();
    return std::move(out_);
  }

 private:
  std::int32_t group_of(ValueId v) const { return grouping_.group_of[v.index]; }
  const Group& group(std::int32_t g) const { return grouping_.groups[static_cast<std::size_t>(g)]; }

  BufferRef place_of(const Graph::Parameter& p) {
    switch (p.role) {
      case Role::input:
        out_.inputs.push_back(p.index);
        return {Space::input, static_cast<std::uint32_t>(out_.inputs.size() - 1)};
      case Role::param:
        return {Space::params, p.index};
      case Role::state:
        return {Space::state, p.index};
      case Role::slot:
        return {Space::slots, p.index};
      case Role::grad:
        return {Space::grads, p.index};
      case Role::tangent:
        return {Space::tangents, p.index};
      case Role::seed:
      case Role::step:
      case Role::steps:
      case Role::epoch:
      case Role::row_offset:
      case Role::loss_bar:
      case Role::accumulate:
        return {Space::scalar, 0, p.role};
      default:
        fail("graph {}: parameter `{}` has the role {}, which no entry has", graph_.name, p.name,
             name_of(p.role));
    }
  }

  Space space_of(Role role) const {
    switch (role) {
      case Role::param:
        return Space::params;
      case Role::state:
        return graph_.name == "grad" ? Space::state_out : Space::state;
      case Role::slot:
        return Space::slots;
      case Role::grad:
        return Space::grads;
      default:
        fail("graph {}: a result has the role {}, which no entry has", graph_.name, name_of(role));
    }
  }

  void place_result(const Graph::Result& r) {
    if (is_value_role(r.role)) {
      out_.places[r.value.index].push_back({Space::result, static_cast<std::uint32_t>(out_.results.size())});
      out_.results.push_back({r.name, r.role, graph_.type(r.value)});
      return;
    }
    const BufferRef place{space_of(r.role), r.index};
    if (group_of(r.value) == Grouping::kNone) {
      MLPC_CHECK(out_.places[r.value.index] == std::vector{place}, "graph {}: result {} is not computed",
                 graph_.name, r.name);
      return;  // unchanged: it is there already
    }
    if (may_write_in_place(r.value, place))
      out_.places[r.value.index].push_back(place);
    else
      out_.copies.push_back({r.value, place});
  }

  /// The old value may be read up to the turn of v's own kernel that writes the same element, not later; and
  /// nothing persistent is written before the loss is known.
  bool may_write_in_place(ValueId v, const BufferRef& place) const {
    const std::int32_t writer = group_of(v);
    if (place.space != Space::grads && place.space != Space::state_out && writer <= out_.loss_group)
      return false;
    for (const Graph::Parameter& p : graph_.parameters())
      if (out_.places[p.value.index].front() == place && !is_last_reader(writer, p.value)) return false;
    return true;
  }

  bool is_last_reader(std::int32_t writer, ValueId old) const {
    for (std::size_t g = 0; g < grouping_.reads.size(); ++g)
      for (const Grouping::Read& read : grouping_.reads[g]) {
        if (read.value != old || static_cast<std::int32_t>(g) < writer) continue;
        if (static_cast<std::int32_t>(g) > writer) return false;
        // Stores stand after all loads of a turn only where a turn is one block (emit_group.cpp).
        const std::size_t rank = graph_.type(old).rank();
        if (read.prefix < rank || group(writer).space.size() < rank || has_inner_loops(writer)) return false;
      }
    return true;
  }

  bool has_inner_loops(std::int32_t g) const {
    return std::ranges::any_of(group(g).members,
                               [&](ValueId m) { return graph_.type(m).rank() > group(g).space.size(); });
  }

  void assign_workspace() {
    std::vector<std::int32_t> last_read(graph_.value_count(), Grouping::kNone);
    std::vector<bool> is_reloaded(graph_.value_count(), false);
    for (std::size_t g = 0; g < grouping_.reads.size(); ++g)
      for (const Grouping::Read& read : grouping_.reads[g]) {
        last_read[read.value.index] = static_cast<std::int32_t>(g);
        // A member with loops of its own is out of sight for the next one, unless that stores it too.
        if (group_of(read.value) == static_cast<std::int32_t>(g))
          is_reloaded[read.value.index] =
              graph_.type(read.value).rank() > group(static_cast<std::int32_t>(g)).space.size();
      }
    const auto end = static_cast<std::int32_t>(grouping_.groups.size());
    for (const Storage::Copy& copy : out_.copies) last_read[copy.value.index] = end;
    SlotAllocator slots;
    for (std::int32_t g = 0; g < end; ++g) {
      out_.packed_slots.push_back(Storage::kNoSlot);
      for (ValueId v : group(g).members) {
        const bool is_needed = last_read[v.index] > g || is_reloaded[v.index];
        if (!is_needed || !out_.places[v.index].empty()) continue;
        const std::uint32_t slot = slots.allocate(graph_.type(v), g, std::max(last_read[v.index], g));
        out_.places[v.index] = {{Space::workspace, slot}};
      }
      const ValueId first = group(g).members.front();
      const std::optional<Packing> packing =
          group(g).is_contraction ? packing_of(graph_, first) : std::nullopt;
      if (packing)
        out_.packed_slots.back() =
            slots.allocate({graph_.type(first).element, {packing->depth, packing->columns}}, g, g);
    }
    out_.slots = slots.finish();
  }

  const Graph& graph_;
  const Grouping& grouping_;
  Storage out_;
};

}  // namespace

Storage assign_storage(const Graph& graph, const Grouping& grouping) {
  return Assigner(graph, grouping).run();
}

}  // namespace mlpc::lowering
