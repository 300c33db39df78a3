#include <algorithm>
#include <array>

#include "ir/error.h"
#include "ir/op.h"
#include "ir/text.h"
#include "ir/text_print.h"
#include "ir/text_reader.h"
#include "ir/verify.h"

// Kernels: buffers %b0 …, loop variables %i0 …, scalars %s0 ….

namespace mlpc::ir {
namespace {

using detail::quoted;
using detail::Reader;

constexpr std::array<std::string_view, 8> kReducers = {"sum", "prod", "max",    "min",
                                                       "any", "all",  "argmax", "fma"};
constexpr std::array<std::string_view, 11> kSpaces = {"input",     "result", "params", "state",
                                                      "state_out", "slots",  "grads",  "tangents",
                                                      "workspace", "scalar", "number"};
constexpr std::array<std::string_view, 5> kOffsets = {"turn", "now", "next", "last", "fixed"};

// ---- Printing ----

std::string index_text(const AffineIndex& index) {
  std::string out;
  const auto plus = [&](const std::string& term) { out += (out.empty() ? "" : " + ") + term; };
  for (const AffineIndex::Term& term : index.terms) {
    const std::string var = fmt::format("%i{}", term.var.index);
    const bool is_one = term.coefficient == Dim(1);
    plus(is_one                           ? var
         : term.coefficient.is_constant() ? fmt::format("{}*{}", term.coefficient.text(), var)
                                          : fmt::format("({})*{}", term.coefficient.text(), var));
  }
  if (index.scalar) plus(fmt::format("%s{}", index.scalar->index));
  if (index.constant != Dim(0) || out.empty()) plus(index.constant.text());
  return out;
}

std::string access_text(BufferId buffer, const std::vector<AffineIndex>& index) {
  std::string out = fmt::format("%b{} [", buffer.index);
  for (std::size_t i = 0; i < index.size(); ++i) out += (i ? ", " : "") + index_text(index[i]);
  return out + "]";
}

std::string scalars_text(const std::vector<ScalarId>& scalars) {
  std::string out;
  for (ScalarId s : scalars) out += fmt::format("{}%s{}", out.empty() ? "" : ", ", s.index);
  return "(" + out + ")";
}

class KernelPrinter {
 public:
  std::string run(const Kernel& kernel) {
    out_ = fmt::format("kernel {} {{\n", kernel.name.empty() ? "_" : kernel.name);
    for (std::size_t i = 0; i < kernel.buffers.size(); ++i)
      out_ += fmt::format("  buffer %b{} : {} {}\n", i, kernel.buffers[i].type.text(),
                          kernel.buffers[i].is_written ? "written" : "read");
    for (const TaskSplit& task : kernel.tasks)
      out_ += fmt::format("  task %i{} block {}\n", task.var.index, task.block);
    block(kernel.body, 1);
    return out_ + "}\n";
  }

 private:
  void block(const Block& statements, std::size_t depth) {
    for (const Statement& s : statements) {
      out_.append(2 * depth, ' ');
      std::visit([&](const auto& kind) { statement(kind, depth); }, s.kind);
    }
  }

