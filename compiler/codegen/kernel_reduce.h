#pragma once

#include "compiler/codegen/kernel_control.h"
#include "compiler/codegen/kernel_state.h"

namespace mlpc::codegen {

class NestEmitter;

/// One reduction: a loop whose carried values are the accumulators of all instances of the loops around it.
/// Its chains are the lanes of vectors, or, where the values are vectors already, accumulators of their own.
class ReduceEmitter {
 public:
  ReduceEmitter(KernelState& state, NestEmitter& nest, const ir::Reduce& reduce);
  void run();

 private:
  /// Where an accumulator's values are in carried_: by chain, then by choice of instances, then (argmax) the
  /// value and its position.
  struct Part {
    const ir::Accumulator& accumulator;
    std::vector<std::size_t> levels;
    std::size_t choices, size, first;
    int width;
  };

  void add_part(const ir::Accumulator& accumulator);
  /// The turns of a range, and of all ranges inside it.
  void emit_range(std::size_t range);
  void emit_turns(std::size_t range, llvm::Value* low, llvm::Value* high);
  void emit_constant_range(std::int64_t extent);
  void emit_free_range(llvm::Value* low, llvm::Value* high);
  void emit_trips(llvm::Value* low, llvm::Value* high);
  // Clips: turns [low, high) of the variable that they read.
  struct Bounds {
    llvm::Value *low, *high;
  };
  std::optional<std::size_t> jammed_level(const ir::Reduce::Clip& clip) const;
  void emit_parts(std::size_t range, const ir::Reduce::Clip& clip, std::size_t level, const Bounds& bounds);
  llvm::Value* place(const ir::Reduce::Clip& clip);
  llvm::Value* crossing(llvm::Value* place, std::int64_t by_turn, std::int64_t edge);
  void keep_from(Bounds& bounds, llvm::Value* place, std::int64_t by_turn, std::int64_t least);
  void keep_below(Bounds& bounds, llvm::Value* place, std::int64_t by_turn, std::int64_t end);
  bool emit_jammed_trip(llvm::Value* base);
  void emit_turn(int turn, const Tile& tile);
  void update(const Part& part, std::size_t chain);
  llvm::Value* position(int width);
  void finish(const Part& part);
  std::vector<llvm::Value*> folded(const Part& part, std::vector<std::vector<llvm::Value*>> chains) const;

  KernelState& state_;
  NestEmitter& nest_;
  const ir::Reduce& reduce_;
  int lanes_;       // of a turn's vector; 1: a scalar
  int chains_;      // accumulators, each with a chain (or `lanes_` of them) of its own
  int trip_turns_;  // turns, or vectors of turns, a trip
  std::vector<Part> parts_;
  Carried carried_;
};

}  // namespace mlpc::codegen
