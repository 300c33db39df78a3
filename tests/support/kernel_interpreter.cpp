#include "tests/support/kernel_interpreter.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <optional>

#include "ir/error.h"
#include "ir/kernel_tasks.h"

namespace mlpc::testing {

std::array<std::uint32_t, 4> philox(std::array<std::uint32_t, 4> c, std::array<std::uint32_t, 2> k) {
  for (int round = 0; round < 10; ++round, k[0] += 0x9E3779B9, k[1] += 0xBB67AE85) {
    const std::uint64_t p0 = std::uint64_t{0xD2511F53} * c[0], p1 = std::uint64_t{0xCD9E8D57} * c[2];
    c = {static_cast<std::uint32_t>(p1 >> 32) ^ c[1] ^ k[0], static_cast<std::uint32_t>(p1),
         static_cast<std::uint32_t>(p0 >> 32) ^ c[3] ^ k[1], static_cast<std::uint32_t>(p0)};
  }
  return c;
}

void MemoryNotes::add(const std::byte* from, std::size_t bytes, bool holds_values) {
  regions_.insert_or_assign(from, std::vector<bool>(bytes, holds_values));
}

std::vector<bool>* MemoryNotes::region_of(const std::byte* at, std::size_t bytes, std::size_t& offset) {
  auto found = regions_.upper_bound(at);
  if (found == regions_.begin()) return nullptr;
  --found;
  offset = static_cast<std::size_t>(at - found->first);
  return offset + bytes <= found->second.size() ? &found->second : nullptr;
}

bool MemoryNotes::holds_value(const std::byte* from, std::size_t bytes) {
  std::size_t offset = 0;
  const std::vector<bool>* region = region_of(from, bytes, offset);
  if (!region) fail("memory is read that belongs to no buffer");
  for (std::size_t i = 0; i < bytes; ++i)
    if (!(*region)[offset + i]) return false;
  return true;
}

void MemoryNotes::write(const std::byte* to, std::size_t bytes) {
  std::size_t offset = 0;
  std::vector<bool>* region = region_of(to, bytes, offset);
  if (!region) fail("memory is written that belongs to no buffer");
  for (std::size_t i = 0; i < bytes; ++i) (*region)[offset + i] = true;
}

bool TaskAccesses::read(const std::byte* at, std::int64_t task) {
  Touch& touch = touches_[at];
  touch.reader = touch.reader == kNobody || touch.reader == task ? task : kEverybody;
  return touch.writer == kNobody || touch.writer == task;
}

bool TaskAccesses::write(const std::byte* at, std::int64_t task) {
  Touch& touch = touches_[at];
  const bool is_alone =
      (touch.writer == kNobody || touch.writer == task) && (touch.reader == kNobody || touch.reader == task);
  touch.writer = task;
  return is_alone;
}

namespace {

using ir::ElementType;
using ir::Reducer;
using ir::ScalarOp;

/// f32 and f64 are kept as a double, all else as an integer (u8 and bool as 0 …).
struct Number {
  double real = 0;
  std::int64_t whole = 0;
};

std::uint64_t mix64(std::uint64_t z) {
  z += 0x9E3779B97F4A7C15;
  z = (z ^ (z >> 30)) * 0xBF58476D1CE4E5B9;
  z = (z ^ (z >> 27)) * 0x94D049BB133111EB;
  return z ^ (z >> 31);
}

std::uint64_t bits(std::int64_t v) { return static_cast<std::uint64_t>(v); }

std::int64_t random_key(std::int64_t stream, std::int64_t seed, std::int64_t turns) {
  return static_cast<std::int64_t>(mix64(bits(seed) ^ mix64(bits(stream) ^ mix64(bits(turns)))));
}

std::int64_t random_bits(std::int64_t key, std::int64_t step, std::int64_t index) {
  const std::uint64_t low = bits(index) / 4;
  const auto word = [](std::uint64_t v, int i) { return static_cast<std::uint32_t>(v >> (32 * i)); };
  return philox({word(low, 0), word(low, 1), word(bits(step), 0), word(bits(step), 1)},
                {word(bits(key), 0), word(bits(key), 1)})[static_cast<std::size_t>(bits(index) % 4)];
}

std::int64_t wrap(ElementType type, std::int64_t v) {
  switch (type) {
    case ElementType::i32:
      return static_cast<std::int32_t>(v);
    case ElementType::u8:
      return static_cast<std::uint8_t>(v);
    case ElementType::boolean:
      return v & 1;
    default:
      return v;
  }
}

Number real(ElementType type, double v) { return {type == ElementType::f32 ? static_cast<float>(v) : v, 0}; }
Number whole(ElementType type, std::uint64_t v) { return {0, wrap(type, static_cast<std::int64_t>(v))}; }

Number saturated(ElementType to, double v) {
  if (std::isnan(v)) return {};
  const auto clamp = [&]<typename T>(T) {
    if (v <= static_cast<double>(std::numeric_limits<T>::min())) return std::numeric_limits<T>::min();
    if (v >= static_cast<double>(std::numeric_limits<T>::max())) return std::numeric_limits<T>::max();
    return static_cast<T>(v);
  };
  if (to == ElementType::u8) return {0, clamp(std::uint8_t{})};
  if (to == ElementType::i32) return {0, clamp(std::int32_t{})};
  return {0, clamp(std::int64_t{})};
}

Number convert(ElementType from, ElementType to, Number v) {
  if (to == ElementType::boolean) return {0, ir::is_float(from) ? v.real != 0 : v.whole != 0};
  if (ir::is_float(from)) return ir::is_float(to) ? real(to, v.real) : saturated(to, v.real);
  if (!ir::is_float(to)) return {0, wrap(to, v.whole)};
  return to == ElementType::f32 ? Number{static_cast<float>(v.whole), 0}
                                : Number{static_cast<double>(v.whole), 0};
}

std::int64_t divide(std::int64_t a, std::int64_t b) {
  if (b == 0) return 0;
  return b == -1 ? static_cast<std::int64_t>(-static_cast<std::uint64_t>(a)) : a / b;
}

class Interpreter {
 public:
  Interpreter(const ir::Kernel& kernel, bool has_fma,
              const std::function<std::int64_t(std::string_view)>& dim,
              const std::vector<std::byte*>& buffers, MemoryNotes* notes, const OneTask* task)
      : kernel_(kernel),
        has_fma_(has_fma),
        dim_(dim),
        buffers_(buffers),
        notes_(notes),
        only_(task),
        accesses_(task ? task->accesses : own_accesses_),
        vars_(kernel.var_count),
        scalars_(kernel.scalar_count),
        types_(kernel.scalar_count) {}