  void statement(const Let& let, std::size_t) {
    out_ += fmt::format("%s{} = {} {}{}", let.result.index, name_of(let.op), name_of(let.type),
                        scalars_text(let.operands));
    if (let.constant) out_ += " " + detail::text_of(*let.constant);
    out_ += "\n";
  }
  void statement(const IndexValue& value, std::size_t) {
    out_ += fmt::format("%s{} = index [{}]\n", value.result.index, index_text(value.index));
  }
  void statement(const Load& load, std::size_t) {
    out_ += fmt::format("%s{} = load {}", load.result.index, access_text(load.buffer, load.index));
    if (load.guard) out_ += fmt::format(" if %s{}", load.guard->index);
    out_ += "\n";
  }
  void statement(const Store& store, std::size_t) {
    out_ += fmt::format("store {} = %s{}\n", access_text(store.buffer, store.index), store.value.index);
  }
  void statement(const Loop& loop, std::size_t depth) {
    out_ += fmt::format("for %i{} in {}", loop.var.index, loop.extent.text());
    if (loop.limit)
      out_ += fmt::format(" from {} below {}", index_text(loop.limit->first), loop.limit->end.text());
    if (loop.schedule.lanes) out_ += " lanes";
    if (loop.schedule.unroll != 1) out_ += fmt::format(" unroll {}", loop.schedule.unroll);
    out_ += " {\n";
    block(loop.body, depth + 1);
    out_.append(2 * depth, ' ');
    out_ += "}\n";
  }
  void statement(const Recurrence& loop, std::size_t depth) {
    out_ += fmt::format("recur %i{} in {} from %s{} = {} {{\n", loop.var.index, loop.extent.text(),
                        loop.before.index, detail::text_of(loop.start));
    block(loop.body, depth + 1);
    out_.append(2 * depth, ' ');
    out_ += fmt::format("}} next %s{}\n", loop.after.index);
  }
  void statement(const Reduce& reduce, std::size_t depth) {
    out_ += "reduce";
    for (std::size_t i = 0; i < reduce.ranges.size(); ++i)
      out_ += fmt::format("{} %i{} in {}", i ? "," : "", reduce.ranges[i].var.index,
                          reduce.ranges[i].extent.text());
    for (std::size_t i = 0; i < reduce.clips.size(); ++i)
      out_ += fmt::format("{} {} below {}", i ? "," : " where", index_text(reduce.clips[i].index),
                          reduce.clips[i].extent);
    if (reduce.lanes != 0) out_ += fmt::format(" lanes {}", reduce.lanes);
    if (reduce.unroll != 1) out_ += fmt::format(" unroll {}", reduce.unroll);
    out_ += " {\n";
    block(reduce.body, depth + 1);
    out_.append(2 * depth, ' ');
    out_ += "} give";
    for (std::size_t i = 0; i < reduce.accumulators.size(); ++i) {
      const Accumulator& a = reduce.accumulators[i];
      out_ += fmt::format("{} %s{} = {} {}{}", i ? "," : "", a.result.index,
                          kReducers[static_cast<std::size_t>(a.reducer)], name_of(a.type),
                          scalars_text(a.values));
      if (a.start) out_ += fmt::format(" from %s{}", a.start->index);
    }
    out_ += "\n";
  }

