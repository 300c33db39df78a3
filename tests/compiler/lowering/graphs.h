#pragma once

#include "ir/builder.h"
#include "ir/program.h"

namespace mlpc::testing {

/// A joint program of one graph, for the widest x86 target.
inline ir::Program program_of(ir::Graph graph) {
  ir::Program program;
  program.stage = ir::Stage::joint;
  program.model = "m";
  program.target = "x86-64-v4";
  program.dims = {"B"};
  for (const ir::Graph::Parameter& p : graph.parameters()) {
    if (p.role == ir::Role::input) program.inputs.push_back({p.name, graph.type(p.value)});
    if (p.role == ir::Role::param) program.params.push_back({p.name, graph.type(p.value)});
  }
  ir::assign_offsets(program.params);
  program.graphs.push_back(std::move(graph));
  return program;
}

inline ir::Type f32(ir::Shape shape) { return {ir::ElementType::f32, std::move(shape)}; }

/// relu(x W + b), the value of one dense layer.
inline ir::ValueId dense(ir::Builder& b, ir::ValueId x, ir::ValueId weights, ir::ValueId bias) {
  const ir::ValueId operands[] = {x, weights};
  const ir::ValueId z = b.einsum("bi,ij->bj", operands);
  const ir::ValueId sum = b.add(z, b.broadcast(bias, b.type(z).shape, {1}));
  return b.value(ir::Op::clamp_min_, {sum}, {ir::Constant::of(ir::ElementType::f32, 0)});
}

}  // namespace mlpc::testing