  void run(const ir::Block& block) {
    for (const ir::Statement& statement : block)
      std::visit([&](const auto& kind) { run(kind); }, statement.kind);
  }

 private:
  std::int64_t size(const ir::Dim& dim) const { return dim.evaluate(dim_).value(); }

  std::int64_t value(const ir::AffineIndex& index) const {
    std::int64_t sum = size(index.constant);
    for (const auto& term : index.terms) sum += size(term.coefficient) * vars_[term.var.index];
    return index.scalar ? sum + scalars_[index.scalar->index].whole : sum;
  }

  std::byte* address(ir::BufferId buffer, const std::vector<ir::AffineIndex>& index) const {
    const ir::Type& type = kernel_.buffers[buffer.index].type;
    std::int64_t position = 0;
    for (std::size_t axis = 0; axis < index.size(); ++axis) {
      const std::int64_t extent = size(type.shape[axis]), at = value(index[axis]);
      if (at < 0 || at >= extent)
        fail("kernel {}: index {} of axis {} of %b{}, whose extent is {}", kernel_.name, at, axis,
             buffer.index, extent);
      position = position * extent + at;
    }
    return buffers_[buffer.index] + position * ir::size_of(type.element);
  }

  template <typename T>
  static T read(const std::byte* from) {
    T value;
    std::memcpy(&value, from, sizeof value);
    return value;
  }

