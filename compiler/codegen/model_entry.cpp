#include <algorithm>
#include <set>

#include "compiler/codegen/model_actions.h"
#include "compiler/codegen/model_call.h"
#include "compiler/codegen/model_state.h"
#include "ir/error.h"
#include "runtime/abi.h"

// NAME_infer and its like: arguments are checked, then the kernels run, each as tasks.

namespace mlpc::codegen {
namespace {

using ir::BufferRef;
using Space = ir::BufferRef::Space;

/// A buffer of the caller: what the checks look at.
struct Range {
  llvm::Value *pointer, *bytes;
  std::uint64_t alignment;
  bool is_written;
};

class EntryEmitter {
 public:
  EntryEmitter(ModelState& state, const ir::LoweredEntry& entry)
      : s_(state),
        e_(entry),
        buffers_(state.program.header, entry, state.workspace(entry)),
        depth_(note_uses(entry.actions)) {}

  llvm::Function* run() {
    llvm::Function* f = s_.exported(e_.name, s_.i32, {s_.ptr, s_.ptr});
    plan_ = f->getArg(0);
    args_ = f->getArg(1);
    s_.begin(f);
    frame_ = allocate_frame(s_, buffers_, depth_);
    accumulate_at_ = s_.b.CreateAlloca(s_.i8);
    ranges_ = s_.b.CreateAlloca(llvm::ArrayType::get(range_type(), most_ranges()));
    check_structs();
    DimValues dims = begin_dims();
    dims_ = &dims;
    check_ranges(ranges());
    check_indexes();
    fill_context();
    if (entry_kind(e_.name) == MLPC_INIT) zero_buffers();
    ActionEmitter actions(s_, e_, buffers_, depth_, frame_, dims, args_);
    actions.act(e_.actions);
    buffers_.finish(s_);
    s_.b.CreateRet(s_.b.getInt32(MLPC_OK));
    return f;
  }

 private:
  const ir::Program& header() const { return s_.program.header; }

  /// How deep loops over turns are nested.
  std::size_t note_uses(const std::vector<ir::Action>& actions) {
    std::size_t depth = 0;
    for (const ir::Action& action : actions) {
      if (const auto* call = std::get_if<ir::KernelCall>(&action.kind)) note_uses(*call);
      const std::size_t own = std::holds_alternative<ir::TurnLoop>(action.kind) ? 1 : 0;
      if (const std::vector<ir::Action>* inside = ir::actions_inside(action))
        depth = std::max(depth, own + note_uses(*inside));
    }
    return depth;
  }

  void note_uses(const ir::KernelCall& call) {
    for (std::size_t i = 0; i < call.buffers.size(); ++i) {
      used_.insert(call.buffers[i].space);
      if (s_.program.kernels[call.kernel].buffers[i].is_written) written_.insert(call.buffers[i].space);
    }
  }

  llvm::Value* arg(unsigned field, llvm::Type* type) {
    return s_.b.CreateLoad(type, s_.args_at(args_, field));
  }

  // ---- Checks ----

  void check_structs() {
    s_.return_if(s_.b.CreateIsNull(plan_), MLPC_BAD_PLAN);
    s_.return_if(s_.b.CreateIsNull(args_), MLPC_BAD_ARGUMENTS);
    llvm::Value* magic = s_.b.CreateLoad(s_.i64, s_.plan_at(plan_, plan_field::magic));
    s_.return_if(s_.b.CreateICmpNE(magic, s_.b.getInt64(s_.magic(e_))), MLPC_BAD_PLAN);
    const std::uint64_t size = s_.module.getDataLayout().getTypeAllocSize(s_.args_type);
    s_.return_if(
        s_.b.CreateICmpULT(arg(args_field::size, s_.i32), s_.b.getInt32(static_cast<std::uint32_t>(size))),
        MLPC_BAD_ARGUMENTS);
  }

  /// Extents are evaluated once, in a block of their own, as soon as there is a plan.
  DimValues begin_dims() {
    llvm::Function* f = s_.b.GetInsertBlock()->getParent();
    auto* ready = llvm::BasicBlock::Create(s_.context, "dims", f);
    auto* next = llvm::BasicBlock::Create(s_.context, "checks", f);
    s_.b.CreateBr(ready);
    s_.b.SetInsertPoint(ready);
    llvm::Value* dims_at = s_.plan_at(plan_, plan_field::dims);
    s_.b.CreateBr(next);
    s_.b.SetInsertPoint(next);
    return DimValues(*ready, dims_at, s_.dims());
  }

