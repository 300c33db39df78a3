#pragma once

#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "ir/kernel.h"

namespace mlpc::ir {

/// A scalar under construction.
struct Scalar {
  ScalarId id;
  ElementType type = ElementType::f32;
};

/// Builds one kernel. A statement lands in the outermost open block in which all it depends on is visible, so
/// what does not depend on a loop stands before it; equal pure statements of one block are one.
class KernelBuilder {
 public:
  explicit KernelBuilder(std::string name);

  BufferId add_buffer(std::string name, Type type, bool is_written);
  const KernelBuffer& buffer(BufferId id) const { return kernel_.buffers[id.index]; }

  VarId new_var();
  /// Opens a loop or reduction block; statements land in it until close().
  void open_loop(VarId var, Dim extent, LoopSchedule schedule,
                 std::optional<Loop::Limit> limit = std::nullopt);
  void open_reduce(std::vector<Reduce::Range> ranges, int lanes, int unroll,
                   std::vector<Reduce::Clip> clips = {});
  void close_loop();
  /// Opens the block of a recurrence; what its turns begin with.
  Scalar open_recurrence(VarId var, Dim extent, Constant start);
  void close_recurrence(Scalar after);
  /// Ends the innermost block, a reduction; the accumulators' results, visible after it.
  struct Reduction {
    Reducer reducer;
    std::vector<Scalar> values;
    std::optional<Scalar> start = std::nullopt;
  };
  std::vector<Scalar> close_reduce(std::span<const Reduction> reductions);

  /// 0 where the guard is false.
  Scalar load(BufferId buffer, std::vector<AffineIndex> index, std::optional<Scalar> guard = std::nullopt);
  void store(BufferId buffer, std::vector<AffineIndex> index, Scalar value);
  Scalar index_value(AffineIndex index);
  Scalar let(ScalarOp op, std::span<const Scalar> operands, ElementType type,
             std::optional<Constant> constant = std::nullopt);

  // Shorthands for op records.
  Scalar constant(ElementType type, double value);
  Scalar unary(ScalarOp op, Scalar a) { return let(op, {&a, 1}, a.type); }
  Scalar binary(ScalarOp op, Scalar a, Scalar b) {
    const Scalar operands[] = {a, b};
    return let(op, operands, a.type);
  }
  Scalar compare(ScalarOp op, Scalar a, Scalar b) {
    const Scalar operands[] = {a, b};
    return let(op, operands, ElementType::boolean);
  }
  Scalar neg(Scalar a) { return unary(ScalarOp::neg_, a); }
  Scalar abs(Scalar a) { return unary(ScalarOp::abs_, a); }
  Scalar exp(Scalar a) { return unary(ScalarOp::exp_, a); }
  Scalar log(Scalar a) { return unary(ScalarOp::log_, a); }
  Scalar log1p(Scalar a) { return unary(ScalarOp::log1p_, a); }
  Scalar sqrt(Scalar a) { return unary(ScalarOp::sqrt_, a); }
  Scalar add(Scalar a, Scalar b) { return binary(ScalarOp::add_, a, b); }
  Scalar sub(Scalar a, Scalar b) { return binary(ScalarOp::sub_, a, b); }
  Scalar mul(Scalar a, Scalar b) { return binary(ScalarOp::mul_, a, b); }
  Scalar div(Scalar a, Scalar b) { return binary(ScalarOp::div_, a, b); }
  Scalar fma(Scalar a, Scalar b, Scalar c) {
    const Scalar operands[] = {a, b, c};
    return let(ScalarOp::fma_, operands, a.type);
  }
  Scalar select(Scalar condition, Scalar a, Scalar b) {
    const Scalar operands[] = {condition, a, b};
    return let(ScalarOp::select_, operands, a.type);
  }
  Scalar convert(Scalar a, ElementType to) { return a.type == to ? a : let(ScalarOp::convert_, {&a, 1}, to); }
  Scalar random_key(Scalar seed, Scalar turns, Scalar stream) {
    const Scalar operands[] = {seed, turns, stream};
    return let(ScalarOp::random_key_, operands, ElementType::i64);
  }
  Scalar random_bits(Scalar key, Scalar step, Scalar index) {
    const Scalar operands[] = {key, step, index};
    return let(ScalarOp::random_bits_, operands, ElementType::i64);
  }

  bool is_zero(Scalar scalar) const;  // the constant
  /// The innermost block in which the scalar is visible: 0 is the kernel's own.
  std::size_t depth_of(Scalar scalar) const { return scalar_depth_[scalar.id.index]; }
  std::size_t open_blocks() const { return blocks_.size(); }

  void add_task_split(VarId var, std::int64_t block) { kernel_.tasks.push_back({var, block}); }
  /// The finished kernel; all blocks are closed.
  Kernel finish();

 private:
  struct OpenBlock {
    std::vector<VarId> vars;  // none for the kernel's own block
    Statement head;           // Loop or Reduce whose body is being filled
    Block body;
    std::unordered_map<std::string, ScalarId> pure;  // what it computes already, by text
  };
  std::size_t depth_of(std::span<const AffineIndex> index) const;
  std::size_t depth_of(std::span<const Scalar> scalars) const;
  Scalar append_pure(Statement statement, std::string key, std::size_t depth, ElementType type);
  Scalar new_scalar(std::size_t depth, ElementType type);
  void open(std::vector<VarId> vars, Statement head);

  Kernel kernel_;
  std::vector<OpenBlock> blocks_;
  std::vector<std::size_t> scalar_depth_;  // the block that a scalar is visible in, while that is open
  std::vector<std::size_t> var_depth_;
  std::vector<std::size_t> stores_;  // by buffer: how many there were
};

}  // namespace mlpc::ir
