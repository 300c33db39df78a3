#include "compiler/codegen/kernel_codegen.h"

#include <algorithm>
#include <array>
#include <numeric>

#include "compiler/codegen/kernel_nest.h"
#include "ir/kernel_tasks.h"

namespace mlpc::codegen {
namespace {

TurnRange task_range(KernelState& state, const ir::Dim& extent, std::int64_t block, llvm::Value* number) {
  llvm::IRBuilder<>& builder = state.builder;
  const std::optional<std::int64_t> constant = extent.constant();
  if (constant && *constant <= block) return {state.int64(0), state.int64(*constant), constant};
  llvm::Value* low = builder.CreateNSWMul(number, state.int64(block));
  llvm::Value* end = builder.CreateNSWAdd(low, state.int64(block));
  if (constant && *constant % block == 0) return {low, end, block};
  llvm::Value* high = builder.CreateBinaryIntrinsic(llvm::Intrinsic::smin, end, state.dim_value(extent));
  return {low, high, std::nullopt, std::gcd(block, multiple_in(extent))};
}

std::map<ir::VarId, TurnRange> task_ranges(KernelState& state) {
  std::map<ir::VarId, TurnRange> ranges;
  llvm::Value* rest = state.function.getArg(1);
  for (std::size_t i = state.kernel.tasks.size(); i-- > 0;) {
    const ir::TaskSplit& split = state.kernel.tasks[i];
    llvm::Value* number = rest;
    if (i > 0) {
      llvm::Value* count = state.dim_value(ir::task_count(state.kernel, split));
      number = state.builder.CreateURem(rest, count);
      rest = state.builder.CreateUDiv(rest, count);
    }
    ranges[split.var] = task_range(state, ir::task_extent(state.kernel, split), split.block, number);
  }
  return ranges;
}

/// Whether all that is computed from random bits, such as initial weights, is computed in 64 bits. Vectors
/// have half of the target's lanes then, so each operation is one instruction, not two.
struct WideDraws {
  bool are_there = false, is_all = true;
  void note(const ir::Block& block) {
    for (const ir::Statement& statement : block) {
      std::visit(
          [&](const auto& kind) {
            if constexpr (requires { kind.body; }) note(kind.body);
          },
          statement.kind);
      is_all &= !std::holds_alternative<ir::Reduce>(statement.kind);
      const auto* let = std::get_if<ir::Let>(&statement.kind);
      if (!let || let->operands.empty() || let->op == ir::ScalarOp::convert_) continue;
      are_there |= let->op == ir::ScalarOp::random_bits_;
      is_all &= ir::size_of(let->type) == 8 || let->type == ir::ElementType::boolean;
    }
  }
};

}  // namespace

llvm::Function* declare_kernel(llvm::Module& module, const ir::Kernel& kernel) {
  llvm::LLVMContext& context = module.getContext();
  llvm::Type* pointer = llvm::PointerType::getUnqual(context);
  const std::array<llvm::Type*, 3> parameters = {pointer, llvm::Type::getInt64Ty(context), pointer};
  auto* type = llvm::FunctionType::get(llvm::Type::getVoidTy(context), parameters, false);
  auto* function = llvm::Function::Create(type, llvm::Function::InternalLinkage, kernel.name, module);
  function->addFnAttr(llvm::Attribute::NoUnwind);
  // A switch over the sizes of a tile is a few compares; a table would be data with relocations.
  function->addFnAttr("no-jump-tables", "true");
  function->getArg(0)->setName("dims");
  function->getArg(1)->setName("task");
  function->getArg(2)->setName("buffers");
  return function;
}

llvm::Function* emit_kernel(llvm::Module& module, const ir::Kernel& kernel, const ir::Target& target,
                            std::span<const std::string> dim_names, bool shares_memory) {
  const KernelFacts facts = check_kernel(kernel);
  llvm::Function* function = declare_kernel(module, kernel);
  try {
    llvm::BasicBlock* entry = llvm::BasicBlock::Create(module.getContext(), "entry", function);
    llvm::BasicBlock* body = llvm::BasicBlock::Create(module.getContext(), "body", function);
    llvm::IRBuilder<> builder(entry);
    std::vector<llvm::Value*> buffers;
    for (const ir::KernelBuffer& buffer : kernel.buffers) {
      llvm::Value* place =
          builder.CreateConstInBoundsGEP1_64(builder.getPtrTy(), function->getArg(2), buffers.size());
      buffers.push_back(builder.CreateLoad(builder.getPtrTy(), place, buffer.name));
    }
    builder.CreateBr(body);
    builder.SetInsertPoint(body);
    DimValues dims(*entry, function->getArg(0), dim_names);
    KernelState state{kernel, facts, target, *function, builder, dims, std::move(buffers), shares_memory};
    WideDraws draws;
    draws.note(kernel.body);
    if (draws.are_there && draws.is_all) state.lanes = std::max(target.lanes / 2, 1);
    NestEmitter(state, task_ranges(state)).emit(kernel.body);
    builder.CreateRetVoid();
  } catch (...) {
    function->eraseFromParent();
    throw;
  }
  merge_blocks(*function);
  return function;
}

}  // namespace mlpc::codegen