  llvm::Value* bytes_of(const ir::Type& type) {
    return (*dims_)(type.element_count() * ir::Dim(ir::size_of(type.element)));
  }

  llvm::Value* element_of(llvm::Value* pointers, std::size_t i) {
    return s_.b.CreateLoad(s_.ptr, s_.b.CreateConstInBoundsGEP1_64(s_.ptr, pointers, i));
  }

  std::size_t most_ranges() const { return e_.inputs.size() + e_.results.size() + 7; }

  std::vector<Range> ranges() {
    std::vector<Range> out;
    if (!e_.inputs.empty()) {
      llvm::Value* inputs = arg(args_field::inputs, s_.ptr);
      s_.return_if(s_.b.CreateIsNull(inputs), MLPC_NULL_POINTER);
      for (std::size_t i = 0; i < e_.inputs.size(); ++i) {
        const ir::Type& type = header().inputs[e_.inputs[i]].type;
        out.push_back({element_of(inputs, i), bytes_of(type),
                       static_cast<std::uint64_t>(ir::size_of(type.element)), false});
      }
    }
    if (!e_.results.empty()) {
      llvm::Value* results = arg(args_field::results, s_.ptr);
      s_.return_if(s_.b.CreateIsNull(results), MLPC_NULL_POINTER);
      for (std::size_t i = 0; i < e_.results.size(); ++i) {
        const ir::Type& type = e_.results[i].type;
        out.push_back({element_of(results, i), bytes_of(type),
                       static_cast<std::uint64_t>(ir::size_of(type.element)), true});
      }
    }
    caller_buffer(out, Space::params, args_field::params, ir::buffer_bytes(header().params));
    caller_buffer(out, Space::state, args_field::state, ir::buffer_bytes(header().state));
    caller_buffer(out, Space::state_out, args_field::state_out, ir::buffer_bytes(header().state));
    caller_buffer(out, Space::slots, args_field::slots, ir::buffer_bytes(header().slots));
    caller_buffer(out, Space::grads, args_field::grads, ir::buffer_bytes(header().params));
    caller_buffer(out, Space::tangents, args_field::tangents, ir::buffer_bytes(header().params));
    if (used_.contains(Space::workspace))
      out.push_back({arg(args_field::workspace, s_.ptr),
                     s_.b.CreateLoad(s_.i64, s_.plan_at(plan_, plan_field::workspace_bytes)), 64, true});
    return out;
  }

  void caller_buffer(std::vector<Range>& out, Space space, unsigned field, std::int64_t bytes) {
    if (!used_.contains(space) || bytes == 0) return;
    out.push_back(
        {arg(field, s_.ptr), s_.b.getInt64(static_cast<std::uint64_t>(bytes)), 64, written_.contains(space)});
  }

  llvm::StructType* range_type() { return llvm::StructType::get(s_.context, {s_.i64, s_.i64, s_.i64}); }

  /// Null where there are bytes, then alignment, then overlap of what is written with anything else.
  void check_ranges(const std::vector<Range>& list) {
    llvm::Value *is_null = s_.b.getFalse(), *is_odd = s_.b.getFalse();
    for (std::size_t i = 0; i < list.size(); ++i) {
      const Range& r = list[i];
      llvm::Value* begin = s_.b.CreatePtrToInt(r.pointer, s_.i64);
      is_null = s_.b.CreateOr(is_null, s_.b.CreateAnd(s_.b.CreateIsNull(r.pointer),
                                                      s_.b.CreateICmpNE(r.bytes, s_.b.getInt64(0))));
      llvm::Value* low_bits = s_.b.CreateAnd(begin, s_.b.getInt64(r.alignment - 1));
      is_odd = s_.b.CreateOr(is_odd, s_.b.CreateICmpNE(low_bits, s_.b.getInt64(0)));
      llvm::Value* slot = s_.b.CreateConstInBoundsGEP1_64(range_type(), ranges_, i);
      s_.b.CreateStore(begin, s_.b.CreateStructGEP(range_type(), slot, 0));
      s_.b.CreateStore(s_.b.CreateAdd(begin, r.bytes), s_.b.CreateStructGEP(range_type(), slot, 1));
      s_.b.CreateStore(s_.b.getInt64(r.is_written), s_.b.CreateStructGEP(range_type(), slot, 2));
    }
    s_.return_if(is_null, MLPC_NULL_POINTER);
    s_.return_if(is_odd, MLPC_MISALIGNED);
    if (list.size() < 2 || written_.empty()) return;
    s_.return_if(s_.b.CreateCall(overlap_function(), {ranges_, s_.b.getInt64(list.size())}), MLPC_OVERLAP);
  }

