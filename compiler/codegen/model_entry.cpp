#include <llvm/IR/Intrinsics.h>

#include <algorithm>
#include <functional>
#include <map>
#include <set>

#include "compiler/codegen/kernel_codegen.h"
#include "compiler/codegen/model_state.h"
#include "compiler/codegen/model_turns.h"
#include "ir/error.h"
#include "runtime/abi.h"

// NAME_infer and its like: arguments are checked, then the kernels run, each as tasks.

namespace mlpc::codegen {
namespace {

using ir::BufferRef;
using Space = ir::BufferRef::Space;

// What a task knows of its call. Turns and how many were before stand by the number of loops around.
constexpr unsigned kContextPlan = 0, kContextArgs = 1, kContextAccumulate = 2, kContextTurns = 3,
                   kContextTurnsBefore = 4;

/// A buffer of the caller: what the checks look at.
struct Range {
  llvm::Value *pointer, *bytes;
  std::uint64_t alignment;
  bool is_written;
};

class EntryEmitter {
 public:
  EntryEmitter(ModelState& state, const ir::LoweredEntry& entry) : s_(state), e_(entry) {
    const std::size_t depth = note_uses(e_.actions);
    auto* turns = llvm::ArrayType::get(s_.i64, depth);
    context_type_ = llvm::StructType::get(s_.context, {s_.ptr, s_.ptr, s_.i8, turns, turns});
  }

