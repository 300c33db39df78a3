#include <llvm/IR/InlineAsm.h>
#include <llvm/IR/Intrinsics.h>

#include <algorithm>
#include <map>
#include <optional>

#include "compiler/codegen/kernel_dims.h"
#include "compiler/codegen/model_state.h"
#include "ir/workspace.h"
#include "runtime/abi.h"

// NAME_plan: everything that can be known from the dims, once.

namespace mlpc::codegen {
namespace {

using ir::Dim;

constexpr std::int64_t kGreatestDim = std::int64_t{1} << 40;
constexpr double kGreatestBytes = 0x1p60;

/// Evaluates polynomials in i64 beside f64: where the f64 value stays below 2⁶⁰ on every step, the i64 one is
/// exact.
class CheckedDims {
 public:
  CheckedDims(ModelState& state, llvm::Value* dims) : s_(state), dims_(dims), is_large_(state.b.getFalse()) {}

  llvm::Value* value(const Dim& dim) { return polynomial(dim).exact; }
  llvm::Value* is_large() const { return is_large_; }

 private:
  struct Number {
    llvm::Value *exact, *approximate;
  };

  Number constant(std::int64_t c) {
    return {s_.b.getInt64(static_cast<std::uint64_t>(c)),
            llvm::ConstantFP::get(s_.f64, static_cast<double>(c))};
  }

  Number checked(Number n) {
    llvm::Value* magnitude = s_.b.CreateUnaryIntrinsic(llvm::Intrinsic::fabs, n.approximate);
    is_large_ = s_.b.CreateOr(is_large_,
                              s_.b.CreateFCmpUGT(magnitude, llvm::ConstantFP::get(s_.f64, kGreatestBytes)));
    return n;
  }

  /// Each once, and each of its products without their coefficients: sizes differ in little else.
  Number polynomial(const Dim& dim) {
    if (const std::optional<std::int64_t> c = dim.constant()) return checked(constant(*c));
    if (const auto found = known_.find(dim); found != known_.end()) return found->second;
    Number sum = constant(0);
    const auto add = [&](Number n) {
      sum = checked({s_.b.CreateAdd(sum.exact, n.exact), s_.b.CreateFAdd(sum.approximate, n.approximate)});
    };
    for (const ir::DimTerm& term : dim.terms()) add(times(factors(term), constant(term.coefficient)));
    if (dim.added() != 0) add(constant(dim.added()));
    return known_[dim] = sum;
  }

  Number factors(const ir::DimTerm& term) {
    Dim dim = 1;
    for (const ir::DimFactor& factor : term.factors)
      for (int i = 0; i < factor.power; ++i) dim = dim * Dim::of_atom(factor.atom);
    if (const auto found = products_.find(dim); found != products_.end()) return found->second;
    Number product = constant(1);
    for (const ir::DimFactor& factor : term.factors)
      for (int i = 0; i < factor.power; ++i) product = times(product, atom(factor.atom));
    return products_[dim] = product;
  }

  Number times(Number a, Number b) {
    return checked({s_.b.CreateMul(a.exact, b.exact), s_.b.CreateFMul(a.approximate, b.approximate)});
  }

  /// The atoms' own rules are emit_dim's; here only their operands are watched.
  Number atom(const ir::DimAtom& a) {
    for (const Dim& operand : a.operands) polynomial(operand);
    llvm::Value* exact = emit_dim(s_.b, Dim::of_atom(a), dims_, s_.dims());
    return {exact, s_.b.CreateSIToFP(exact, s_.f64)};
  }