  /// i1(ptr ranges, i64 count): whether two of them meet of which one is written.
  llvm::Function* overlap_function() {
    return s_.shared("overlap", s_.i1, {s_.ptr, s_.i64}, [&](llvm::Function* f) {
      llvm::Value* found = s_.b.CreateAlloca(s_.i8);
      s_.b.CreateStore(s_.b.getInt8(0), found);
      const auto field = [&](llvm::Value* i, unsigned which) {
        llvm::Value* range = s_.b.CreateInBoundsGEP(range_type(), f->getArg(0), i);
        return s_.b.CreateLoad(s_.i64, s_.b.CreateStructGEP(range_type(), range, which));
      };
      s_.loop(f->getArg(1), [&](llvm::Value* i) {
        llvm::Value *begin = field(i, 0), *end = field(i, 1), *is_written = field(i, 2);
        s_.loop(i, [&](llvm::Value* j) {
          llvm::Value *other_begin = field(j, 0), *other_end = field(j, 1);
          llvm::Value* meets =
              s_.b.CreateAnd(s_.b.CreateICmpULT(begin, other_end), s_.b.CreateICmpULT(other_begin, end));
          llvm::Value* has_bytes =
              s_.b.CreateAnd(s_.b.CreateICmpULT(begin, end), s_.b.CreateICmpULT(other_begin, other_end));
          llvm::Value* writes = s_.b.CreateICmpNE(s_.b.CreateOr(is_written, field(j, 2)), s_.b.getInt64(0));
          llvm::Value* bad = s_.b.CreateZExt(s_.b.CreateAnd(s_.b.CreateAnd(meets, has_bytes), writes), s_.i8);
          s_.b.CreateStore(s_.b.CreateOr(s_.b.CreateLoad(s_.i8, found), bad), found);
        });
      });
      s_.b.CreateRet(s_.b.CreateICmpNE(s_.b.CreateLoad(s_.i8, found), s_.b.getInt8(0)));
    });
  }

  /// Labels and tokens, before anything is written.
  void check_indexes() {
    for (std::size_t i = 0; i < e_.inputs.size(); ++i) {
      const ir::InputInfo& input = header().inputs[e_.inputs[i]];
      if (input.index_bound == 0) continue;
      llvm::Value* data = element_of(arg(args_field::inputs, s_.ptr), i);
      llvm::Value* count = (*dims_)(input.type.element_count());
      llvm::Type* type = s_.b.getIntNTy(static_cast<unsigned>(8 * ir::size_of(input.type.element)));
      s_.loop(count, [&](llvm::Value* at) {
        llvm::Value* raw = s_.b.CreateLoad(type, s_.b.CreateInBoundsGEP(type, data, at));
        llvm::Value* value = input.type.element == ir::ElementType::u8 ? s_.b.CreateZExt(raw, s_.i64)
                                                                       : s_.b.CreateSExtOrTrunc(raw, s_.i64);
        refuse_index(s_.b.CreateICmpUGE(value, s_.b.getInt64(static_cast<std::uint64_t>(input.index_bound))),
                     i, at);
      });
    }
  }

  void refuse_index(llvm::Value* is_outside, std::size_t input, llvm::Value* at) {
    llvm::Function* f = s_.b.GetInsertBlock()->getParent();
    auto* bad = llvm::BasicBlock::Create(s_.context, "outside", f);
    auto* good = llvm::BasicBlock::Create(s_.context, "inside", f);
    s_.b.CreateCondBr(is_outside, bad, good);
    s_.b.SetInsertPoint(bad);
    s_.b.CreateStore(s_.b.getInt32(static_cast<std::uint32_t>(input)),
                     s_.args_at(args_, args_field::error_argument));
    s_.b.CreateStore(at, s_.args_at(args_, args_field::error_position));
    s_.b.CreateRet(s_.b.getInt32(static_cast<std::uint32_t>(MLPC_INDEX_OUT_OF_RANGE)));
    s_.b.SetInsertPoint(good);
  }

  // ---- The context ----