  void define(ir::ScalarId id, ElementType type, Number value) {
    scalars_[id.index] = value;
    types_[id.index] = type;
  }

  /// The task that the open loops belong to.
  std::int64_t task() const {
    if (only_) return only_->number;
    if (open_tasks_ < kernel_.tasks.size()) return TaskAccesses::kEverybody;
    std::int64_t number = 0;
    for (std::size_t i = 0; i < kernel_.tasks.size(); ++i)
      number = number * task_counts_[i] + vars_[kernel_.tasks[i].var.index] / kernel_.tasks[i].block;
    return number;
  }

  void note_read(ir::BufferId buffer, const std::byte* from) {
    const int bytes = ir::size_of(kernel_.buffers[buffer.index].type.element);
    if (notes_ && !notes_->holds_value(from, static_cast<std::size_t>(bytes)))
      fail("kernel {}: reads an element of %b{} that nothing was written to", kernel_.name, buffer.index);
    if (!kernel_.tasks.empty() && !accesses_.read(from, task()))
      fail("kernel {}: a task reads what another one writes, in %b{}", kernel_.name, buffer.index);
  }
  void note_write(ir::BufferId buffer, const std::byte* to) {
    const int bytes = ir::size_of(kernel_.buffers[buffer.index].type.element);
    if (notes_) notes_->write(to, static_cast<std::size_t>(bytes));
    if (!kernel_.tasks.empty() && !accesses_.write(to, task()))
      fail("kernel {}: two tasks touch an element of %b{} that one writes", kernel_.name, buffer.index);
  }

  void run(const ir::Load& load) {
    const ElementType element = kernel_.buffers[load.buffer.index].type.element;
    if (load.guard && scalars_[load.guard->index].whole == 0) return define(load.result, element, {});
    const std::byte* from = address(load.buffer, load.index);
    note_read(load.buffer, from);
    const ElementType type = kernel_.buffers[load.buffer.index].type.element;
    switch (type) {
      case ElementType::f32:
        return define(load.result, type, {read<float>(from), 0});
      case ElementType::f64:
        return define(load.result, type, {read<double>(from), 0});
      case ElementType::i32:
        return define(load.result, type, {0, read<std::int32_t>(from)});
      case ElementType::i64:
        return define(load.result, type, {0, read<std::int64_t>(from)});
      case ElementType::u8:
        return define(load.result, type, {0, read<std::uint8_t>(from)});
      case ElementType::boolean:
        return define(load.result, type, {0, read<std::uint8_t>(from) != 0});
    }
  }

  void run(const ir::Store& store) {
    std::byte* to = address(store.buffer, store.index);
    note_write(store.buffer, to);
    const Number v = scalars_[store.value.index];
    const auto write = [&](auto value) { std::memcpy(to, &value, sizeof value); };
    switch (kernel_.buffers[store.buffer.index].type.element) {
      case ElementType::f32:
        return write(static_cast<float>(v.real));
      case ElementType::f64:
        return write(v.real);
      case ElementType::i32:
        return write(static_cast<std::int32_t>(v.whole));
      case ElementType::i64:
        return write(v.whole);
      case ElementType::u8:
      case ElementType::boolean:
        return write(static_cast<std::uint8_t>(v.whole));
    }
  }

  void run(const ir::IndexValue& index) { define(index.result, ElementType::i64, {0, value(index.index)}); }

  void run(const ir::Loop& loop) {
    const bool is_cut = open_tasks_ < kernel_.tasks.size() && kernel_.tasks[open_tasks_].var == loop.var;
    std::int64_t low = 0, high = size(loop.extent);
    if (is_cut) {
      const std::int64_t block = kernel_.tasks[open_tasks_++].block;
      task_counts_.push_back((high + block - 1) / block);
      if (only_) {
        low = own_number() * block;
        high = std::min(high, low + block);
      }
    }
    if (loop.limit) high = std::min(high, size(loop.limit->end) - value(loop.limit->first));
    for (vars_[loop.var.index] = low; vars_[loop.var.index] < high; ++vars_[loop.var.index]) run(loop.body);
    if (is_cut) {
      --open_tasks_;
      task_counts_.pop_back();
    }
  }