  std::string out_;
};

std::string offset_text(const TurnOffset& offset) {
  if (offset.kind == TurnOffset::Kind::fixed) return fmt::format(" [fixed by {}]", offset.bytes.text());
  const std::string of =
      offset.kind == TurnOffset::Kind::last ? offset.length.text() : fmt::format("{}", offset.loop);
  return fmt::format(" [{} {} by {}]", kOffsets[static_cast<std::size_t>(offset.kind)], of,
                     offset.bytes.text());
}

std::string ref_text(const BufferRef& ref) {
  if (ref.space == BufferRef::Space::number) return fmt::format("number {}", ref.number);
  if (ref.space == BufferRef::Space::scalar)
    return ref.role == Role::turn ? fmt::format("scalar turn {}", ref.index)
                                  : fmt::format("scalar {}", name_of(ref.role));
  std::string out = fmt::format("{} {}", kSpaces[static_cast<std::size_t>(ref.space)], ref.index);
  for (const TurnOffset& offset : ref.offsets) out += offset_text(offset);
  return out;
}

std::string call_text(const KernelCall& call) {
  std::string out = fmt::format("call {}(", call.kernel);
  for (std::size_t i = 0; i < call.buffers.size(); ++i) out += (i ? ", " : "") + ref_text(call.buffers[i]);
  out += ")";
  if (const std::optional<CallGuard>& guard = call.guard)
    out +=
        fmt::format(" {} {} >= {}", guard->negated ? "unless" : "when", guard->extent.text(), guard->least);
  return out + "\n";
}

/// Of an action with others inside.
std::string head_text(const Action& action) {
  if (const auto* loop = std::get_if<TurnLoop>(&action.kind))
    return fmt::format("turns {}{} {{\n", loop->length.text(), loop->reverse ? " reverse" : "");
  const auto* special = std::get_if<Specialization>(&action.kind);
  if (!special) return "phase {\n";
  std::string out = "specialized";
  for (const auto& [dim, extent] : special->dims) out += fmt::format(" {} {}", dim, extent);
  return out + " {\n";
}

std::string actions_text(const std::vector<Action>& actions, std::size_t depth) {
  std::string out;
  for (const Action& action : actions) {
    out.append(2 * depth, ' ');
    if (const auto* call = std::get_if<KernelCall>(&action.kind)) {
      out += call_text(*call);
    } else if (const auto* check = std::get_if<FiniteCheck>(&action.kind)) {
      out += fmt::format("check_finite {} {}\n", name_of(check->type), ref_text(check->value));
    } else {
      out += head_text(action);
      out += actions_text(*actions_inside(action), depth + 1);
      out.append(2 * depth, ' ');
      out += "}\n";
    }
  }
  return out;
}

}  // namespace

std::string text_of(const WorkspaceSlot& slot) {
  std::string out = slot.bytes.text();
  if (slot.tasks)
    out += fmt::format(" for {} tasks of {}", slot.tasks->count.text(), slot.tasks->bytes.text());
  if (!slot.above.empty()) out += fmt::format(" above {}", fmt::join(slot.above, ", "));
  return out;
}

namespace {

std::string entry_text(const LoweredEntry& entry) {
  std::string out = fmt::format("entry {} {{\n", entry.name);
  for (std::uint32_t input : entry.inputs) out += fmt::format("  input {}\n", input);
  for (const LoweredEntry::ResultInfo& r : entry.results)
    out += fmt::format("  result {} {} : {}\n", name_of(r.role), quoted(r.name), r.type.text());
  if (entry.writes_grads) out += "  grads\n";
  for (const WorkspaceSlot& slot : entry.slots) out += fmt::format("  slot {}\n", text_of(slot));
  return out + actions_text(entry.actions, 1) + "}\n";
}

// ---- Parsing ----

class KernelParser {
 public:
  KernelParser(Reader& reader, Kernel& kernel) : r_(reader), k_(kernel) {}

  void run() {
    k_.name = r_.word();
    r_.expect("{");
    while (r_.accept("buffer")) {
      if (id('b') != k_.buffers.size()) r_.error("buffers are not numbered in order");
      r_.expect(":");
      KernelBuffer buffer{fmt::format("b{}", k_.buffers.size()), r_.type(), false};
      buffer.is_written = r_.accept("written") || (r_.expect("read"), false);
      k_.buffers.push_back(std::move(buffer));
    }
    while (r_.accept("task")) {
      const VarId var{id('i')};
      r_.expect("block");
      k_.tasks.push_back({var, r_.integer()});
    }
    block(k_.body);
    r_.expect("}");
    if (most_vars_ > vars_) r_.error("loop variables are not numbered densely");
    if (most_scalars_ > scalars_) r_.error("scalars are not numbered densely");
    k_.var_count = static_cast<std::uint32_t>(vars_);
    k_.scalar_count = static_cast<std::uint32_t>(scalars_);
  }

 private:
  /// The number in "%s12"; `letter` says of what.
  std::uint32_t id(char letter) {
    const std::string name = r_.value_name();
    std::uint32_t value = 0;
    bool is_id = name.size() > 1 && name.size() < 10 && name[0] == letter;
    for (std::size_t i = 1; is_id && i < name.size(); ++i) {
      is_id = name[i] >= '0' && name[i] <= '9';
      value = value * 10 + static_cast<std::uint32_t>(name[i] - '0');
    }
    if (!is_id) r_.error(fmt::format("expected %{}N, found `%{}`", letter, name));
    return value;
  }

