#pragma once

#include <doctest/doctest.h>

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <vector>

#include "compiler/codegen/jit.h"
#include "ir/text.h"
#include "ir/verify.h"
#include "runtime/abi.h"
#include "tests/compiler/codegen/kernel_jit.h"

namespace mlpc::codegen {

/// A model small enough to be written by hand: infer gives x · W through the workspace, loss and grad the sum
/// of x[b, t[b]], update subtracts the gradient from W and keeps it in a slot.
inline constexpr std::string_view kTinyText = R"(mlpc.kernels 1
model tiny : f32
source "5eed"
target "TARGET"
dim B
param "fc.W" : f32[3] offset 0 init "1" @0
param "fc.b" : f32[2] offset 64 init "2" @0
state "count" : f32[] offset 0 init "0" @0
slot "m/fc.W" : f32[3] offset 0 init "0" @0
input "x" : f32[B, 3]
input "t" : i32[B] bound 3
train "{\"batch\":4}"
check B*B >= 3*B - 2 @0
kernel multiply {
  buffer %b0 : f32[B, 3] read
  buffer %b1 : f32[3] read
  buffer %b2 : f32[B, 3] written
  task %i0 block 2
  for %i0 in B {
    for %i1 in 3 {
      %s0 = load %b0 [%i0, %i1]
      %s1 = load %b1 [%i1]
      %s2 = mul f32(%s0, %s1)
      store %b2 [%i0, %i1] = %s2
    }
  }
}
kernel copy {
  buffer %b0 : f32[3*B] read
  buffer %b1 : f32[3*B] written
  for %i0 in 3*B {
    %s0 = load %b0 [%i0]
    store %b1 [%i0] = %s0
  }
}
kernel pick {
  buffer %b0 : f32[B, 3] read
  buffer %b1 : i32[B] read
  buffer %b2 : f32[] written
  reduce %i0 in B {
    %s0 = load %b1 [%i0]
    %s1 = convert i64(%s0)
    %s2 = load %b0 [%i0, %s1]
  } give %s3 = sum f32(%s2)
  store %b2 [] = %s3
}
kernel pull {
  buffer %b0 : f64[] read
  buffer %b1 : bool[] read
  buffer %b2 : f32[3] written
  %s0 = load %b0 []
  %s1 = convert f32(%s0)
  %s2 = load %b1 []
  for %i0 in 3 {
    %s3 = load %b2 [%i0]
    %s4 = constant f32() f32(0)
    %s5 = select f32(%s2, %s3, %s4)
    %s6 = add f32(%s5, %s1)
    store %b2 [%i0] = %s6
  }
}
kernel advance {
  buffer %b0 : f32[] read
  buffer %b1 : f32[] written
  %s0 = load %b0 []
  %s1 = constant f32() f32(1)
  %s2 = add f32(%s0, %s1)
  store %b1 [] = %s2
}
kernel subtract {
  buffer %b0 : f32[3] written
  buffer %b1 : f32[3] read
  buffer %b2 : f32[3] written
  for %i0 in 3 {
    %s0 = load %b0 [%i0]
    %s1 = load %b1 [%i0]
    %s2 = sub f32(%s0, %s1)
    store %b0 [%i0] = %s2
    store %b2 [%i0] = %s1
  }
}
kernel fill {
  buffer %b0 : f32[3] written
  buffer %b1 : f32[2] written
  for %i0 in 3 {
    %s0 = constant f32() f32(1)
    store %b0 [%i0] = %s0
  }
  for %i1 in 2 {
    %s1 = constant f32() f32(2)
    store %b1 [%i1] = %s1
  }
}
kernel zero {
  buffer %b0 : f32[] written
  buffer %b1 : f32[3] written
  %s0 = constant f32() f32(0)
  store %b0 [] = %s0
  for %i0 in 3 {
    store %b1 [%i0] = %s0
  }
}
entry infer {
  input 0
  result output "y" : f32[B, 3]
  slot 4*B
  slot 12*B above 0
  call 0(input 0, params 0, workspace 1)
  call 1(workspace 1, result 0)
}
entry loss {
  input 0
  input 1
  result loss_total "loss" : f32[]
  call 2(input 0, input 1, result 0)
}
entry grad {
  input 0
  input 1
  result loss_total "loss" : f32[]
  grads
  call 2(input 0, input 1, result 0)
  check_finite f32 result 0
  call 3(scalar loss_bar, scalar accumulate, grads 0)
  call 4(state 0, state_out 0)
}
entry update {
  call 5(params 0, grads 0, slots 0)
}
entry train_step {
  input 0
  input 1
  result loss_total "loss" : f32[]
  slot 12
  call 2(input 0, input 1, result 0)
  check_finite f32 result 0
  call 6(workspace 0, params 1)
  call 5(params 0, workspace 0, slots 0)
  call 4(state 0, state 0)
}
entry init {
  call 6(params 0, params 1)
  call 7(state 0, slots 0)
}
loc 0 "tiny.net":1:1
)";

