#include "compiler/lowering/storage.h"

#include <algorithm>
#include <map>

#include "compiler/lowering/carried_stacks.h"
#include "compiler/lowering/packing.h"
#include "compiler/lowering/prepare.h"
#include "compiler/lowering/roots.h"
#include "compiler/lowering/row_parts.h"
#include "ir/error.h"
#include "ir/ops/scan.h"
#include "ir/workspace.h"

namespace mlpc::lowering {
namespace {

using ir::BufferRef;
using ir::Graph;
using ir::Node;
using ir::Role;
using ir::ValueId;
using Space = ir::BufferRef::Space;

ir::Dim bytes_of(const ir::Type& type) { return type.element_count() * ir::Dim(ir::size_of(type.element)); }

bool is_value_role(Role role) {
  return role == Role::output || role == Role::loss_total || role == Role::loss_term ||
         role == Role::metric || role == Role::clip_norm;
}

/// The uses of a graph's values by its groups.
class Uses {
 public:
  Uses(const Graph& graph, const Grouping& grouping)
      : graph_(graph), grouping_(grouping), readers_(graph.value_count()) {
    for (std::size_t g = 0; g < grouping.reads.size(); ++g)
      for (const Grouping::Read& read : grouping.reads[g])
        readers_[read.value.index].push_back({static_cast<std::int32_t>(g), read.prefix});
  }

  std::int32_t group_of(ValueId v) const { return grouping_.group_of[v.index]; }
  const Group& group(std::int32_t g) const { return grouping_.groups[static_cast<std::size_t>(g)]; }

  /// Whether the old value is read up to the turn of the writer's kernel that writes the same element, not
  /// later.
  bool is_last_reader(std::int32_t writer, ValueId old) const {
    for (const Reader& reader : readers_[old.index]) {
      if (reader.group < writer) continue;
      if (reader.group > writer || group(writer).is_turns) return false;
      // Stores stand after all loads of a turn only where a turn is one block (emit_group.cpp).
      const std::size_t rank = graph_.type(old).rank();
      if (reader.prefix < rank || group(writer).space.size() < rank || has_inner_loops(writer)) return false;
    }
    return true;
  }

 private:
  bool has_inner_loops(std::int32_t g) const {
    return std::ranges::any_of(group(g).members,
                               [&](ValueId m) { return graph_.type(m).rank() > group(g).space.size(); });
  }

  struct Reader {
    std::int32_t group;
    std::size_t prefix;  // of Grouping::Read
  };
  const Graph& graph_;
  const Grouping& grouping_;
  std::vector<std::vector<Reader>> readers_;  // by value
};

/// Where the parameters of a body are, and where its results go.
struct BodyPlaces {
  struct LoopValue {
    BufferRef first, now, next, last;  // before the turns, in a turn, behind them
  };
  std::uint32_t depth;  // loops around the body's own
  std::vector<BufferRef> consts, sequences;
  std::vector<LoopValue> loops;
  std::vector<std::vector<BufferRef>> stacked;
};

BufferRef with_offset(BufferRef ref, ir::TurnOffset offset) {
  ref.offsets.push_back(std::move(offset));
  return ref;
}

class Assigner {
 public:
  /// `slots`: of the entry; `body`: null for an entry.
  Assigner(const Graph& graph, const Grouping& grouping, const GroupingOptions& options,
           std::vector<ir::Dim>& slots, const BodyPlaces* body)
      : graph_(graph),
        grouping_(grouping),
        options_(options),
        uses_(graph, grouping),
        slots_(slots),
        body_(body) {
    out_.places.resize(graph.value_count());
  }

  Storage run() {
    for (const Graph::Parameter& p : graph_.parameters()) {
      const BufferRef place = body_ ? place_in_body(p) : place_of(p);
      if (!body_) parameters_[{place.space, place.index}].push_back(p.value);
      out_.places[p.value.index] = {place};
    }
    for (const Graph::Result& r : graph_.results)
      if (r.role == Role::loss_total) out_.loss_group = group_of(r.value);
    for (const Graph::Result& r : graph_.results) body_ ? place_turn_result(r) : place_result(r);
    assign_workspace();
    return std::move(out_);
  }