  ScalarId new_scalar() {
    const std::uint32_t s = id('s');
    ++scalars_;
    most_scalars_ = std::max<std::size_t>(most_scalars_, s + 1);
    return {s};
  }
  VarId new_var() {
    const std::uint32_t v = id('i');
    ++vars_;
    most_vars_ = std::max<std::size_t>(most_vars_, v + 1);
    return {v};
  }

  std::vector<ScalarId> scalars() {
    std::vector<ScalarId> out;
    r_.expect("(");
    while (!r_.at(")")) {
      if (!out.empty()) r_.expect(",");
      out.push_back({id('s')});
    }
    r_.expect(")");
    return out;
  }

  AffineIndex index() {
    AffineIndex out;
    do {
      const bool is_negative = r_.accept("-");
      out = out + index_term(is_negative ? Dim(-1) : Dim(1), out);
    } while (r_.accept("+") || r_.at("-"));
    return out;
  }

  AffineIndex index_term(const Dim& sign, const AffineIndex& so_far) {
    if (r_.at_value()) return variable(sign, so_far);
    const Dim factor = sign * r_.dim_product();
    if (!r_.accept("*")) return {factor, {}, {}};
    return variable(factor, so_far);
  }

  AffineIndex variable(const Dim& coefficient, const AffineIndex& so_far) {
    if (!r_.at_scalar()) return {0, {{VarId{id('i')}, coefficient}}, {}};
    const ScalarId scalar{id('s')};
    if (so_far.scalar || coefficient != Dim(1))
      r_.error("an index has one scalar at most, and no multiple of it");
    return {0, {}, scalar};
  }

  std::pair<BufferId, std::vector<AffineIndex>> access() {
    const BufferId buffer{id('b')};
    std::vector<AffineIndex> out;
    r_.expect("[");
    while (!r_.at("]")) {
      if (!out.empty()) r_.expect(",");
      out.push_back(index());
    }
    r_.expect("]");
    return {buffer, std::move(out)};
  }

  void block(Block& out) {
    if (++depth_ > kDeepest) r_.error("loops are nested too deep");
    while (!r_.at("}")) out.push_back({statement()});
    --depth_;
  }

  decltype(Statement::kind) statement() {
    if (r_.accept("for")) return loop();
    if (r_.accept("reduce")) return reduce();
    if (r_.accept("recur")) return recurrence();
    if (r_.accept("store")) {
      auto [buffer, at] = access();
      r_.expect("=");
      return Store{buffer, std::move(at), {id('s')}};
    }
    const ScalarId result = new_scalar();
    r_.expect("=");
    if (r_.accept("load")) {
      auto [buffer, at] = access();
      Load load{result, buffer, std::move(at)};
      if (r_.accept("if")) load.guard = ScalarId{id('s')};
      return load;
    }
    if (r_.accept("index")) {
      r_.expect("[");
      IndexValue value{result, index()};
      r_.expect("]");
      return value;
    }
    return let(result);
  }

  Let let(ScalarId result) {
    const std::string name = r_.word();
    const std::optional<ScalarOp> op = scalar_op_named(name);
    if (!op) r_.error(fmt::format("`{}` is no operation on scalars", name));
    Let out{result, *op, r_.element_type(), scalars(), std::nullopt};
    if (*op == ScalarOp::constant_) out.constant = r_.constant();
    return out;
  }

  int small(int most) {
    const std::int64_t value = r_.integer();
    if (value < 1 || value > most) r_.error(fmt::format("{} is not between 1 and {}", value, most));
    return static_cast<int>(value);
  }