  /// Of the only task, among those of the innermost open split; the outermost one has no task for numbers
  /// that are too high.
  std::int64_t own_number() const {
    std::int64_t inside = 1;
    for (std::size_t i = open_tasks_; i < kernel_.tasks.size(); ++i)
      inside *= size(ir::task_count(kernel_, kernel_.tasks[i]));
    const std::int64_t number = only_->number / inside;
    return open_tasks_ > 1 ? number % task_counts_.back() : number;
  }

  Number fma(ElementType type, Number a, Number b, Number c) const {
    if (!has_fma_) return real(type, real(type, a.real * b.real).real + c.real);
    if (type == ElementType::f64) return {std::fma(a.real, b.real, c.real), 0};
    return {std::fma(static_cast<float>(a.real), static_cast<float>(b.real), static_cast<float>(c.real)), 0};
  }

  static Number number(const ir::Constant& c) {
    return ir::is_float(c.type) ? Number{c.as_double(), 0} : Number{0, c.as_integer()};
  }

  void run(const ir::Let& let) {
    std::array<Number, 3> operands;
    for (std::size_t i = 0; i < let.operands.size(); ++i) operands[i] = scalars_[let.operands[i].index];
    if (let.op == ScalarOp::constant_) return define(let.result, let.type, number(*let.constant));
    if (let.op == ScalarOp::random_key_)
      return define(let.result, let.type,
                    {0, random_key(operands[2].whole, operands[0].whole, operands[1].whole)});
    if (let.op == ScalarOp::random_bits_)
      return define(let.result, let.type,
                    {0, random_bits(operands[0].whole, operands[1].whole, operands[2].whole)});
    if (let.op == ScalarOp::select_)
      return define(let.result, let.type, operands[0].whole ? operands[1] : operands[2]);
    const ElementType from = types_[let.operands[0].index];
    define(let.result, let.type,
           ir::is_float(from) ? on_reals(let.op, from, let.type, operands)
                              : on_integers(let.op, from, let.type, operands));
  }

  Number on_reals(ScalarOp op, ElementType from, ElementType to, const std::array<Number, 3>& v) const {
    const double a = v[0].real, b = v[1].real;
    switch (op) {
      case ScalarOp::neg_:
        return {-a, 0};
      case ScalarOp::abs_:
        return {std::fabs(a), 0};
      case ScalarOp::sqrt_:
        return real(to, std::sqrt(a));
      case ScalarOp::exp_:
        return real(to, std::exp(a));
      case ScalarOp::expm1_:
        return real(to, std::expm1(a));
      case ScalarOp::log_:
        return real(to, std::log(a));
      case ScalarOp::log1p_:
        return real(to, std::log1p(a));
      case ScalarOp::sin_:
        return real(to, std::sin(a));
      case ScalarOp::cos_:
        return real(to, std::cos(a));
      case ScalarOp::tanh_:
        return real(to, std::tanh(a));
      case ScalarOp::erf_:
        return real(to, std::erf(a));
      case ScalarOp::sigmoid_:
        return real(to, 1 / (1 + std::exp(-a)));
      case ScalarOp::floor_:
        return {std::floor(a), 0};
      case ScalarOp::pow_:
        return real(to, std::pow(a, b));
      case ScalarOp::add_:
        return real(to, a + b);
      case ScalarOp::sub_:
        return real(to, a - b);
      case ScalarOp::mul_:
        return real(to, a * b);
      case ScalarOp::div_:
        return real(to, a / b);
      case ScalarOp::copysign_:
        return {std::copysign(a, b), 0};
      case ScalarOp::fma_:
        return fma(to, v[0], v[1], v[2]);
      case ScalarOp::convert_:
        return convert(from, to, v[0]);
      default:
        return compared(op, a, b);
    }
  }