 private:
  std::int32_t group_of(ValueId v) const { return uses_.group_of(v); }
  const Group& group(std::int32_t g) const { return uses_.group(g); }

  BufferRef place_in_body(const Graph::Parameter& p) const {
    if (p.role == Role::turn) return {Space::scalar, body_->depth, Role::turn};
    if (p.role == Role::constant) return body_->consts[p.index];
    return p.role == Role::loop ? body_->loops[p.index].now : body_->sequences[p.index];
  }

  void place_turn_result(const Graph::Result& r) {
    std::vector<BufferRef>& places = out_.places[r.value.index];
    if (group_of(r.value) == Grouping::kNone) return;  // it is what it was
    const auto add = [&](const BufferRef& ref) {
      if (std::ranges::find(places, ref) == places.end()) places.push_back(ref);
    };
    if (r.role == Role::loop)
      add(body_->loops[r.index].next);
    else
      std::ranges::for_each(body_->stacked[r.index], add);
  }

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

  /// Where no kernel reads the old value that may run after v's; and nothing persistent is written before the
  /// loss is known. A loop over turns writes to its slots.
  bool may_write_in_place(ValueId v, const BufferRef& place) const {
    const std::int32_t writer = group_of(v);
    if (group(writer).is_turns) return false;
    if (place.space != Space::grads && place.space != Space::state_out && writer <= out_.loss_group)
      return false;
    const auto found = parameters_.find({place.space, place.index});
    return found == parameters_.end() ||
           std::ranges::all_of(found->second, [&](ValueId old) { return uses_.is_last_reader(writer, old); });
  }

  void assign_workspace() {
    std::vector<std::int32_t> last_read(graph_.value_count(), Grouping::kNone);
    for (std::size_t g = 0; g < grouping_.reads.size(); ++g)
      for (const Grouping::Read& read : grouping_.reads[g])
        last_read[read.value.index] = static_cast<std::int32_t>(g);
    const auto end = static_cast<std::int32_t>(grouping_.groups.size());
    out_.part_slots.assign(grouping_.groups.size(), Storage::kNoSlot);
    for (const Storage::Copy& copy : out_.copies) last_read[copy.value.index] = end;
    for (std::int32_t g = 0; g < end; ++g) {
      out_.packed_slots.push_back(Storage::kNoSlot);
      out_.scratch_slots.push_back(Storage::kNoSlot);
      out_.chunk_slots.push_back(Storage::kNoSlot);
      out_.is_packed_before.push_back(false);
      if (group(g).is_row_parts) {
        assign_parts(g, group(g).members.front());
        continue;
      }
      if (group(g).is_turns) place_carried_stacks(g, last_read);
      for (ValueId v : group(g).members) {
        const bool is_needed = last_read[v.index] > g || grouping_.is_reloaded[v.index];
        if (!is_needed || !out_.places[v.index].empty() || is_loop_value(v)) continue;
        out_.places[v.index] = {value_slot(bytes_of(graph_.type(v)), g, std::max(g, last_read[v.index]))};
      }
      if (group(g).is_turns) assign_turns(g);
      if (group(g).is_contraction) assign_scratch(group(g).members.front());
    }
  }

  void assign_parts(std::int32_t g, ValueId sum) {
    const std::int32_t user = group_of(sum);
    const ir::Dim bytes = row_parts_of(graph_, sum)->count * bytes_of(graph_.type(sum));
    const std::uint32_t slot = new_slot(bytes);
    out_.part_slots[static_cast<std::size_t>(g)] = out_.part_slots[static_cast<std::size_t>(user)] = slot;
  }

