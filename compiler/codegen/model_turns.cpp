#include "compiler/codegen/model_turns.h"

namespace mlpc::codegen {
namespace {

using Kind = ir::TurnOffset::Kind;

llvm::Value* is_odd(ModelState& s, llvm::Value* count) { return s.b.CreateAnd(count, s.b.getInt64(1)); }

/// How often the offset's bytes are added.
llvm::Value* times_of(ModelState& s, const ir::TurnOffset& offset, const std::vector<Turn>& turns,
                      DimValues& dims) {
  switch (offset.kind) {
    case Kind::turn:
      return turns[offset.loop].number;
    case Kind::now:
      return is_odd(s, turns[offset.loop].before);
    case Kind::next:
      return s.b.CreateXor(is_odd(s, turns[offset.loop].before), s.b.getInt64(1));
    case Kind::fixed:
      return s.b.getInt64(1);
    case Kind::last:
      break;
  }
  llvm::Value* length = dims(offset.length);
  llvm::Value* is_any = s.b.CreateICmpSGT(length, s.b.getInt64(0));
  return s.b.CreateSelect(is_any, is_odd(s, length), s.b.getInt64(0));
}

}  // namespace

llvm::Value* address_in_turn(ModelState& s, const ir::BufferRef& ref, llvm::Value* base,
                             const std::vector<Turn>& turns, DimValues& dims) {
  llvm::Value* out = base;
  for (const ir::TurnOffset& offset : ref.offsets) {
    llvm::Value* bytes = s.b.CreateMul(times_of(s, offset, turns, dims), dims(offset.bytes));
    out = s.b.CreateInBoundsGEP(s.i8, out, bytes);
  }
  return out;
}

}  // namespace mlpc::codegen