  /// What lies between the tensors is 0, so that a whole buffer can be compared, copied or summed.
  void zero_buffers() {
    const auto zero = [&](Space space, unsigned field, const std::vector<ir::TensorInfo>& table) {
      if (!written_.contains(space)) return;
      llvm::Value* buffer = arg(field, s_.ptr);
      const std::int64_t words = ir::buffer_bytes(table) / 8;
      s_.loop(s_.b.getInt64(static_cast<std::uint64_t>(words)), [&](llvm::Value* i) {
        s_.b.CreateStore(s_.b.getInt64(0), s_.b.CreateInBoundsGEP(s_.i64, buffer, i));
      });
    };
    zero(Space::params, args_field::params, header().params);
    zero(Space::state, args_field::state, header().state);
    zero(Space::slots, args_field::slots, header().slots);
  }

  llvm::Value* place_at(std::size_t number) {
    return s_.b.CreateConstInBoundsGEP1_64(s_.ptr, frame_.places, number);
  }

  void fill_context() {
    const auto put = [&](unsigned field, llvm::Value* v) {
      s_.b.CreateStore(v, s_.b.CreateStructGEP(context_type(s_), frame_.context, field));
    };
    put(context_field::plan, plan_);
    put(context_field::args, args_);
    put(context_field::places, frame_.places);
    put(context_field::turns, frame_.turns);
    llvm::Value* flag = s_.b.CreateAnd(arg(args_field::flags, s_.i32), s_.b.getInt32(MLPC_ACCUMULATE));
    s_.b.CreateStore(s_.b.CreateTrunc(flag, s_.i8), accumulate_at_);
    for (const BufferRef* ref : buffers_.bases())
      s_.b.CreateStore(base_address(*ref), place_at(buffers_.find(*ref, false).number));
    if (!used_.contains(Space::workspace)) return;
    llvm::Value* workspace = arg(args_field::workspace, s_.ptr);
    llvm::Value* offsets = s_.plan_at(plan_, plan_field::offsets);
    s_.loop(s_.b.getInt64(s_.workspace(e_).places.size()), [&](llvm::Value* i) {
      llvm::Value* offset = s_.b.CreateLoad(s_.i64, s_.b.CreateInBoundsGEP(s_.i64, offsets, i));
      s_.b.CreateStore(s_.b.CreateInBoundsGEP(s_.i8, workspace, offset),
                       s_.b.CreateInBoundsGEP(s_.ptr, frame_.places, i));
    });
  }

  static unsigned scalar_field(ir::Role role) {
    switch (role) {
      case ir::Role::seed:
        return args_field::seed;
      case ir::Role::step:
        return args_field::step;
      case ir::Role::steps:
        return args_field::steps;
      case ir::Role::epoch:
        return args_field::epoch;
      case ir::Role::row_offset:
        return args_field::row_offset;
      case ir::Role::loss_bar:
        return args_field::loss_bar;
      default:
        fail("{} is no scalar of a call", name_of(role));
    }
  }

  /// What the buffer's place holds.
  llvm::Value* base_address(const BufferRef& ref) {
    const auto load_arg = [&](unsigned field) { return arg(field, s_.ptr); };
    switch (ref.space) {
      case Space::input:
        return element_of(load_arg(args_field::inputs), ref.index);
      case Space::result:
        return element_of(load_arg(args_field::results), ref.index);
      case Space::params:
        return load_arg(args_field::params);
      case Space::state:
        return load_arg(args_field::state);
      case Space::state_out:
        return load_arg(args_field::state_out);
      case Space::slots:
        return load_arg(args_field::slots);
      case Space::grads:
        return load_arg(args_field::grads);
      case Space::tangents:
        return load_arg(args_field::tangents);
      case Space::workspace:
        fail("slots of the workspace have places of their own");
      case Space::number:
        return buffers_.numbers(s_);
      case Space::scalar:
        break;
    }
    if (ref.role == ir::Role::accumulate) return accumulate_at_;
    if (ref.role == ir::Role::turn) return turn_number_at(s_, frame_.turns, ref.index);
    return s_.args_at(args_, scalar_field(ref.role));
  }

  ModelState& s_;
  const ir::LoweredEntry& e_;
  std::set<Space> used_, written_;
  BufferTable buffers_;
  std::size_t depth_;  // of loops over turns
  ActionFrame frame_{};
  DimValues* dims_ = nullptr;
  llvm::Value *plan_ = nullptr, *args_ = nullptr, *ranges_ = nullptr;
  llvm::Value* accumulate_at_ = nullptr;
};

}  // namespace

llvm::Function* emit_entry(ModelState& state, const ir::LoweredEntry& entry) {
  return EntryEmitter(state, entry).run();
}

}  // namespace mlpc::codegen
