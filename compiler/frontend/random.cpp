#include "compiler/frontend/random.h"

#include <fmt/format.h>

#include "ir/ops/scan.h"

namespace mlpc::frontend {

std::int64_t stream_of(std::string_view role, std::string_view path) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (char c : fmt::format("{}:{}", role, path))
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return static_cast<std::int64_t>(hash);
}

std::string without_turns(std::string_view path) {
  std::string out;
  for (std::size_t i = 0; i < path.size(); ++i)
    if (path[i] == '[')
      i = path.find(']', i);
    else
      out += path[i];
  return out;
}

namespace {

/// The orthogonal factor of the polar decomposition of x, its leading axis the rows: uniform among the
/// orthogonal matrices where x is normal. Newton and Schulz: X <- 3/2 X - 1/2 X XᵀX takes each singular value
/// in (0, 1] to 1; the least that 64 turns bring there is 1e-10.
ir::ValueId orthogonal(ir::Builder& b, ir::ValueId x) {
  constexpr std::int64_t kTurns = 64;
  const ir::Type type = b.type(x);
  const ir::Dim rows = type.shape[0], columns = *type.element_count().divided_by(rows);
  const ir::Type matrix{type.element, {rows, columns}};
  x = b.reshape(x, matrix.shape);
  const ir::ValueId length = b.sqrt(b.reduce_sum(b.mul(x, x), {0, 1}));
  x = b.div(x, b.broadcast(length, matrix.shape, {}));
  const bool is_wide = *columns.constant() >= *rows.constant();
  ir::Graph body;
  body.name = "orthogonal";
  ir::Builder inside(body);
  body.add_parameter("turn", {ir::ElementType::i64, {}}, ir::Role::turn);
  const ir::ValueId now = body.add_parameter("X", matrix, ir::Role::loop);
  const auto einsum = [&](std::string_view spec, ir::ValueId l, ir::ValueId r) {
    return inside.einsum(spec, std::vector{l, r});
  };
  const ir::ValueId cubed = is_wide ? einsum("ik,kj->ij", einsum("ik,jk->ij", now, now), now)
                                    : einsum("ik,kj->ij", now, einsum("ki,kj->ij", now, now));
  const ir::ValueId next =
      inside.sub(inside.mul(now, inside.full(matrix, 1.5)), inside.mul(cubed, inside.full(matrix, 0.5)));
  body.results.push_back({"X", ir::Role::loop, 0, next});
  const ir::ops::ScanSpec spec{ir::Body(std::move(body)), kTurns, false};
  return b.reshape(ir::ops::scan(b, spec, std::vector{x})[0], type.shape);
}

}  // namespace

ir::ValueId drawn(ir::Builder& b, const ir::Type& type, const Distribution& from, std::int64_t stream,
                  const Draw& draw) {
  const auto number = [](double x) { return ir::Constant::of(ir::ElementType::f64, x); };
  ir::Op op = ir::Op::normal_;
  switch (from.kind) {
    case Distribution::Kind::constant:
      return b.full(type, from.a);
    case Distribution::Kind::uniform:
      op = ir::Op::uniform_;
      break;
    case Distribution::Kind::normal:
      break;
    case Distribution::Kind::orthogonal:
      return orthogonal(b, drawn(b, type, {Distribution::Kind::normal, 0, 1}, stream, draw));
    case Distribution::Kind::bernoulli:
      return b.value(ir::Op::bernoulli_, {draw.seed, draw.step, draw.turns, draw.row_offset},
                     {type.shape, type.element, number(from.a), stream});
  }
  return b.value(op, {draw.seed, draw.step, draw.turns, draw.row_offset},
                 {type.shape, type.element, number(from.a), number(from.b), stream});
}

}  // namespace mlpc::frontend