  void assign_scratch(ValueId contraction) {
    const ir::Type& type = graph_.type(contraction);
    if (has_rows_in_lanes(graph_, contraction)) {
      const ir::Node& node = graph_.producer(contraction);
      const ir::Shape& shape = graph_.type(operand_of(contraction, turned_operand(node))).shape;
      out_.packed_slots.back() = new_slot(bytes_of({type.element, turned_shape(shape, options_.near_bytes)}));
      return;
    }
    if (const std::optional<PackedGradient> p = packed_gradient(graph_, contraction, options_.near_bytes);
        p && !body_) {
      const ir::Dim chunks = *type.shape[0].constant() / p->blocks.row_chunk;
      out_.packed_slots.back() = new_slot(bytes_of({type.element, {p->packing.depth, p->packing.columns}}));
      out_.chunk_slots.back() = new_slot(bytes_of({type.element, {chunks, p->blocks.size, p->pitch}}));
      const bool has_blocks = p->blocks.count != ir::Dim(0);
      if (has_blocks) out_.scratch_slots.back() = new_slot(any_block(p->blocks) * bytes_of(type));
      return;
    }
    if (const std::optional<Packing> packing = packing_of(graph_, contraction)) {
      const ir::Dim bytes = bytes_of({type.element, {packing->depth, packing->columns}});
      const bool is_same =
          pays_once(*packing) && is_same_in_every_turn(operand_of(contraction, packing->operand));
      const bool is_in_tasks = !body_ && pays_in_tasks(*packing, options_.near_bytes);
      if (is_same || packing->is_turned || is_in_tasks) out_.packed_slots.back() = new_slot(bytes);
      out_.is_packed_before.back() = is_same;
    }
    if (out_.packed_slots.back() != Storage::kNoSlot) return;
    if (const std::optional<DepthBlocks> blocks = depth_blocks_of(graph_, contraction)) {
      const ir::Dim any = blocks->row_chunk > 0 ? any_block(*blocks) : 1;
      out_.scratch_slots.back() = new_slot(any * bytes_of(type));
    }
  }

  /// X'δ without a block, of a small batch, needs no room: 1, or 0.
  static ir::Dim any_block(const DepthBlocks& blocks) {
    return blocks.count - ir::Dim::max(blocks.count - ir::Dim(1), 0);
  }

  ValueId operand_of(ValueId v, std::size_t k) const { return graph_.operands(graph_.producer(v))[k]; }

  /// A const of the body, or one turned.
  bool is_same_in_every_turn(ValueId v) const {
    if (!body_) return false;
    while (grouping_.kinds[v.index] == Kind::inlined && graph_.producer(v).op == ir::Op::transpose_)
      v = operand_of(v, 0);
    return std::ranges::any_of(graph_.parameters(), [&](const Graph::Parameter& p) {
      return p.value == v && p.role == Role::constant;
    });
  }

  std::uint32_t new_slot(const ir::Dim& bytes) {
    slots_.push_back(bytes);
    return static_cast<std::uint32_t>(slots_.size() - 1);
  }
  /// For a value that group `from` writes and `to` reads last. Slots that a phase touches are in use
  /// together, but a task goes through its own rows alone: values of a narrow net (gather_rows.h) that have
  /// equally many bytes, and so the same rows where they have any, follow each other in one slot.
  BufferRef value_slot(const ir::Dim& bytes, std::int32_t from, std::int32_t to) {
    if (!grouping_.is_gathered) return slot(bytes);
    std::vector<Shared>& shared = shared_[bytes];
    const auto is_free = [&](const Shared& s) { return s.busy_until < from; };
    const auto found = std::ranges::find_if(shared, is_free);
    if (found == shared.end()) {
      shared.push_back({new_slot(bytes), to});
      return {Space::workspace, shared.back().slot};
    }
    found->busy_until = to;
    return {Space::workspace, found->slot};
  }
  BufferRef slot(const ir::Dim& bytes) { return {Space::workspace, new_slot(bytes)}; }

  // ---- Loops over turns ---------------------------------------------------------------------------------

  bool is_loop_value(ValueId v) const {
    const Node& node = graph_.producer(v);
    return ir::body_of(node) &&
           v.index - node.first_result < ir::ops::ScanSpec::of(node.attributes).loop_count();
  }

