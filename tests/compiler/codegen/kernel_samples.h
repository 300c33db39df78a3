#pragma once

#include "ir/kernel_builder.h"

/// Kernels that several tests run.
namespace mlpc::codegen {

inline ir::AffineIndex at(ir::VarId var) { return ir::AffineIndex::of(var); }

/// y[i] = min(x[i] · 3 - |x[i]| / 7 + i, 100) in one type.
inline ir::Kernel pointwise(ir::ElementType type, const ir::Dim& extent, ir::LoopSchedule schedule,
                            std::int64_t block = 0) {
  ir::KernelBuilder b("pointwise");
  const auto x = b.add_buffer("x", {type, {extent}}, false);
  const auto y = b.add_buffer("y", {type, {extent}}, true);
  const auto i = b.new_var();
  if (block) b.add_task_split(i, block);
  b.open_loop(i, extent, schedule);
  const ir::Scalar v = b.load(x, {at(i)});
  const ir::Scalar scaled = b.mul(v, b.constant(type, 3));
  const ir::Scalar part = b.div(b.abs(v), b.constant(type, 7));
  const ir::Scalar turn = b.convert(b.index_value(at(i)), type);
  const ir::Scalar sum = b.add(b.sub(scaled, part), turn);
  const ir::Scalar limit = b.constant(type, 100);
  b.store(y, {at(i)}, b.select(b.compare(ir::ScalarOp::lt_, limit, sum), limit, sum));
  b.close_loop();
  return b.finish();
}

struct ContractionSchedule {
  int rows, vectors, unroll;
  bool columns_outside = false;
  std::int64_t row_block = 0;
};

/// c[i, j] = max(Σₖ a[i, k] · w[k, j] + bias[j], 0).
inline ir::Kernel contraction(ir::ElementType type, const ir::Dim& m, const ir::Dim& n, const ir::Dim& depth,
                              const ContractionSchedule& s) {
  ir::KernelBuilder b("contraction");
  const auto a = b.add_buffer("a", {type, {m, depth}}, false);
  const auto w = b.add_buffer("w", {type, {depth, n}}, false);
  const auto bias = b.add_buffer("bias", {type, {n}}, false);
  const auto c = b.add_buffer("c", {type, {m, n}}, true);
  const auto i = b.new_var(), j = b.new_var(), k = b.new_var();
  if (s.row_block) b.add_task_split(i, s.row_block);
  const auto open_columns = [&] { b.open_loop(j, n, {s.vectors, true}); };
  if (s.columns_outside) open_columns();
  b.open_loop(i, m, {s.rows, false});
  if (!s.columns_outside) open_columns();
  b.open_reduce({{k, depth}}, 0, s.unroll);
  const ir::KernelBuilder::Reduction product[] = {
      {ir::Reducer::fma, {b.load(a, {at(i), at(k)}), b.load(w, {at(k), at(j)})}}};
  const ir::Scalar sum = b.add(b.close_reduce(product)[0], b.load(bias, {at(j)}));
  const ir::Scalar zero = b.constant(type, 0);
  b.store(c, {at(i), at(j)}, b.select(b.compare(ir::ScalarOp::gt_, sum, zero), sum, zero));
  b.close_loop();
  b.close_loop();
  return b.finish();
}

}  // namespace mlpc::codegen