  template <typename T>
  static Number compared(ScalarOp op, T a, T b) {
    switch (op) {
      case ScalarOp::eq_:
        return {0, a == b};
      case ScalarOp::ne_:
        return {0, a != b};
      case ScalarOp::lt_:
        return {0, a < b};
      case ScalarOp::le_:
        return {0, a <= b};
      case ScalarOp::gt_:
        return {0, a > b};
      case ScalarOp::ge_:
        return {0, a >= b};
      default:
        fail("the interpreter lacks `{}`", ir::name_of(op));
    }
  }

  static Number on_integers(ScalarOp op, ElementType from, ElementType to, const std::array<Number, 3>& v) {
    const std::int64_t a = v[0].whole, b = v[1].whole;
    const auto x = static_cast<std::uint64_t>(a), y = static_cast<std::uint64_t>(b);
    switch (op) {
      case ScalarOp::neg_:
        return whole(to, -x);
      case ScalarOp::abs_:
        return whole(to, a < 0 ? -x : x);
      case ScalarOp::add_:
        return whole(to, x + y);
      case ScalarOp::sub_:
        return whole(to, x - y);
      case ScalarOp::mul_:
        return whole(to, x * y);
      case ScalarOp::div_:
        return whole(to, static_cast<std::uint64_t>(divide(a, b)));
      case ScalarOp::and_:
        return whole(to, x & y);
      case ScalarOp::or_:
        return whole(to, x | y);
      case ScalarOp::not_:
        return whole(to, ~x);
      case ScalarOp::shift_right_:
        return whole(to, y < 64 ? x >> y : 0);
      case ScalarOp::convert_:
        return convert(from, to, v[0]);
      default:
        return compared(op, a, b);
    }
  }

  void run(const ir::Recurrence& loop) {
    Number carried = number(loop.start);
    std::int64_t& var = vars_[loop.var.index];
    for (var = 0; var < size(loop.extent); ++var) {
      define(loop.before, loop.start.type, carried);
      run(loop.body);
      carried = scalars_[loop.after.index];
    }
  }

  // ---- Reductions ----

  struct Chain {
    Number value;
    std::int64_t position = 0;
  };

  static Chain identity(const ir::Accumulator& a) {
    const auto extreme = [&](bool lowest) -> Number {
      const double infinity = std::numeric_limits<double>::infinity();
      if (ir::is_float(a.type)) return {lowest ? -infinity : infinity, 0};
      if (a.type == ElementType::u8) return {0, lowest ? 0 : 255};
      if (a.type == ElementType::i32) return {0, lowest ? INT32_MIN : INT32_MAX};
      return {0, lowest ? INT64_MIN : INT64_MAX};
    };
    switch (a.reducer) {
      case Reducer::sum:
      case Reducer::fma:
      case Reducer::any:
        return {};
      case Reducer::prod:
      case Reducer::all:
        return {{ir::is_float(a.type) ? 1.0 : 0.0, 1}};
      case Reducer::max:
      case Reducer::argmax:
        return {extreme(true)};
      case Reducer::min:
        return {extreme(false)};
    }
    return {};
  }

  static bool beats(const ir::Accumulator& a, Number next, Number before) {
    if (!ir::is_float(a.type))
      return a.reducer == Reducer::min ? next.whole < before.whole : next.whole > before.whole;
    if (std::isnan(before.real)) return false;
    if (std::isnan(next.real)) return true;
    return a.reducer == Reducer::min ? next.real < before.real : next.real > before.real;
  }

