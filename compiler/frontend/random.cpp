#include "compiler/frontend/random.h"

#include <fmt/format.h>

namespace mlpc::frontend {

std::int64_t stream_of(std::string_view role, std::string_view path) {
  std::uint64_t hash = 0xcbf29ce484222325ULL;
  for (char c : fmt::format("{}:{}", role, path))
    hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
  return static_cast<std::int64_t>(hash);
}

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
    case Distribution::Kind::bernoulli:
      return b.value(ir::Op::bernoulli_, {draw.seed, draw.step, draw.turns, draw.row_offset},
                     {type.shape, type.element, number(from.a), stream});
  }
  return b.value(op, {draw.seed, draw.step, draw.turns, draw.row_offset},
                 {type.shape, type.element, number(from.a), number(from.b), stream});
}

}  // namespace mlpc::frontend