  llvm::Function* run() {
    llvm::Function* f = s_.exported(e_.name, s_.i32, {s_.ptr, s_.ptr});
    plan_ = f->getArg(0);
    args_ = f->getArg(1);
    s_.begin(f);
    llvm::Value* context = s_.b.CreateAlloca(context_type_);
    ranges_ = s_.b.CreateAlloca(llvm::ArrayType::get(range_type(), most_ranges()));
    check_structs();
    dims_ = s_.plan_at(plan_, plan_field::dims);
    check_ranges(ranges());
    check_indexes();
    fill_context(context);
    if (entry_kind(e_.name) == MLPC_INIT) zero_buffers();
    for (const ir::Action& action : e_.actions) act(action, context);
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
      if (const auto* loop = std::get_if<ir::TurnLoop>(&action.kind))
        depth = std::max(depth, 1 + note_uses(loop->actions));
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
        out.push_back({element_of(inputs, i), s_.bytes_of(type, dims_),
                       static_cast<std::uint64_t>(ir::size_of(type.element)), false});
      }
    }
    if (!e_.results.empty()) {
      llvm::Value* results = arg(args_field::results, s_.ptr);
      s_.return_if(s_.b.CreateIsNull(results), MLPC_NULL_POINTER);
      for (std::size_t i = 0; i < e_.results.size(); ++i) {
        const ir::Type& type = e_.results[i].type;
        out.push_back({element_of(results, i), s_.bytes_of(type, dims_),
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
    if (llvm::Function* f = s_.module.getFunction("overlap")) return f;
    const auto resume = s_.b.saveIP();
    llvm::Function* f = s_.internal("overlap", s_.i1, {s_.ptr, s_.i64});
    s_.begin(f);
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
    s_.b.restoreIP(resume);
    return f;
  }

  /// Labels and tokens, before anything is written.
  void check_indexes() {
    for (std::size_t i = 0; i < e_.inputs.size(); ++i) {
      const ir::InputInfo& input = header().inputs[e_.inputs[i]];
      if (input.index_bound == 0) continue;
      llvm::Value* data = element_of(arg(args_field::inputs, s_.ptr), i);
      llvm::Value* count = emit_dim(s_.b, input.type.element_count(), dims_, s_.dims());
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

  // ---- Actions ----

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

  void fill_context(llvm::Value* context) {
    const auto put = [&](unsigned field, llvm::Value* v) {
      s_.b.CreateStore(v, s_.b.CreateStructGEP(context_type_, context, field));
    };
    put(kContextPlan, plan_);
    put(kContextArgs, args_);
    llvm::Value* flag = s_.b.CreateAnd(arg(args_field::flags, s_.i32), s_.b.getInt32(MLPC_ACCUMULATE));
    put(kContextAccumulate, s_.b.CreateTrunc(flag, s_.i8));
  }

  void act(const ir::Action& action, llvm::Value* context) {
    if (const auto* check = std::get_if<ir::FiniteCheck>(&action.kind))
      check_finite(*check, context);
    else if (const auto* loop = std::get_if<ir::TurnLoop>(&action.kind))
      run_turns(*loop, context);
    else
      guarded_call(std::get<ir::KernelCall>(action.kind), context);
  }

  // ---- Loops over turns ----

  /// Code before the outermost loop finds whatever is the same in every turn.
  void run_turns(const ir::TurnLoop& loop, llvm::Value* context) {
    if (turns_.empty()) find_places(loop.actions, context);
    llvm::Value* length = emit_dim(s_.b, loop.length, dims_, s_.dims());
    const auto at = [&](unsigned field) {
      return s_.b.CreateConstInBoundsGEP2_64(context_type_->getElementType(field),
                                             s_.b.CreateStructGEP(context_type_, context, field), 0,
                                             turns_.size());
    };
    llvm::Value *number_at = at(kContextTurns), *before_at = at(kContextTurnsBefore);
    s_.loop(length, [&](llvm::Value* before) {
      llvm::Value* number =
          loop.reverse ? s_.b.CreateSub(s_.b.CreateSub(length, before), s_.b.getInt64(1)) : before;
      s_.b.CreateStore(number, number_at);
      s_.b.CreateStore(before, before_at);
      turns_.push_back({number, before});
      for (const ir::Action& action : loop.actions) act(action, context);
      turns_.pop_back();
    });
    if (turns_.empty()) places_.clear();
  }

  void find_places(const std::vector<ir::Action>& actions, llvm::Value* context) {
    for (const ir::Action& action : actions) {
      if (const auto* loop = std::get_if<ir::TurnLoop>(&action.kind)) find_places(loop->actions, context);
      if (const auto* call = std::get_if<ir::KernelCall>(&action.kind))
        for (const BufferRef& ref : call->buffers)
          places_.emplace(&ref, turn_place(s_, ref, base_address(ref, plan_, args_, context), dims_));
    }
  }

  /// The turns as a task finds them.
  std::vector<Turn> turns_in(llvm::Value* context, std::size_t depth) {
    std::vector<Turn> out;
    const auto load = [&](unsigned field, std::size_t i) {
      llvm::Value* at = s_.b.CreateConstInBoundsGEP2_64(
          context_type_->getElementType(field), s_.b.CreateStructGEP(context_type_, context, field), 0, i);
      return s_.b.CreateLoad(s_.i64, at);
    };
    for (std::size_t i = 0; i < depth; ++i)
      out.push_back({load(kContextTurns, i), load(kContextTurnsBefore, i)});
    return out;
  }

  void guarded_call(const ir::KernelCall& kernel_call, llvm::Value* context) {
    if (!kernel_call.guard) return call(kernel_call, context);
    const ir::CallGuard& guard = *kernel_call.guard;
    llvm::Value* extent = emit_dim(s_.b, guard.extent, dims_, s_.dims());
    llvm::Value* least = s_.b.getInt64(static_cast<std::uint64_t>(guard.least));
    llvm::Value* holds =
        guard.negated ? s_.b.CreateICmpSLT(extent, least) : s_.b.CreateICmpSGE(extent, least);
    llvm::Function* f = s_.b.GetInsertBlock()->getParent();
    auto* made = llvm::BasicBlock::Create(s_.context, "made", f);
    auto* after = llvm::BasicBlock::Create(s_.context, "after", f);
    s_.b.CreateCondBr(holds, made, after);
    s_.b.SetInsertPoint(made);
    call(kernel_call, context);
    s_.b.CreateBr(after);
    s_.b.SetInsertPoint(after);
  }

  void check_finite(const ir::FiniteCheck& check, llvm::Value* context) {
    llvm::Type* type = check.type == ir::ElementType::f64 ? s_.f64 : s_.b.getFloatTy();
    llvm::Value* value = s_.b.CreateLoad(type, address(check.value, plan_, args_, context, {}, dims_));
    llvm::Value* magnitude = s_.b.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, value);
    llvm::Value* is_bad = s_.b.CreateNot(s_.b.CreateFCmpOLT(magnitude, llvm::ConstantFP::getInfinity(type)));
    llvm::Value* asked = s_.b.CreateAnd(arg(args_field::flags, s_.i32), s_.b.getInt32(MLPC_CHECK_FINITE));
    s_.return_if(s_.b.CreateAnd(is_bad, s_.b.CreateICmpNE(asked, s_.b.getInt32(0))), MLPC_NOT_FINITE);
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

  /// The pointer of a kernel's buffer, in the entry or in a task.
  llvm::Value* address(const BufferRef& ref, llvm::Value* plan, llvm::Value* args, llvm::Value* context,
                       const std::vector<Turn>& turns, llvm::Value* dims) {
    const TurnPlace place = turn_place(s_, ref, base_address(ref, plan, args, context), dims);
    return address_in_turn(s_, ref, place, turns, dims);
  }

  llvm::Value* base_address(const BufferRef& ref, llvm::Value* plan, llvm::Value* args,
                            llvm::Value* context) {
    const auto load_arg = [&](unsigned field) { return s_.b.CreateLoad(s_.ptr, s_.args_at(args, field)); };
    const auto part = [&](unsigned field, const std::vector<ir::TensorInfo>& table) {
      return s_.b.CreateConstInBoundsGEP1_64(s_.i8, load_arg(field),
                                             static_cast<std::uint64_t>(table[ref.index].offset));
    };
    switch (ref.space) {
      case Space::input:
        return element_of(load_arg(args_field::inputs), ref.index);
      case Space::result:
        return element_of(load_arg(args_field::results), ref.index);
      case Space::params:
        return part(args_field::params, header().params);
      case Space::state:
        return part(args_field::state, header().state);
      case Space::state_out:
        return part(args_field::state_out, header().state);
      case Space::slots:
        return part(args_field::slots, header().slots);
      case Space::grads:
        return part(args_field::grads, header().params);
      case Space::tangents:
        return part(args_field::tangents, header().params);
      case Space::workspace: {
        llvm::Value* tail = s_.plan_at(plan, plan_field::offsets);
        llvm::Value* offset =
            s_.b.CreateLoad(s_.i64, s_.b.CreateConstInBoundsGEP1_64(s_.i64, tail, ref.index));
        return s_.b.CreateInBoundsGEP(s_.i8, load_arg(args_field::workspace), offset);
      }
      case Space::scalar:
        break;
    }
    if (ref.role == ir::Role::accumulate)
      return s_.b.CreateStructGEP(context_type_, context, kContextAccumulate);
    if (ref.role == ir::Role::turn)
      return s_.b.CreateConstInBoundsGEP2_64(context_type_->getElementType(kContextTurns),
                                             s_.b.CreateStructGEP(context_type_, context, kContextTurns), 0,
                                             ref.index);
    return s_.args_at(args, scalar_field(ref.role));
  }

  /// void(ptr context, i64 task, i32 worker): one task of a call.
  llvm::Function* task_function(const ir::KernelCall& call) {
    const auto resume = s_.b.saveIP();
    llvm::Function* f =
        s_.internal(fmt::format("{}.{}", e_.name, call_count_++), s_.b.getVoidTy(), {s_.ptr, s_.i64, s_.i32});
    s_.begin(f);
    const auto field = [&](unsigned which) {
      return s_.b.CreateLoad(s_.ptr, s_.b.CreateStructGEP(context_type_, f->getArg(0), which));
    };
    llvm::Value *plan = field(kContextPlan), *args = field(kContextArgs);
    llvm::Value* dims = s_.plan_at(plan, plan_field::dims);
    const std::vector<Turn> turns = turns_in(f->getArg(0), turns_.size());
    std::vector<llvm::Value*> operands = {dims, f->getArg(1)};
    for (const BufferRef& ref : call.buffers)
      operands.push_back(address(ref, plan, args, f->getArg(0), turns, dims));
    s_.b.CreateCall(s_.kernels[call.kernel], operands);
    s_.b.CreateRetVoid();
    s_.b.restoreIP(resume);
    return f;
  }

  /// A function that runs task `i` here: a direct call where addresses are mostly there, in a turn, and where
  /// there is one task, so that a function for it would be code for nothing.
  std::function<void(llvm::Value* i)> task_runner(const ir::KernelCall& call, llvm::Function* task,
                                                  llvm::Value* context) {
    if (turns_.empty() && task)
      return [=, this](llvm::Value* i) { s_.b.CreateCall(task, {context, i, s_.b.getInt32(0)}); };
    std::vector<llvm::Value*> buffers;
    for (const BufferRef& ref : call.buffers)
      buffers.push_back(turns_.empty() ? address(ref, plan_, args_, context, turns_, dims_)
                                       : address_in_turn(s_, ref, places_.at(&ref), turns_, dims_));
    return [=, this](llvm::Value* i) {
      std::vector<llvm::Value*> operands = {dims_, i};
      operands.insert(operands.end(), buffers.begin(), buffers.end());
      s_.b.CreateCall(s_.kernels[call.kernel], operands);
    };
  }

  void call(const ir::KernelCall& call, llvm::Value* context) {
    const ir::Kernel& kernel = s_.program.kernels[call.kernel];
    llvm::Function* task = kernel.tasks.empty() ? nullptr : task_function(call);
    const auto run = task_runner(call, task, context);
    if (kernel.tasks.empty()) return run(s_.b.getInt64(0));
    llvm::Value* count = emit_task_count(s_.b, kernel, dims_, s_.dims());
    llvm::Value* parallel = arg(args_field::parallel, s_.ptr);
    llvm::Function* f = s_.b.GetInsertBlock()->getParent();
    auto* hook = llvm::BasicBlock::Create(s_.context, "hook", f);
    auto* serial = llvm::BasicBlock::Create(s_.context, "serial", f);
    auto* after = llvm::BasicBlock::Create(s_.context, "done", f);
    llvm::Value* is_worth = s_.b.CreateICmpSGT(count, s_.b.getInt64(1));
    s_.b.CreateCondBr(s_.b.CreateAnd(s_.b.CreateIsNotNull(parallel), is_worth), hook, serial);
    s_.b.SetInsertPoint(hook);
    auto* type = llvm::FunctionType::get(s_.b.getVoidTy(), {s_.ptr, s_.i64, s_.ptr, s_.ptr}, false);
    s_.b.CreateCall(type, parallel, {arg(args_field::host, s_.ptr), count, task, context});
    s_.b.CreateBr(after);
    s_.b.SetInsertPoint(serial);
    s_.loop(count, run);
    s_.b.CreateBr(after);
    s_.b.SetInsertPoint(after);
  }

  ModelState& s_;
  const ir::LoweredEntry& e_;
  llvm::StructType* context_type_ = nullptr;
  std::set<Space> used_, written_;
  std::vector<Turn> turns_;                       // of the loops that the builder stands in, outermost first
  std::map<const BufferRef*, TurnPlace> places_;  // in loops over turns
  std::size_t call_count_ = 0;
  llvm::Value *plan_ = nullptr, *args_ = nullptr, *dims_ = nullptr, *ranges_ = nullptr;
};

}  // namespace

llvm::Function* emit_entry(ModelState& state, const ir::LoweredEntry& entry) {
  return EntryEmitter(state, entry).run();
}

}  // namespace mlpc::codegen
