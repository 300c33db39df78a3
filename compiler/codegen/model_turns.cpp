#include "compiler/codegen/model_turns.h"

#include "compiler/codegen/kernel_dims.h"

namespace mlpc::codegen {
namespace {

using Kind = ir::TurnOffset::Kind;

llvm::Value* is_odd(ModelState& s, llvm::Value* count) { return s.b.CreateAnd(count, s.b.getInt64(1)); }

/// How often the offset's bytes are added.
llvm::Value* times_of(ModelState& s, const ir::TurnOffset& offset, const std::vector<Turn>& turns,
                      llvm::Value* dims) {
  switch (offset.kind) {
    case Kind::turn:
      return turns[offset.loop].number;
    case Kind::now:
      return is_odd(s, turns[offset.loop].before);
    case Kind::next:
      return s.b.CreateXor(is_odd(s, turns[offset.loop].before), s.b.getInt64(1));
    case Kind::last:
      break;
  }
  llvm::Value* length = emit_dim(s.b, offset.length, dims, s.dims());
  llvm::Value* is_any = s.b.CreateICmpSGT(length, s.b.getInt64(0));
  return s.b.CreateSelect(is_any, is_odd(s, length), s.b.getInt64(0));
}

}  // namespace

TurnPlace turn_place(ModelState& s, const ir::BufferRef& ref, llvm::Value* base, llvm::Value* dims) {
  TurnPlace out{base, {}};
  for (const ir::TurnOffset& offset : ref.offsets)
    out.bytes.push_back(emit_dim(s.b, offset.bytes, dims, s.dims()));
  return out;
}

llvm::Value* address_in_turn(ModelState& s, const ir::BufferRef& ref, const TurnPlace& place,
                             const std::vector<Turn>& turns, llvm::Value* dims) {
  llvm::Value* out = place.base;
  for (std::size_t i = 0; i < ref.offsets.size(); ++i) {
    llvm::Value* bytes = s.b.CreateMul(times_of(s, ref.offsets[i], turns, dims), place.bytes[i]);
    out = s.b.CreateInBoundsGEP(s.i8, out, bytes);
  }
  return out;
}

}  // namespace mlpc::codegen