inline std::string replaced(std::string text, std::string_view from, std::string_view to) {
  const std::size_t at = text.find(from);
  REQUIRE(at != std::string::npos);
  return text.replace(at, from.size(), to);
}

inline std::string tiny_text(std::string_view target) {
  return replaced(std::string(kTinyText), "TARGET", target);
}

inline ir::KernelProgram program_of(const std::string& text) {
  ir::KernelProgram program = ir::parse_kernels(text, "tiny.kernels");
  ir::verify(program);
  return program;
}

inline ir::KernelProgram tiny_program(std::string_view target) { return program_of(tiny_text(target)); }

/// A target that every processor of this architecture runs.
inline std::string_view host_row() { return runnable_targets().back()->name; }

/// Memory of the caller at the ABI's alignment, full of a pattern.
struct Aligned {
  explicit Aligned(std::size_t size) : bytes(std::aligned_alloc(64, (size + 64) / 64 * 64), std::free) {
    std::memset(bytes.get(), 0x5a, (size + 64) / 64 * 64);
  }
  float* floats() { return static_cast<float*>(bytes.get()); }
  std::byte* data() { return static_cast<std::byte*>(bytes.get()); }
  std::unique_ptr<void, void (*)(void*)> bytes;
};

/// All buffers that a call of `tiny` can want, for three rows.
struct TinyCall {
  explicit TinyCall(const mlpc_model* model)
      : table(model), plan_memory(static_cast<std::size_t>(model->plan_bytes)) {
    args.size = sizeof args;
    args.inputs = inputs.data();
    args.results = results.data();
    args.params = params.data();
    args.state = state.data();
    args.state_out = state_out.data();
    args.slots = slots.data();
    args.grads = grads.data();
    args.workspace = workspace.data();
    args.loss_bar = 1;
    for (int i = 0; i < 3; ++i) params.floats()[i] = static_cast<float>(i + 1);
    state.floats()[0] = 0;
  }

  mlpc_plan* plan() { return static_cast<mlpc_plan*>(plan_memory.bytes.get()); }
  int make_plan(int entry, std::int64_t rows) { return table->plan(plan(), &rows, 1, entry); }
  int call(int entry) { return table->entries[entry].call(plan(), &args); }
  int plan_and_call(int entry, std::int64_t rows = 3) {
    const int code = make_plan(entry, rows);
    return code == MLPC_OK ? call(entry) : code;
  }

  const mlpc_model* table;
  Aligned plan_memory, params{128}, state{64}, state_out{64}, slots{64}, grads{128}, workspace{1024};
  std::array<float, 9> x = {1, 2, 3, 4, 5, 6, 7, 8, 9};
  std::array<std::int32_t, 3> t = {0, 1, 2};
  std::array<float, 9> y{};
  std::vector<const void*> inputs = {x.data(), t.data()};
  std::vector<void*> results = {y.data()};
  mlpc_args args{};
};

}  // namespace mlpc::codegen
