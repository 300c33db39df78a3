#include "compiler/codegen/model_actions.h"

#include <llvm/IR/Intrinsics.h>

#include <algorithm>
#include <map>
#include <string>

#include "ir/kernel_tasks.h"
#include "runtime/abi.h"

namespace mlpc::codegen {

using ir::BufferRef;

namespace {

llvm::Value* before_at(ModelState& s, llvm::Value* turns, std::size_t loop) {
  return s.b.CreateConstInBoundsGEP1_64(s.i64, turns, 2 * loop + 1);
}

}  // namespace

llvm::Value* turn_number_at(ModelState& s, llvm::Value* turns, std::size_t loop) {
  return s.b.CreateConstInBoundsGEP1_64(s.i64, turns, 2 * loop);
}

ActionFrame allocate_frame(ModelState& s, const BufferTable& buffers, std::size_t depth) {
  llvm::Value* context = s.b.CreateAlloca(context_type(s));
  llvm::Value* places = s.b.CreateAlloca(llvm::ArrayType::get(s.ptr, buffers.place_count()));
  return {context, places, s.b.CreateAlloca(llvm::ArrayType::get(s.i64, 2 * depth))};
}

void ActionEmitter::act(std::span<const ir::Action> actions) {
  const auto is_call = [](const ir::Action& action) {
    return std::holds_alternative<ir::KernelCall>(action.kind);
  };
  while (!actions.empty()) {
    const auto calls = static_cast<std::size_t>(std::ranges::find_if_not(actions, is_call) - actions.begin());
    if (calls > 0)
      run_calls(actions.first(calls));
    else
      act(actions.front());
    actions = actions.subspan(std::max<std::size_t>(calls, 1));
  }
}

void ActionEmitter::act(const ir::Action& action) {
  if (const auto* check = std::get_if<ir::FiniteCheck>(&action.kind))
    check_finite(*check);
  else if (const auto* loop = std::get_if<ir::TurnLoop>(&action.kind))
    run_turns(*loop);
  else if (const auto* phase = std::get_if<ir::Phase>(&action.kind))
    run_phase(*phase);
  else
    run_specialized(std::get<ir::Specialization>(action.kind));
}

void ActionEmitter::run_turns(const ir::TurnLoop& loop) {
  llvm::Value* length = dims_(loop.length);
  llvm::Value* number_at = turn_number_at(s_, frame_.turns, turns_.size());
  llvm::Value* turns_before_at = before_at(s_, frame_.turns, turns_.size());
  s_.loop(length, [&](llvm::Value* before) {
    llvm::Value* number =
        loop.reverse ? s_.b.CreateSub(s_.b.CreateSub(length, before), s_.b.getInt64(1)) : before;
    s_.b.CreateStore(number, number_at);
    s_.b.CreateStore(before, turns_before_at);
    turns_.push_back({number, before});
    move_places(loop.actions);
    act(loop.actions);
    turns_.pop_back();
  });
}

/// Writes down where the buffers of all calls are in these turns.
void ActionEmitter::move_places(const std::vector<ir::Action>& actions) {
  std::set<std::size_t> moved;
  for (const ir::Action& action : actions)
    if (const auto* call = std::get_if<ir::KernelCall>(&action.kind)) move_places(*call, moved);
}

/// The same for one call, but for the buffers that `moved` has.
void ActionEmitter::move_places(const ir::KernelCall& call, std::set<std::size_t>& moved) {
  for (const BufferRef& ref : call.buffers)
    if (const std::size_t number = buffers_.find(ref).number;
        !ref.offsets.empty() && moved.insert(number).second)
      s_.b.CreateStore(address(ref), s_.b.CreateConstInBoundsGEP1_64(s_.ptr, frame_.places, number));
}

/// How many tasks a call has; none where its guard does not hold. In a task of a phase, whether it is made.
llvm::Value* ActionEmitter::count_of(const ir::KernelCall& call) {
  llvm::Value* count = task_ ? s_.b.getInt64(1) : dims_(ir::task_count(s_.program.kernels[call.kernel]));
  if (!call.guard) return count;
  const ir::CallGuard& guard = *call.guard;
  llvm::Value* extent = dims_(guard.extent);
  llvm::Value* least = s_.b.getInt64(static_cast<std::uint64_t>(guard.least));
  llvm::Value* holds = guard.negated ? s_.b.CreateICmpSLT(extent, least) : s_.b.CreateICmpSGE(extent, least);
  return s_.b.CreateSelect(holds, count, s_.b.getInt64(0));
}

/// Calls that follow each other are a list, which one function runs.
void ActionEmitter::run_calls(std::span<const ir::Action> actions) {
  std::set<std::size_t> moved;
  std::map<std::string, std::uint32_t> numbers;  // of counts
  std::vector<llvm::Value*> counts;
  std::vector<llvm::Constant*> data;
  for (const ir::Action& action : actions) {
    const auto& call = std::get<ir::KernelCall>(action.kind);
    if (turns_.empty()) move_places(call, moved);
    std::string key = task_ ? "" : ir::task_count(s_.program.kernels[call.kernel]).text();
    if (call.guard)
      key += fmt::format(" {} {} {}", call.guard->extent.text(), call.guard->least, call.guard->negated);
    const auto [number, is_new] = numbers.try_emplace(key, counts.size());
    if (is_new) counts.push_back(count_of(call));
    const auto field = [&](std::size_t value) { return s_.b.getInt32(static_cast<std::uint32_t>(value)); };
    data.push_back(
        llvm::ConstantStruct::get(call_type(s_), {s_.kernels[call.kernel], field(buffers_.add_call(call)),
                                                  field(call.buffers.size()), field(number->second)}));
  }
  auto* calls_type = llvm::ArrayType::get(call_type(s_), data.size());
  auto* calls = new llvm::GlobalVariable(s_.module, calls_type, true, llvm::GlobalValue::PrivateLinkage,
                                         llvm::ConstantArray::get(calls_type, data), e_.name + ".calls");
  llvm::Value* counts_at = on_stack(llvm::ArrayType::get(s_.i64, counts.size()));
  for (std::size_t i = 0; i < counts.size(); ++i)
    s_.b.CreateStore(counts[i], s_.b.CreateConstInBoundsGEP1_64(s_.i64, counts_at, i));
  std::vector<llvm::Value*> arguments = {frame_.context, calls, s_.b.getInt64(data.size()), buffers_.refs(s_),
                                         counts_at};
  if (task_) arguments.push_back(task_);
  s_.b.CreateCall(run_calls_function(s_, task_ != nullptr), arguments);
}

/// Once a function, though the builder may stand in a loop.
llvm::Value* ActionEmitter::on_stack(llvm::Type* type) {
  llvm::BasicBlock& entry = s_.b.GetInsertBlock()->getParent()->getEntryBlock();
  return llvm::IRBuilder<>(&entry, entry.begin()).CreateAlloca(type);
}

void ActionEmitter::check_finite(const ir::FiniteCheck& check) {
  llvm::Type* type = check.type == ir::ElementType::f64 ? s_.f64 : s_.b.getFloatTy();
  llvm::Value* value = s_.b.CreateLoad(type, address(check.value));
  llvm::Value* magnitude = s_.b.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, value);
  llvm::Value* is_bad = s_.b.CreateNot(s_.b.CreateFCmpOLT(magnitude, llvm::ConstantFP::getInfinity(type)));
  llvm::Value* flags = s_.b.CreateLoad(s_.i32, s_.args_at(args_, args_field::flags));
  llvm::Value* asked = s_.b.CreateAnd(flags, s_.b.getInt32(MLPC_CHECK_FINITE));
  s_.return_if(s_.b.CreateAnd(is_bad, s_.b.CreateICmpNE(asked, s_.b.getInt32(0))), MLPC_NOT_FINITE);
}

