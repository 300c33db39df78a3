#pragma once

#include <optional>
#include <span>
#include <string>
#include <string_view>

namespace mlpc::ir {

/// What lowering and codegen know of a processor: data, never #ifdef or a probe. The orders of reductions
/// follow from it, so one row is one set of bits.
struct Target {
  std::string_view name;      // "x86-64-v4", as `--cpu` and the text form write it
  std::string_view triple;    // "x86_64-unknown-linux-gnu"
  std::string_view llvm_cpu;  // "x86-64-v4"
  int lanes;                  // f32 lanes of a vector register
  int vector_registers;
  bool has_fma;
  bool has_ldexp;  // of vectors, as an instruction
  int pointer_bits;
  int near_kib;  // what a core's own cache holds, whichever processor of the kind it is
};

std::span<const Target> all_targets();
/// By row name: x86-64-v4, x86-64-v3, x86-64 (baseline), aarch64, wasm32.
const Target* target_named(std::string_view name);

}  // namespace mlpc::ir