  /// The slots of stacks that have a loop value in them, with room for one element more.
  void place_carried_stacks(std::int32_t g, const std::vector<std::int32_t>& last_read) {
    const Node& node = graph_.producer(group(g).members.front());
    const ir::ops::ScanSpec spec = ir::ops::ScanSpec::of(node.attributes);
    carried_ = carried_stacks(spec.body.graph(), spec.loop_count());
    carried_slots_.assign(spec.loop_count(), std::nullopt);
    for (std::size_t i = 0; i < carried_.size(); ++i) {
      for (std::optional<std::uint32_t>* stack : {&carried_[i].before, &carried_[i].after}) {
        if (!*stack) continue;
        const ValueId v = Graph::result(node, spec.loop_count() + **stack);
        if (!out_.places[v.index].empty() || last_read[v.index] <= g) stack->reset();
      }
      if (!carried_[i].before && !carried_[i].after) continue;
      const ir::Dim element = bytes_of(graph_.type(Graph::result(node, i)));
      const BufferRef first = slot(element * (spec.length + ir::Dim(1))), second = behind(first, element);
      carried_slots_[i] = first;
      const auto put = [&](std::optional<std::uint32_t> stack, const BufferRef& ref) {
        if (stack) out_.places[Graph::result(node, spec.loop_count() + *stack).index] = {ref};
      };
      put(carried_[i].before, spec.reverse ? second : first);
      put(carried_[i].after, spec.reverse ? first : second);
    }
  }

  static BufferRef behind(const BufferRef& ref, const ir::Dim& bytes) {
    return with_offset(ref, {ir::TurnOffset::Kind::fixed, 0, {}, bytes});
  }

  /// Of a loop value in its stack: turns begin with one element and end with the next, or the one before.
  BodyPlaces::LoopValue place_in_stack(const BufferRef& stack, ValueId v, const ir::ops::ScanSpec& spec,
                                       std::uint32_t depth) const {
    const ir::Dim element = bytes_of(graph_.type(v));
    const ir::TurnOffset turn{ir::TurnOffset::Kind::turn, depth, {}, element};
    const BufferRef end = behind(stack, element * spec.length);
    const BufferRef low = with_offset(stack, turn), high = with_offset(behind(stack, element), turn);
    return spec.reverse ? BodyPlaces::LoopValue{end, high, low, stack}
                        : BodyPlaces::LoopValue{stack, low, high, end};
  }

  void assign_turns(std::int32_t g) {
    const Node& node = graph_.producer(group(g).members.front());
    const ir::ops::ScanSpec spec = ir::ops::ScanSpec::of(node.attributes);
    std::vector<ValueId> operands;
    for (ValueId v : graph_.operands(node)) operands.push_back(viewed(graph_, grouping_.kinds, v));
    const std::size_t consts = spec.const_count(), loops = spec.loop_count();
    auto turns = std::make_shared<TurnStorage>();
    std::vector<std::uint32_t> in_place;
    for (const CarriedStack& stack : carried_)
      if (stack.before) in_place.push_back(*stack.before);
    turns->body = prepare(spec.body.graph(), in_place);
    turns->grouping = group_values(turns->body, {options_.fuse, false});
    turns->length = spec.length;
    turns->reverse = spec.reverse;
    BodyPlaces places{body_ ? body_->depth + 1 : 0, {}, {}, {}, {}};
    for (std::size_t k = 0; k < consts; ++k) places.consts.push_back(place(operands[k]));
    for (std::size_t i = 0; i < loops; ++i) {
      const ValueId result = Graph::result(node, i);
      places.loops.push_back(carried_slots_[i]
                                 ? place_in_stack(*carried_slots_[i], result, spec, places.depth)
                                 : assign_loop_value(*turns, i, places.depth));
      turns->first.push_back({operands[consts + i], places.loops.back().first});
      for (const BufferRef& ref : out_.places[result.index]) turns->last.push_back({result, ref});
      out_.places[result.index] = {places.loops.back().last};
    }
    for (std::size_t k = consts + loops; k < operands.size(); ++k)
      places.sequences.push_back(element(place(operands[k]), graph_.operands(node)[k], places.depth));
    for (std::size_t r = loops; r < node.result_count; ++r) {
      const ValueId result = Graph::result(node, r);
      std::vector<BufferRef>& elements = places.stacked.emplace_back();
      for (const BufferRef& ref : out_.places[result.index])
        elements.push_back(element(ref, result, places.depth));
    }
    turns->storage = Assigner(turns->body, turns->grouping, options_, slots_, &places).run();
    out_.turns.emplace(static_cast<std::size_t>(g), std::move(turns));
  }