  static Chain join(const ir::Accumulator& a, const Chain& low, const Chain& high) {
    switch (a.reducer) {
      case Reducer::sum:
      case Reducer::fma:
        return ir::is_float(a.type) ? Chain{real(a.type, low.value.real + high.value.real)}
                                    : Chain{whole(a.type, static_cast<std::uint64_t>(low.value.whole) +
                                                              static_cast<std::uint64_t>(high.value.whole))};
      case Reducer::prod:
        return ir::is_float(a.type) ? Chain{real(a.type, low.value.real * high.value.real)}
                                    : Chain{whole(a.type, static_cast<std::uint64_t>(low.value.whole) *
                                                              static_cast<std::uint64_t>(high.value.whole))};
      case Reducer::any:
        return {{0, low.value.whole | high.value.whole}};
      case Reducer::all:
        return {{0, low.value.whole & high.value.whole}};
      case Reducer::max:
      case Reducer::min:
        return beats(a, high.value, low.value) ? high : low;
      case Reducer::argmax:
        if (beats(a, high.value, low.value)) return high;
        if (beats(a, low.value, high.value)) return low;
        return high.position < low.position ? high : low;
    }
    return {};
  }

  void take_turn(const ir::Accumulator& a, Chain& chain, std::int64_t position) {
    const Number value = scalars_[a.values[0].index];
    if (a.reducer == Reducer::fma)
      chain.value = fma(a.type, value, scalars_[a.values[1].index], chain.value);
    else if (a.reducer == Reducer::argmax)
      chain = beats(a, value, chain.value) ? Chain{value, position} : chain;
    else
      chain = join(a, chain, {value});
  }

  void run(const ir::Reduce& reduce) {
    const std::size_t chain_count = reduce.lanes > 0 ? static_cast<std::size_t>(reduce.lanes) : 1;
    std::vector<std::vector<Chain>> chains;
    for (const ir::Accumulator& a : reduce.accumulators)
      chains.emplace_back(chain_count, a.start ? Chain{scalars_[a.start->index]} : identity(a));
    std::int64_t position = 0;
    const std::function<void(std::size_t)> turns = [&](std::size_t range) {
      if (range == reduce.ranges.size()) {
        const auto is_inside = [&](const ir::Reduce::Clip& clip) {
          const std::int64_t at = value(clip.index);
          return at >= 0 && at < clip.extent;
        };
        if (!std::ranges::all_of(reduce.clips, is_inside)) return;
        run(reduce.body);
        for (std::size_t a = 0; a < chains.size(); ++a)
          take_turn(reduce.accumulators[a], chains[a][static_cast<std::size_t>(position) % chain_count],
                    position);
        ++position;
        return;
      }
      std::int64_t& var = vars_[reduce.ranges[range].var.index];
      for (var = 0; var < size(reduce.ranges[range].extent); ++var) turns(range + 1);
    };
    turns(0);
    for (std::size_t a = 0; a < chains.size(); ++a) finish(reduce.accumulators[a], chains[a]);
  }

  void finish(const ir::Accumulator& a, std::vector<Chain>& chains) {
    for (std::size_t half = chains.size() / 2; half >= 1; half /= 2)
      for (std::size_t l = 0; l < half; ++l) chains[l] = join(a, chains[l], chains[l + half]);
    if (a.reducer == Reducer::argmax)
      define(a.result, ElementType::i64, {0, chains[0].position});
    else
      define(a.result, a.type, chains[0].value);
  }

  const ir::Kernel& kernel_;
  bool has_fma_;
  const std::function<std::int64_t(std::string_view)>& dim_;
  const std::vector<std::byte*>& buffers_;
  MemoryNotes* notes_;
  const OneTask* only_;
  TaskAccesses own_accesses_;
  TaskAccesses& accesses_;
  std::size_t open_tasks_ = 0;             // of kernel_.tasks, from the outside in
  std::vector<std::int64_t> task_counts_;  // by open task split
  std::vector<std::int64_t> vars_;
  std::vector<Number> scalars_;
  std::vector<ElementType> types_;
};

}  // namespace

void interpret(const ir::Kernel& kernel, bool has_fma,
               const std::function<std::int64_t(std::string_view)>& dim,
               const std::vector<std::byte*>& buffers, MemoryNotes* notes, const OneTask* task) {
  Interpreter(kernel, has_fma, dim, buffers, notes, task).run(kernel.body);
}

}  // namespace mlpc::testing
