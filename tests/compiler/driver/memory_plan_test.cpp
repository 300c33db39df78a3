#include <doctest/doctest.h>

#include <algorithm>
#include <map>

#include "ir/kernel.h"
#include "ir/workspace.h"
#include "tests/compiler/driver/sources.h"

// The workspace that is planned for the bench's nets, against the bytes that are live at the worst moment,
// found here from nothing but the kernels' calls.

namespace mlpc {
namespace {

using namespace ir;

constexpr std::int64_t kAlignment = 64;  // the plan rounds slots up to it

using Extents = std::map<std::string, std::int64_t, std::less<>>;

std::int64_t aligned(std::int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

/// What one call does to one slot.
struct Touch {
  std::uint32_t slot;
  std::int64_t bytes;   // of the whole value: of a stack, over all turns
  bool begins = false;  // a value that was not there before
};

bool reads(const Block& block, BufferId buffer) {
  return std::ranges::any_of(block, [&](const Statement& statement) {
    return std::visit(
        [&](const auto& kind) {
          if constexpr (requires { kind.body; }) return reads(kind.body, buffer);
          if constexpr (std::is_same_v<decltype(kind), const Load&>) return kind.buffer == buffer;
          return false;
        },
        statement.kind);
  });
}

/// The calls of an entry in order. A loop over turns runs twice: what its second turn reads of the first is
/// then seen.
class Trace {
 public:
  Trace(const KernelProgram& program, const LoweredEntry& entry, const Extents& extents)
      : program_(program), entry_(entry), extents_(extents) {
    run(entry.actions);
  }

  const std::vector<std::vector<Touch>>& calls() const { return calls_; }

  /// With one worker.
  std::int64_t planned_bytes() const { return lay_out(entry_.slots, extent(), 1)->bytes; }

 private:
  struct Turns {
    std::int64_t length;
    bool is_first;
  };

  std::function<std::int64_t(std::string_view)> extent() const {
    return [this](std::string_view name) { return extents_.find(name)->second; };
  }
  std::int64_t value_of(const Dim& dim) const { return dim.evaluate(extent()).value(); }

  void run(const std::vector<Action>& actions) {
    for (const Action& action : actions) {
      if (const auto* call = std::get_if<KernelCall>(&action.kind); call && is_made(*call)) add(*call);
      if (const auto* phase = std::get_if<Phase>(&action.kind)) run(phase->actions);
      const auto* loop = std::get_if<TurnLoop>(&action.kind);
      if (!loop) continue;
      for (const bool is_first : {true, false}) {
        turns_.push_back({value_of(loop->length), is_first});
        run(loop->actions);
        turns_.pop_back();
      }
    }
  }

  bool is_made(const KernelCall& call) const {
    return !call.guard || (value_of(call.guard->extent) >= call.guard->least) != call.guard->negated;
  }

  void add(const KernelCall& call) {
    const Kernel& kernel = program_.kernels[call.kernel];
    std::vector<Touch>& touches = calls_.emplace_back();
    for (std::uint32_t i = 0; i < call.buffers.size(); ++i) {
      const BufferRef& ref = call.buffers[i];
      if (ref.space != BufferRef::Space::workspace) continue;
      const bool begins = kernel.buffers[i].is_written && !reads(kernel.body, {i}) && is_first_part(ref);
      // What the type says may be more than there is where a guard keeps a kernel from all of it.
      const std::int64_t bytes = std::min(bytes_of(kernel.buffers[i].type, ref),
                                          slot_bytes(entry_.slots[ref.index], extent(), 1).value());
      touches.push_back({ref.index, aligned(bytes), begins});
    }
  }

  /// Whether nothing that the ref's value consists of was written before: other turns write the rest of a
  /// stack, and beside what a turn writes for the next one is what it reads.
  bool is_first_part(const BufferRef& ref) const {
    const bool is_stack = !ref.offsets.empty();
    const bool is_twice = std::ranges::any_of(
        ref.offsets, [](const TurnOffset& o) { return o.kind != TurnOffset::Kind::turn; });
    return !is_twice && (!is_stack || std::ranges::all_of(turns_, &Turns::is_first));
  }

  std::int64_t bytes_of(const Type& type, const BufferRef& ref) const {
    std::int64_t bytes = size_of(type.element) * value_of(type.element_count());
    for (const TurnOffset& o : ref.offsets)
      bytes += value_of(o.bytes) * (o.kind == TurnOffset::Kind::turn ? turns_[o.loop].length - 1 : 1);
    return bytes;
  }

  const KernelProgram& program_;
  const LoweredEntry& entry_;
  const Extents& extents_;
  std::vector<Turns> turns_;
  std::vector<std::vector<Touch>> calls_;
};

/// The most bytes that are live in one call. A value lives from the call that begins it to the last one that
/// touches it.
std::int64_t peak_of_live_bytes(const std::vector<std::vector<Touch>>& calls) {
  struct Value {
    std::size_t from, to;
    std::int64_t bytes;
  };
  std::vector<Value> values;
  std::map<std::uint32_t, std::size_t> current;  // by slot, of `values`
  for (std::size_t t = 0; t < calls.size(); ++t)
    for (const Touch& touch : calls[t]) {
      const auto found = current.find(touch.slot);
      if (found == current.end() || (touch.begins && values[found->second].to < t)) {
        current[touch.slot] = values.size();
        values.push_back({t, t, touch.bytes});
      } else {
        Value& value = values[found->second];
        value = {value.from, t, std::max(value.bytes, touch.bytes)};
      }
    }
  std::int64_t most = 0;
  for (std::size_t t = 0; t < calls.size(); ++t) {
    std::int64_t live = 0;
    for (const Value& value : values)
      if (value.from <= t && t <= value.to) live += value.bytes;
    most = std::max(most, live);
  }
  return most;
}

}  // namespace

TEST_CASE("memory: the workspace of the bench's nets is near the peak of live bytes") {
  constexpr double kTenth = 1.1;
  struct Net {
    const char* name;
    std::vector<std::int64_t> dims;  // as the bench has them
  };
  const Net nets[] = {{"mlp64", {32}},       {"mlp784", {128}},     {"mlp784_adam", {128}},
                      {"mlp1024x4", {128}},  {"lenet", {128}},      {"cifar_resnet", {64}},
                      {"lstm128", {32, 64}}, {"tinygpt", {16, 64}}, {"heat_pinn", {1024, 1024}},
                      {"resnet500", {32}}};
  for (const Net& net : nets) {
    const KernelProgram program =
        driver::compile(source_of("tests/bench/nets/" + std::string(net.name) + ".net"), {});
    REQUIRE(program.header.dims.size() == net.dims.size());
    Extents extents;
    for (std::size_t i = 0; i < net.dims.size(); ++i) extents[program.header.dims[i]] = net.dims[i];
    for (const LoweredEntry& entry : program.entries) {
      if (entry.name == "init" || entry.name == "update") continue;  // some scalars
      const Trace trace(program, entry, extents);
      const std::int64_t planned = trace.planned_bytes(), live = peak_of_live_bytes(trace.calls());
      INFO(std::string(net.name), " ", entry.name, ": ", planned, " bytes are planned, ", live, " are live");
      CHECK(planned >= live);
      CHECK(static_cast<double>(planned) <= kTenth * static_cast<double>(live));
    }
  }
}

}  // namespace mlpc