/// Of a kernel's buffer, in these turns.
llvm::Value* ActionEmitter::address(const BufferRef& ref) {
  const BufferTable::Place place = buffers_.find(ref, false);
  llvm::Value* at = s_.b.CreateConstInBoundsGEP1_64(s_.ptr, frame_.places, place.number);
  llvm::Value* base = s_.b.CreateLoad(s_.ptr, at);
  base = s_.b.CreateConstInBoundsGEP1_64(s_.i8, base, static_cast<std::uint64_t>(place.bytes));
  return address_in_turn(s_, ref, base, turns_, dims_);
}

/// Returns from the entry where it ran.
void ActionEmitter::run_specialized(const ir::Specialization& special) {
  llvm::Value* holds = s_.b.getTrue();
  for (const auto& [dim, extent] : special.dims)
    holds = s_.b.CreateAnd(holds, s_.b.CreateICmpEQ(dims_(ir::Dim::named(dim)),
                                                    s_.b.getInt64(static_cast<std::uint64_t>(extent))));
  llvm::Function* f = s_.b.GetInsertBlock()->getParent();
  auto* specialized = llvm::BasicBlock::Create(s_.context, "specialized", f);
  auto* general = llvm::BasicBlock::Create(s_.context, "general", f);
  s_.b.CreateCondBr(holds, specialized, general);
  s_.b.SetInsertPoint(specialized);
  act(special.actions);
  s_.b.CreateRet(s_.b.getInt32(MLPC_OK));
  s_.b.SetInsertPoint(general);
}

// ---- Phases ----

void ActionEmitter::run_phase(const ir::Phase& phase) {
  llvm::Function* task = phase_function(phase);
  const std::uint32_t any = ir::kernels_of(phase.actions).front();
  const auto* only =
      phase.actions.size() == 1 ? std::get_if<ir::KernelCall>(&phase.actions.front().kind) : nullptr;
  llvm::Value* count = only ? count_of(*only) : dims_(ir::task_count(s_.program.kernels[any]));
  s_.b.CreateCall(fork_function(s_), {frame_.context, task, count});
}