  ModelState& s_;
  llvm::Value* dims_;
  llvm::Value* is_large_;
  std::map<Dim, Number> known_, products_;
};

llvm::Value* cpuid(ModelState& s, std::uint32_t leaf, unsigned result) {
  auto* type = llvm::StructType::get(s.context, {s.i32, s.i32, s.i32, s.i32});
  auto* code = llvm::InlineAsm::get(llvm::FunctionType::get(type, {s.i32, s.i32}, false), "cpuid",
                                    "={ax},={bx},={cx},={dx},{ax},{cx},~{dirflag},~{fpsr},~{flags}", true);
  return s.b.CreateExtractValue(s.b.CreateCall(code, {s.b.getInt32(leaf), s.b.getInt32(0)}), result);
}

/// Whether all bits of the mask are missing none.
llvm::Value* has_all(ModelState& s, llvm::Value* word, std::uint32_t mask) {
  return s.b.CreateICmpEQ(s.b.CreateAnd(word, s.b.getInt32(mask)), s.b.getInt32(mask));
}

/// Intel's Software Developer's Manual, CPUID and XGETBV: what the levels v3 and v4 of the x86-64 psABI
/// consist of, and that the system saves the registers.
void check_cpu(ModelState& s) {
  constexpr unsigned kEbx = 1, kEcx = 2;
  constexpr std::uint32_t kLeaf1 =
      1U << 12 | 1U << 22 | 1U << 27 | 1U << 28 | 1U << 29;      // FMA MOVBE OSXSAVE AVX F16C
  constexpr std::uint32_t kLeaf7 = 1U << 3 | 1U << 5 | 1U << 8;  // BMI1 AVX2 BMI2
  constexpr std::uint32_t kLeaf7Avx512 =
      1U << 16 | 1U << 17 | 1U << 28 | 1U << 30 | 1U << 31;  // F DQ CD BW VL
  constexpr std::uint32_t kLzcnt = 1U << 5;
  const bool is_v4 = s.target.name == "x86-64-v4";
  if (!is_v4 && s.target.name != "x86-64-v3") return;
  const auto unsupported_unless = [&](llvm::Value* condition) {
    s.return_if(s.b.CreateNot(condition), MLPC_UNSUPPORTED_CPU);
  };
  unsupported_unless(has_all(s, cpuid(s, 1, kEcx), kLeaf1));
  unsupported_unless(has_all(s, cpuid(s, 7, kEbx), is_v4 ? kLeaf7 | kLeaf7Avx512 : kLeaf7));
  unsupported_unless(has_all(s, cpuid(s, 0x80000001, kEcx), kLzcnt));
  auto* pair = llvm::StructType::get(s.context, {s.i32, s.i32});
  auto* xgetbv =
      llvm::InlineAsm::get(llvm::FunctionType::get(pair, {s.i32}, false), "xgetbv", "={ax},={dx},{cx}", true);
  llvm::Value* enabled = s.b.CreateExtractValue(s.b.CreateCall(xgetbv, {s.b.getInt32(0)}), 0);
  unsupported_unless(has_all(s, enabled, is_v4 ? 0xe6 : 0x06));
}

/// Every extent that the entry depends on is reckoned once with its overflow in sight.
void check_sizes(ModelState& s, CheckedDims& checked, const ir::LoweredEntry& entry) {
  const auto look = [&](const ir::Type& type) { checked.value(type.element_count() * Dim(8)); };
  for (std::uint32_t input : entry.inputs) look(s.program.header.inputs[input].type);
  for (const auto& result : entry.results) look(result.type);
  s.return_if(checked.is_large(), MLPC_TOO_LARGE);
}

/// It is what finds out whether the processor has the other functions' instructions.
void compile_for_any_processor(ModelState& s, llvm::Function* f) {
  if (s.target.triple.starts_with("x86_64")) f->addFnAttr("target-cpu", "x86-64");
}

/// i64(ptr tail, ptr above, i64 i): where the place i begins, when the tail holds the ends of those before.
/// `above` has, for the places and behind them, where each one's list begins; then the lists.
llvm::Function* begin_function(ModelState& s) {
  return s.shared("begin_of_place", s.i64, {s.ptr, s.ptr, s.i64}, [&](llvm::Function* f) {
    compile_for_any_processor(s, f);
    llvm::Value *tail = f->getArg(0), *above = f->getArg(1), *i = f->getArg(2);
    const auto load = [&](llvm::Value* from, llvm::Value* at) {
      return s.b.CreateLoad(s.i64, s.b.CreateInBoundsGEP(s.i64, from, at));
    };
    llvm::Value* highest = s.b.CreateAlloca(s.i64);
    s.b.CreateStore(s.b.getInt64(0), highest);
    llvm::Value *first = load(above, i), *last = load(above, s.b.CreateAdd(i, s.b.getInt64(1)));
    s.loop(s.b.CreateSub(last, first), [&](llvm::Value* k) {
      llvm::Value *end = load(tail, load(above, s.b.CreateAdd(first, k))),
                  *so_far = s.b.CreateLoad(s.i64, highest);
      s.b.CreateStore(s.b.CreateSelect(s.b.CreateICmpUGT(end, so_far), end, so_far), highest);
    });
    s.b.CreateRet(s.b.CreateLoad(s.i64, highest));
  });
}

/// i1(ptr plan, ptr above, i64 count): makes the sizes of places, in the plan's tail, their offsets; whether
/// one ends too far behind. First sizes become ends, from the lowest to the highest; then ends offsets, from
/// the highest to the lowest, so that those are ends still that a place is above.
llvm::Function* lay_out_function(ModelState& s) {
  return s.shared("lay_out", s.i1, {s.ptr, s.ptr, s.i64}, [&](llvm::Function* f) {
    compile_for_any_processor(s, f);
    llvm::Value *above = f->getArg(1), *count = f->getArg(2);
    llvm::Value* sum_at = s.plan_at(f->getArg(0), plan_field::workspace_bytes);
    llvm::Value* tail = s.plan_at(f->getArg(0), plan_field::offsets);
    const auto begin_of = [&](llvm::Value* i) { return s.b.CreateCall(begin_function(s), {tail, above, i}); };
    s.b.CreateStore(s.b.getInt64(0), sum_at);
    s.loop(count, [&](llvm::Value* i) {
      llvm::Value* place = s.b.CreateInBoundsGEP(s.i64, tail, i);
      llvm::Value *bytes = s.b.CreateLoad(s.i64, place), *sum = s.b.CreateLoad(s.i64, sum_at);
      llvm::Value* end = s.b.CreateAdd(begin_of(i), rounded_slot_bytes(s, bytes));
      s.b.CreateStore(end, place);
      s.b.CreateStore(s.b.CreateSelect(s.b.CreateICmpUGT(end, sum), end, sum), sum_at);
    });
    s.loop(count, [&](llvm::Value* k) {
      llvm::Value* i = s.b.CreateSub(s.b.CreateSub(count, s.b.getInt64(1)), k);
      s.b.CreateStore(begin_of(i), s.b.CreateInBoundsGEP(s.i64, tail, i));
    });
    s.b.CreateRet(s.b.CreateICmpUGT(s.b.CreateLoad(s.i64, sum_at),
                                    s.b.getInt64(static_cast<std::uint64_t>(kGreatestBytes))));
  });
}

/// What begin_function reads of the places.
llvm::Constant* above_table(ModelState& s, const std::string& entry,
                            const std::vector<ir::WorkspaceSlot>& places) {
  std::vector<std::uint64_t> data, lists;
  for (const ir::WorkspaceSlot& place : places) {
    data.push_back(places.size() + 1 + lists.size());
    lists.insert(lists.end(), place.above.begin(), place.above.end());
  }
  data.push_back(places.size() + 1 + lists.size());
  data.insert(data.end(), lists.begin(), lists.end());
  llvm::Constant* value = llvm::ConstantDataArray::get(s.context, data);
  return new llvm::GlobalVariable(s.module, value->getType(), true, llvm::GlobalValue::PrivateLinkage, value,
                                  entry + ".above");
}

/// ir::slot_bytes, for the plan's workers.
llvm::Value* size_of_place(ModelState& s, CheckedDims& checked, llvm::Value* plan,
                           const ir::WorkspaceSlot& place) {
  llvm::Value* bytes = checked.value(place.bytes);
  if (!place.tasks) return bytes;
  const auto& [count, part] = *place.tasks;
  checked.value((part + Dim(ir::kSlotAlignment)) * count);  // no more than that
  llvm::Value *tasks = checked.value(count),
              *workers = s.b.CreateLoad(s.i64, s.plan_at(plan, plan_field::workers));
  llvm::Value* rooms = s.b.CreateMul(workers, rounded_slot_bytes(s, checked.value(part)));
  return s.b.CreateSelect(s.b.CreateICmpSLT(workers, tasks), rooms, bytes);
}

void plan_entry(ModelState& s, const ir::LoweredEntry& entry, llvm::Value* plan, llvm::Value* dims) {
  const int kind = entry_kind(entry.name);
  if (kind == MLPC_GRAD || kind == MLPC_TRAIN_STEP || kind == MLPC_HVP)
    for (std::size_t i = 0; i < s.dims().size(); ++i) {
      llvm::Value* dim = s.b.CreateLoad(s.i64, s.b.CreateConstInBoundsGEP1_64(s.i64, dims, i));
      s.return_if(s.b.CreateICmpEQ(dim, s.b.getInt64(0)), MLPC_BAD_DIM);
    }
  CheckedDims checked(s, dims);
  check_sizes(s, checked, entry);
  llvm::Value* tail = s.plan_at(plan, plan_field::offsets);
  const std::vector<ir::WorkspaceSlot>& places = s.workspace(entry).places;
  for (std::size_t i = 0; i < places.size(); ++i)
    s.b.CreateStore(size_of_place(s, checked, plan, places[i]),
                    s.b.CreateConstInBoundsGEP1_64(s.i64, tail, i));
  s.return_if(checked.is_large(), MLPC_TOO_LARGE);
  llvm::Constant* above = above_table(s, entry.name, places);
  s.return_if(s.b.CreateCall(lay_out_function(s), {plan, above, s.b.getInt64(places.size())}),
              MLPC_TOO_LARGE);
  s.b.CreateStore(s.b.getInt64(s.magic(entry)), s.plan_at(plan, plan_field::magic));
  s.b.CreateRet(s.b.getInt32(MLPC_OK));
}

/// Copies the dims into the plan, each in its range, and looks at the relations between them.
void take_dims(ModelState& s, llvm::Value* from, llvm::Value* to) {
  for (std::size_t i = 0; i < s.dims().size(); ++i) {
    llvm::Value* dim = s.b.CreateLoad(s.i64, s.b.CreateConstInBoundsGEP1_64(s.i64, from, i));
    s.return_if(s.b.CreateICmpUGT(dim, s.b.getInt64(kGreatestDim)), MLPC_BAD_DIM);
    s.b.CreateStore(dim, s.b.CreateConstInBoundsGEP1_64(s.i64, to, i));
  }
  for (const ir::DimCheck& check : s.program.header.checks) {
    CheckedDims checked(s, to);
    llvm::Value *left = checked.value(check.left), *right = checked.value(check.right);
    s.return_if(checked.is_large(), MLPC_TOO_LARGE);
    const bool is_equal = check.relation == ir::DimCheck::Relation::equal;
    s.return_if(is_equal ? s.b.CreateICmpNE(left, right) : s.b.CreateICmpSLT(left, right), MLPC_CHECK_FAILED);
  }
}

}  // namespace

llvm::Value* rounded_slot_bytes(ModelState& s, llvm::Value* bytes) {
  constexpr std::uint64_t kLast = ir::kSlotAlignment - 1;
  return s.b.CreateAnd(s.b.CreateAdd(bytes, s.b.getInt64(kLast)), s.b.getInt64(~kLast));
}

void emit_plan(ModelState& s) {
  llvm::Function* f = s.exported("plan", s.i32, {s.ptr, s.ptr, s.i32, s.i32});
  compile_for_any_processor(s, f);
  llvm::Value *plan = f->getArg(0), *dims = f->getArg(1), *workers = f->getArg(2), *kind = f->getArg(3);
  s.begin(f);
  s.return_if(s.b.CreateIsNull(plan), MLPC_BAD_PLAN);
  if (!s.dims().empty()) s.return_if(s.b.CreateIsNull(dims), MLPC_NULL_POINTER);
  s.b.CreateStore(s.b.getInt64(0), s.plan_at(plan, plan_field::magic));  // no plan until all is well
  s.return_if(s.b.CreateICmpUGT(s.b.CreateSub(workers, s.b.getInt32(1)), s.b.getInt32(1023)),
              MLPC_BAD_WORKERS);
  check_cpu(s);
  llvm::Value* own_dims = s.plan_at(plan, plan_field::dims);
  take_dims(s, dims, own_dims);
  const llvm::DataLayout& layout = s.module.getDataLayout();
  s.b.CreateStore(s.b.getInt32(static_cast<std::uint32_t>(layout.getTypeAllocSize(s.plan_type))),
                  s.plan_at(plan, plan_field::size));
  s.b.CreateStore(s.b.getInt32(MLPC_ABI_VERSION), s.plan_at(plan, plan_field::abi));
  s.b.CreateStore(s.b.CreateZExt(workers, s.i64), s.plan_at(plan, plan_field::workers));
  auto* none = llvm::BasicBlock::Create(s.context, "none", f);
  llvm::SwitchInst* choose = s.b.CreateSwitch(kind, none);
  s.b.SetInsertPoint(none);
  s.b.CreateRet(s.b.getInt32(static_cast<std::uint32_t>(MLPC_BAD_ENTRY)));
  for (const ir::LoweredEntry& entry : s.program.entries) {
    auto* block = llvm::BasicBlock::Create(s.context, entry.name, f);
    choose->addCase(s.b.getInt32(static_cast<std::uint32_t>(entry_kind(entry.name))), block);
    s.b.SetInsertPoint(block);
    plan_entry(s, entry, plan, own_dims);
  }
}

}  // namespace mlpc::codegen