  const BufferRef& place(ValueId v) const {
    MLPC_CHECK(!out_.places[v.index].empty(), "graph {}: value {} is read but not stored", graph_.name,
               v.index);
    return out_.places[v.index].front();
  }

  /// The turn's element of a sequence.
  BufferRef element(const BufferRef& sequence, ValueId v, std::uint32_t depth) const {
    return with_offset(
        sequence, {ir::TurnOffset::Kind::turn, depth, {}, bytes_of(ir::ops::element_of(graph_.type(v)))});
  }

  /// Once, where each turn may overwrite what it reads; else twice.
  static bool is_updated_in_place(const TurnStorage& turns, std::size_t loop) {
    const auto find = [&](const auto& list) {
      return std::ranges::find_if(list,
                                  [&](const auto& x) { return x.role == Role::loop && x.index == loop; })
          ->value;
    };
    const ValueId old = find(turns.body.parameters()), next = find(turns.body.results);
    const Uses uses(turns.body, turns.grouping);
    if (uses.group_of(next) == Grouping::kNone) return true;  // it is what it was
    return !uses.group(uses.group_of(next)).is_turns && uses.is_last_reader(uses.group_of(next), old);
  }

  BodyPlaces::LoopValue assign_loop_value(const TurnStorage& turns, std::size_t loop, std::uint32_t depth) {
    const auto is_it = [&](const Graph::Parameter& p) { return p.role == Role::loop && p.index == loop; };
    const ValueId v = std::ranges::find_if(turns.body.parameters(), is_it)->value;
    const ir::Dim bytes = bytes_of(turns.body.type(v));
    if (is_updated_in_place(turns, loop)) {
      const BufferRef ref = slot(bytes);
      return {ref, ref, ref, ref};
    }
    using Kind = ir::TurnOffset::Kind;
    const ir::Dim step = ir::Dim(ir::kSlotAlignment) * ir::Dim::ceildiv(bytes, ir::kSlotAlignment);
    const BufferRef ref = slot(step + bytes);
    return {ref, with_offset(ref, {Kind::now, depth, {}, step}),
            with_offset(ref, {Kind::next, depth, {}, step}),
            with_offset(ref, {Kind::last, 0, turns.length, step})};
  }

  const Graph& graph_;
  const Grouping& grouping_;
  const GroupingOptions& options_;
  const Uses uses_;
  std::vector<ir::Dim>& slots_;
  struct Shared {
    std::uint32_t slot;
    std::int32_t busy_until;  // the group that reads it last
  };
  std::map<ir::Dim, std::vector<Shared>> shared_;  // by bytes
  const BodyPlaces* body_;
  std::map<std::pair<Space, std::uint32_t>, std::vector<ValueId>> parameters_;  // by place, of an entry
  std::vector<CarriedStack> carried_;                    // of the loop over turns whose places are chosen
  std::vector<std::optional<BufferRef>> carried_slots_;  // by its loop values
  Storage out_;
};

}  // namespace

Storage assign_storage(const Graph& graph, const Grouping& grouping, const GroupingOptions& options) {
  std::vector<ir::Dim> slots;
  Storage out = Assigner(graph, grouping, options, slots, nullptr).run();
  out.slots = std::move(slots);
  return out;
}

}  // namespace mlpc::lowering