  Loop loop() {
    Loop out;
    out.var = new_var();
    r_.expect("in");
    out.extent = r_.dim();
    if (r_.accept("from")) {
      ir::AffineIndex first = index();
      r_.expect("below");
      out.limit = Loop::Limit{std::move(first), r_.dim()};
    }
    out.schedule.lanes = r_.accept("lanes");
    if (r_.accept("unroll")) out.schedule.unroll = small(kMostUnrolled);
    r_.expect("{");
    block(out.body);
    r_.expect("}");
    return out;
  }

  Recurrence recurrence() {
    Recurrence out;
    out.var = new_var();
    r_.expect("in");
    out.extent = r_.dim();
    r_.expect("from");
    out.before = new_scalar();
    r_.expect("=");
    out.start = r_.constant();
    r_.expect("{");
    block(out.body);
    r_.expect("}");
    r_.expect("next");
    out.after = {id('s')};
    return out;
  }

  Reduce reduce() {
    Reduce out;
    do {
      const VarId var = new_var();
      r_.expect("in");
      out.ranges.push_back({var, r_.dim()});
    } while (r_.accept(","));
    if (r_.accept("where")) do {
        AffineIndex at = index();
        r_.expect("below");
        out.clips.push_back({std::move(at), r_.integer()});
      } while (r_.accept(","));
    if (r_.accept("lanes")) out.lanes = small(kMostUnrolled);
    if (r_.accept("unroll")) out.unroll = small(kMostUnrolled);
    r_.expect("{");
    block(out.body);
    r_.expect("}");
    r_.expect("give");
    do out.accumulators.push_back(accumulator());
    while (r_.accept(","));
    return out;
  }

  Accumulator accumulator() {
    Accumulator out;
    out.result = new_scalar();
    r_.expect("=");
    const std::string name = r_.word();
    const auto found = std::ranges::find(kReducers, name);
    if (found == kReducers.end()) r_.error(fmt::format("`{}` is no reducer", name));
    out.reducer = static_cast<Reducer>(found - kReducers.begin());
    out.type = r_.element_type();
    out.values = scalars();
    if (r_.accept("from")) out.start = ScalarId{id('s')};
    return out;
  }

