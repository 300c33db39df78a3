#include "compiler/codegen/model_call.h"

#include <llvm/IR/Constants.h>

namespace mlpc::codegen {
namespace {

using ir::BufferRef;
using Space = ir::BufferRef::Space;

/// The place's name. All tensors of one of the caller's buffers have one, unless it moves with the turns.
std::string key_of(const BufferRef& ref, bool in_turn) {
  const bool is_moved = in_turn && !ref.offsets.empty();
  const bool has_own = ref.space == Space::input || ref.space == Space::result || ref.space == Space::scalar;
  std::string key = fmt::format("{} {} {}", static_cast<int>(ref.space), static_cast<int>(ref.role),
                                has_own || is_moved ? ref.index : 0);
  if (!is_moved) return key;
  for (const ir::TurnOffset& offset : ref.offsets)
    key += fmt::format(" {} {} ({}) ({})", static_cast<int>(offset.kind), offset.loop, offset.length.text(),
                       offset.bytes.text());
  return key;
}

const std::vector<ir::TensorInfo>* table_of(const ir::Program& header, Space space) {
  switch (space) {
    case Space::params:
    case Space::grads:
    case Space::tangents:
      return &header.params;
    case Space::state:
    case Space::state_out:
      return &header.state;
    case Space::slots:
      return &header.slots;
    case Space::input:
    case Space::result:
    case Space::workspace:
    case Space::scalar:
    case Space::number:
      break;
  }
  return nullptr;
}

llvm::Value* field_of(ModelState& s, llvm::Value* context, unsigned field) {
  return s.b.CreateStructGEP(context_type(s), context, field);
}

llvm::FunctionType* kernel_type(ModelState& s) {
  return llvm::FunctionType::get(s.b.getVoidTy(), {s.ptr, s.i64, s.ptr}, false);
}

void call_kernel(ModelState& s, llvm::Value* context, llvm::Value* task) {
  llvm::Value* kernel = s.b.CreateLoad(s.ptr, field_of(s, context, context_field::kernel));
  llvm::Value* plan = s.b.CreateLoad(s.ptr, field_of(s, context, context_field::plan));
  s.b.CreateCall(kernel_type(s), kernel,
                 {s.plan_at(plan, plan_field::dims), task, field_of(s, context, context_field::buffers)});
}

/// void(ptr context, i64 task, i32 worker): what the hook calls.
llvm::FunctionType* task_type(ModelState& s) {
  return llvm::FunctionType::get(s.b.getVoidTy(), {s.ptr, s.i64, s.i32}, false);
}

/// Runs a task of the context's kernel.
llvm::Function* task_function(ModelState& s) {
  return s.beside("task", s.b.getVoidTy(), {s.ptr, s.i64, s.i32}, [&](llvm::Function* f) {
    call_kernel(s, f->getArg(0), f->getArg(1));
    s.b.CreateRetVoid();
  });
}

/// void(ptr context, ptr kernel, ptr refs, i64 n): writes down which kernel runs, and where its buffers are.
llvm::Function* find_function(ModelState& s) {
  return s.shared("find", s.b.getVoidTy(), {s.ptr, s.ptr, s.ptr, s.i64}, [&](llvm::Function* f) {
    llvm::Value *context = f->getArg(0), *refs = f->getArg(2);
    s.b.CreateStore(f->getArg(1), field_of(s, context, context_field::kernel));
    llvm::Value* places = s.b.CreateLoad(s.ptr, field_of(s, context, context_field::places));
    llvm::Value* buffers = field_of(s, context, context_field::buffers);
    auto* pair = llvm::ArrayType::get(s.i64, 2);
    s.loop(f->getArg(3), [&](llvm::Value* i) {
      llvm::Value* ref = s.b.CreateInBoundsGEP(pair, refs, i);
      llvm::Value* number = s.b.CreateLoad(s.i64, ref);
      llvm::Value* bytes = s.b.CreateLoad(s.i64, s.b.CreateConstInBoundsGEP1_64(s.i64, ref, 1));
      llvm::Value* place = s.b.CreateLoad(s.ptr, s.b.CreateInBoundsGEP(s.ptr, places, number));
      s.b.CreateStore(s.b.CreateInBoundsGEP(s.i8, place, bytes), s.b.CreateInBoundsGEP(s.ptr, buffers, i));
    });
    s.b.CreateRetVoid();
  });
}

}  // namespace

llvm::StructType* context_type(ModelState& s) {
  std::size_t most_buffers = 0;
  for (const ir::Kernel& kernel : s.program.kernels)
    most_buffers = std::max(most_buffers, kernel.buffers.size());
  return llvm::StructType::get(
      s.context, {s.ptr, s.ptr, s.ptr, s.ptr, s.ptr, llvm::ArrayType::get(s.ptr, most_buffers)});
}

llvm::StructType* call_type(ModelState& s) {
  return llvm::StructType::get(s.context, {s.ptr, s.i32, s.i32, s.i32});
}

llvm::Function* run_calls_function(ModelState& s, bool in_task) {
  std::vector<llvm::Type*> parameters = {s.ptr, s.ptr, s.i64, s.ptr, s.ptr};
  if (in_task) parameters.push_back(s.i64);
  return s.shared(in_task ? "run_in_task" : "run", s.b.getVoidTy(), parameters, [&](llvm::Function* f) {
    llvm::Value *context = f->getArg(0), *refs = f->getArg(3), *counts = f->getArg(4);
    s.loop(f->getArg(2), [&](llvm::Value* i) {
      llvm::Value* call = s.b.CreateInBoundsGEP(call_type(s), f->getArg(1), i);
      const auto field = [&](unsigned which) { return s.b.CreateStructGEP(call_type(s), call, which); };
      const auto number = [&](unsigned which) {
        return s.b.CreateZExt(s.b.CreateLoad(s.i32, field(which)), s.i64);
      };
      llvm::Value* count =
          s.b.CreateLoad(s.i64, s.b.CreateInBoundsGEP(s.i64, counts, number(call_field::count)));
      auto* made = llvm::BasicBlock::Create(s.context, "made", f);
      auto* next = llvm::BasicBlock::Create(s.context, "next", f);
      s.b.CreateCondBr(s.b.CreateICmpSGT(count, s.b.getInt64(0)), made, next);
      s.b.SetInsertPoint(made);
      s.b.CreateCall(find_function(s), {context, s.b.CreateLoad(s.ptr, field(call_field::kernel)),
                                        s.b.CreateInBoundsGEP(s.i64, refs, number(call_field::first_ref)),
                                        number(call_field::refs)});
      if (in_task)
        call_kernel(s, context, f->getArg(5));
      else
        s.b.CreateCall(fork_function(s), {context, task_function(s), count});
      s.b.CreateBr(next);
      s.b.SetInsertPoint(next);
    });
    s.b.CreateRetVoid();
  });
}

llvm::Function* fork_function(ModelState& s) {
  return s.shared("fork", s.b.getVoidTy(), {s.ptr, s.ptr, s.i64}, [&](llvm::Function* f) {
    llvm::Value *context = f->getArg(0), *task = f->getArg(1), *tasks = f->getArg(2);
    llvm::Value* args = s.b.CreateLoad(s.ptr, field_of(s, context, context_field::args));
    llvm::Value* parallel = s.b.CreateLoad(s.ptr, s.args_at(args, args_field::parallel));
    auto* hook = llvm::BasicBlock::Create(s.context, "hook", f);
    auto* serial = llvm::BasicBlock::Create(s.context, "serial", f);
    llvm::Value* is_worth = s.b.CreateICmpSGT(tasks, s.b.getInt64(1));
    s.b.CreateCondBr(s.b.CreateAnd(s.b.CreateIsNotNull(parallel), is_worth), hook, serial);
    s.b.SetInsertPoint(hook);
    auto* hook_type = llvm::FunctionType::get(s.b.getVoidTy(), {s.ptr, s.i64, s.ptr, s.ptr}, false);
    llvm::Value* host = s.b.CreateLoad(s.ptr, s.args_at(args, args_field::host));
    s.b.CreateCall(hook_type, parallel, {host, tasks, task, context});
    s.b.CreateRetVoid();
    s.b.SetInsertPoint(serial);
    s.loop(tasks, [&](llvm::Value* i) { s.b.CreateCall(task_type(s), task, {context, i, s.b.getInt32(0)}); });
    s.b.CreateRetVoid();
  });
}

BufferTable::BufferTable(const ir::Program& header, const ir::LoweredEntry& entry,
                         const WorkspacePlaces& workspace)
    : header_(header), workspace_(workspace), name_(entry.name), place_count_(workspace.places.size()) {
  note(entry.actions);
}

void BufferTable::note(const std::vector<ir::Action>& actions) {
  for (const ir::Action& action : actions) {
    if (const auto* check = std::get_if<ir::FiniteCheck>(&action.kind)) note(check->value);
    if (const std::vector<ir::Action>* inside = ir::actions_inside(action)) note(*inside);
    if (const auto* call = std::get_if<ir::KernelCall>(&action.kind)) {
      for (const BufferRef& ref : call->buffers) note(ref);
      buffer_count_ += call->buffers.size();
    }
  }
}

void BufferTable::note(const BufferRef& ref) {
  if (ref.space == Space::number) numbers_in_calls_.try_emplace(ref.number, numbers_in_calls_.size());
  if (ref.space != Space::workspace && numbers_.try_emplace(key_of(ref, false), place_count_).second) {
    bases_.push_back(&ref);
    ++place_count_;
  }
  if (!ref.offsets.empty() && numbers_.try_emplace(key_of(ref, true), place_count_).second) ++place_count_;
}

BufferTable::Place BufferTable::find(const BufferRef& ref, bool in_turn) const {
  if (in_turn && !ref.offsets.empty()) return {numbers_.at(key_of(ref, true))};
  if (ref.space == Space::workspace) return {workspace_.of_slot[ref.index]};
  if (ref.space == Space::number)
    return {numbers_.at(key_of(ref, false)),
            static_cast<std::int64_t>(numbers_in_calls_.at(ref.number) * sizeof(std::int64_t))};
  const std::vector<ir::TensorInfo>* table = table_of(header_, ref.space);
  return {numbers_.at(key_of(ref, false)), table ? (*table)[ref.index].offset : 0};
}

std::size_t BufferTable::add_call(const ir::KernelCall& call) {
  const std::size_t first = data_.size();
  for (const BufferRef& ref : call.buffers) {
    const Place place = find(ref);
    data_.push_back(place.number);
    data_.push_back(static_cast<std::uint64_t>(place.bytes));
  }
  return first;
}

llvm::Value* BufferTable::refs(ModelState& s) {
  if (!global_) {
    auto* type = llvm::ArrayType::get(s.i64, 2 * buffer_count_);
    global_ = new llvm::GlobalVariable(s.module, type, true, llvm::GlobalValue::PrivateLinkage,
                                       llvm::ConstantAggregateZero::get(type), name_ + ".buffers");
  }
  return global_;
}

llvm::Value* BufferTable::numbers(ModelState& s) const {
  std::vector<std::uint64_t> values(numbers_in_calls_.size());
  for (const auto& [value, at] : numbers_in_calls_) values[at] = static_cast<std::uint64_t>(value);
  llvm::Constant* data = llvm::ConstantDataArray::get(s.context, values);
  return new llvm::GlobalVariable(s.module, data->getType(), true, llvm::GlobalValue::PrivateLinkage, data,
                                  name_ + ".numbers");
}

void BufferTable::finish(ModelState& s) {
  if (global_) global_->setInitializer(llvm::ConstantDataArray::get(s.context, data_));
}

}  // namespace mlpc::codegen