/// void(ptr context, i64 task, i32 worker). Tasks stand in other turns at the same time, so each has its own
/// context.
llvm::Function* ActionEmitter::phase_function(const ir::Phase& phase) {
  return s_.beside(e_.name + ".phase", s_.b.getVoidTy(), {s_.ptr, s_.i64, s_.i32}, [&](llvm::Function* f) {
    const ActionFrame frame = allocate_frame(s_, buffers_, depth_);
    copy_context(f->getArg(0), frame);
    const auto field = [&](unsigned number) {
      return s_.b.CreateLoad(s_.ptr, s_.b.CreateStructGEP(context_type(s_), frame.context, number));
    };
    llvm::Value *plan = field(context_field::plan), *args = field(context_field::args);
    llvm::Value* dims_at = s_.plan_at(plan, plan_field::dims);
    llvm::BasicBlock* ready = s_.b.GetInsertBlock();
    auto* next = llvm::BasicBlock::Create(s_.context, "actions", f);
    s_.b.CreateBr(next);
    s_.b.SetInsertPoint(next);
    DimValues dims(*ready, dims_at, s_.dims());
    ActionEmitter inside(s_, e_, buffers_, depth_, frame, dims, args);
    inside.task_ = f->getArg(1);
    for (std::size_t loop = 0; loop < turns_.size(); ++loop)
      inside.turns_.push_back({s_.b.CreateLoad(s_.i64, turn_number_at(s_, frame.turns, loop)),
                               s_.b.CreateLoad(s_.i64, before_at(s_, frame.turns, loop))});
    if (!turns_.empty()) inside.move_places(phase.actions);
    inside.enter_rooms(phase.actions, plan, f->getArg(2));
    inside.act(phase.actions);
    s_.b.CreateRetVoid();
  });
}

/// Where there are fewer workers than tasks, a place for tasks is moved so that this one's part of the slot
/// lies in its worker's room.
void ActionEmitter::enter_rooms(const std::vector<ir::Action>& actions, llvm::Value* plan,
                                llvm::Value* worker) {
  std::set<std::size_t> rooms;
  for (const ir::Action& action : actions)
    ir::for_each_buffer(action, [&](const BufferRef& ref) {
      if (ref.space == BufferRef::Space::workspace && e_.slots[ref.index].tasks)
        rooms.insert(buffers_.find(ref, false).number);
    });
  for (const std::size_t number : rooms) {
    const ir::WorkspaceSlot::Tasks& tasks = *s_.workspace(e_).places[number].tasks;
    llvm::Value* bytes = dims_(tasks.bytes);
    llvm::Value* workers = s_.b.CreateLoad(s_.i64, s_.plan_at(plan, plan_field::workers));
    llvm::Value* room = s_.b.CreateMul(s_.b.CreateSExt(worker, s_.i64), rounded_slot_bytes(s_, bytes));
    llvm::Value* distance =
        s_.b.CreateSelect(s_.b.CreateICmpSLT(workers, dims_(tasks.count)),
                          s_.b.CreateSub(room, s_.b.CreateMul(task_, bytes)), s_.b.getInt64(0));
    llvm::Value* at = s_.b.CreateConstInBoundsGEP1_64(s_.ptr, frame_.places, number);
    s_.b.CreateStore(s_.b.CreateGEP(s_.i8, s_.b.CreateLoad(s_.ptr, at), distance), at);
  }
}

void ActionEmitter::copy_context(llvm::Value* outer, const ActionFrame& to) {
  const auto field = [&](llvm::Value* context, unsigned number) {
    return s_.b.CreateStructGEP(context_type(s_), context, number);
  };
  const auto copy_all = [&](llvm::Type* type, unsigned which, llvm::Value* own, std::size_t count) {
    llvm::Value* from = s_.b.CreateLoad(s_.ptr, field(outer, which));
    s_.loop(s_.b.getInt64(count), [&](llvm::Value* i) {
      llvm::Value* word = s_.b.CreateLoad(type, s_.b.CreateInBoundsGEP(type, from, i));
      s_.b.CreateStore(word, s_.b.CreateInBoundsGEP(type, own, i));
    });
    s_.b.CreateStore(own, field(to.context, which));
  };
  for (const unsigned same : {context_field::plan, context_field::args})
    s_.b.CreateStore(s_.b.CreateLoad(s_.ptr, field(outer, same)), field(to.context, same));
  copy_all(s_.ptr, context_field::places, to.places, buffers_.place_count());
  copy_all(s_.i64, context_field::turns, to.turns, 2 * turns_.size());
  for (const BufferRef* ref : buffers_.bases())
    if (ref->space == BufferRef::Space::scalar && ref->role == ir::Role::turn) {
      const std::size_t number = buffers_.find(*ref, false).number;
      s_.b.CreateStore(turn_number_at(s_, to.turns, ref->index),
                       s_.b.CreateConstInBoundsGEP1_64(s_.ptr, to.places, number));
    }
}

}  // namespace mlpc::codegen