  static constexpr int kDeepest = 64, kMostUnrolled = 64;
  Reader& r_;
  Kernel& k_;
  int depth_ = 0;
  std::size_t vars_ = 0, scalars_ = 0, most_vars_ = 0, most_scalars_ = 0;
};

Role parse_role(Reader& r) {
  const std::string name = r.word();
  const std::optional<Role> role = role_named(name);
  if (!role) r.error(fmt::format("`{}` is no role", name));
  return *role;
}

TurnOffset parse_offset(Reader& r) {
  const std::string name = r.word();
  const auto found = std::ranges::find(kOffsets, name);
  if (found == kOffsets.end()) r.error(fmt::format("`{}` is no offset of turns", name));
  TurnOffset out{static_cast<TurnOffset::Kind>(found - kOffsets.begin()), 0, {}, {}};
  if (out.kind == TurnOffset::Kind::last)
    out.length = r.dim();
  else if (out.kind != TurnOffset::Kind::fixed)
    out.loop = r.index();
  r.expect("by");
  out.bytes = r.dim();
  r.expect("]");
  return out;
}

BufferRef parse_ref(Reader& r) {
  const std::string name = r.word();
  const auto found = std::ranges::find(kSpaces, name);
  if (found == kSpaces.end()) r.error(fmt::format("`{}` is no place of a buffer", name));
  BufferRef out{static_cast<BufferRef::Space>(found - kSpaces.begin())};
  if (out.space == BufferRef::Space::scalar) {
    out.role = parse_role(r);
    if (out.role == Role::turn) out.index = r.index();
    return out;
  }
  if (out.space == BufferRef::Space::number) {
    out.number = r.integer();
    return out;
  }
  out.index = r.index();
  while (r.accept("[")) out.offsets.push_back(parse_offset(r));
  return out;
}

KernelCall parse_call(Reader& r) {
  KernelCall call{r.index(), {}};
  r.expect("(");
  while (!r.at(")")) {
    if (!call.buffers.empty()) r.expect(",");
    call.buffers.push_back(parse_ref(r));
  }
  r.expect(")");
  const bool negated = r.accept("unless");
  if (negated || r.accept("when")) {
    const Dim extent = r.dim();
    r.expect(">=");
    call.guard = CallGuard{extent, r.integer(), negated};
  }
  return call;
}

std::vector<Action> parse_actions(Reader& r, int depth) {
  constexpr int kDeepest = 16;  // as bodies are
  if (depth > kDeepest) r.error("loops are nested too deep");
  std::vector<Action> out;
  while (!r.at("}")) {
    if (r.accept("check_finite")) {
      const ElementType type = r.element_type();
      out.push_back({FiniteCheck{parse_ref(r), type}});
    } else if (r.accept("turns")) {
      TurnLoop loop{r.dim(), r.accept("reverse"), {}};
      r.expect("{");
      loop.actions = parse_actions(r, depth + 1);
      r.expect("}");
      out.push_back({std::move(loop)});
    } else if (r.accept("phase")) {
      r.expect("{");
      out.push_back({Phase{parse_actions(r, depth + 1)}});
      r.expect("}");
    } else if (r.accept("specialized")) {
      Specialization special;
      while (!r.accept("{")) {
        std::string dim = r.word();
        special.dims.emplace_back(std::move(dim), r.integer());
      }
      special.actions = parse_actions(r, depth + 1);
      r.expect("}");
      out.push_back({std::move(special)});
    } else {
      r.expect("call");
      out.push_back({parse_call(r)});
    }
  }
  return out;
}

WorkspaceSlot parse_slot(Reader& r) {
  WorkspaceSlot slot{r.dim()};
  if (r.accept("for")) {
    const Dim count = r.dim();
    r.expect("tasks");
    r.expect("of");
    slot.tasks = {count, r.dim()};
  }
  if (!r.accept("above")) return slot;
  do slot.above.push_back(r.index());
  while (r.accept(","));
  return slot;
}

LoweredEntry parse_entry(Reader& r) {
  LoweredEntry entry;
  entry.name = r.word();
  r.expect("{");
  while (r.accept("input")) entry.inputs.push_back(r.index());
  while (r.accept("result")) {
    const Role role = parse_role(r);
    std::string name = r.string();
    r.expect(":");
    entry.results.push_back({std::move(name), role, r.type()});
  }
  entry.writes_grads = r.accept("grads");
  while (r.accept("slot")) entry.slots.push_back(parse_slot(r));
  entry.actions = parse_actions(r, 0);
  r.expect("}");
  return entry;
}

}  // namespace

std::string print(const Kernel& kernel) { return KernelPrinter().run(kernel); }

std::string print(const KernelProgram& program) {
  std::string out =
      fmt::format("mlpc.kernels {}\n", detail::kKernelsVersion) + detail::print_header(program.header);
  for (const Kernel& kernel : program.kernels) out += print(kernel);
  for (const LoweredEntry& entry : program.entries) out += entry_text(entry);
  return out + detail::print_locations(program.header);
}

KernelProgram parse_kernels(std::string_view text, std::string_view file) {
  Reader r(text, file);
  KernelProgram program;
  r.expect("mlpc.kernels");
  if (r.integer() != detail::kKernelsVersion)
    r.error(fmt::format("this mlpc reads version {} of kernels text", detail::kKernelsVersion));
  program.header.stage = Stage::joint;
  r.header(program.header);
  while (r.accept("kernel")) KernelParser(r, program.kernels.emplace_back()).run();
  while (r.accept("entry")) program.entries.push_back(parse_entry(r));
  r.locations(program.header);
  try {
    verify(program);
  } catch (const Error& e) {
    fail("{}: error: {}", file, e.what());
  }
  return program;
}

}  // namespace mlpc::ir
