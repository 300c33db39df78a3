#include "compiler/codegen/kernel_memory.h"

#include <fmt/format.h>

#include <algorithm>

#include "compiler/codegen/kernel_control.h"

namespace mlpc::codegen {
namespace {

using ir::Dim;
using ir::ElementType;

/// Enough of a proof: a sum of products of names.
bool surely_not_negative(const Dim& dim) {
  return dim.added() >= 0 && std::ranges::all_of(dim.terms(), [](const ir::DimTerm& term) {
           return term.coefficient >= 0 && std::ranges::all_of(term.factors, [](const ir::DimFactor& factor) {
                    return factor.atom.kind == ir::DimAtom::Kind::name;
                  });
         });
}

bool lane_exists(llvm::Value* mask, int lane) {
  const auto* constant = llvm::dyn_cast_or_null<llvm::Constant>(mask);
  return !constant || !constant->getAggregateElement(static_cast<unsigned>(lane))->isNullValue();
}

}  // namespace

const Access& Memory::access_of(const void* statement, ir::BufferId buffer,
                                const std::vector<ir::AffineIndex>& index, bool may_miss) {
  auto found = accesses_.find(statement);
  if (found == accesses_.end())
    found = accesses_.emplace(statement, make_access(buffer, index, may_miss)).first;
  return found->second;
}

Access Memory::make_access(ir::BufferId buffer, const std::vector<ir::AffineIndex>& index, bool may_miss) {
  const ir::Type& type = state_.kernel.buffers[buffer.index].type;
  Access access{.buffer = buffer, .element = type.element, .form = 0};
  Dim stride = 1, constant;
  for (std::size_t axis = index.size(); axis-- > 0;) {
    constant = constant + index[axis].constant * stride;
    for (const ir::AffineIndex::Term& term : index[axis].terms) {
      Dim& coefficient = access.coefficients[term.var];
      coefficient = coefficient + term.coefficient * stride;
    }
    add_all(access.vars, vars_of(index[axis]));
    if (index[axis].scalar) {
      access.gathers.emplace_back(*index[axis].scalar, stride);
      add_all(access.vars, state_.facts.vars_of[index[axis].scalar->index]);
    }
    stride = stride * type.shape[axis];
  }
  std::erase_if(access.coefficients, [](const auto& entry) { return entry.second == Dim(0); });
  access.constant = constant.added();
  access.varying_constant = constant - Dim(access.constant);
  access.rises = !may_miss && surely_not_negative(constant);
  std::string key =
      fmt::format("{}:{}{}", buffer.index, access.varying_constant.text(), may_miss ? " guarded" : "");
  for (const auto& [var, coefficient] : access.coefficients) {
    access.rises = access.rises && surely_not_negative(coefficient);
    key += fmt::format(" {}:{}", var.index, coefficient.text());
  }
  access.form = forms_.emplace(std::move(key), static_cast<std::uint32_t>(forms_.size())).first->second;
  return access;
}

llvm::Value* Memory::offset_by(const Access& access, llvm::Value* pointer, llvm::Value* elements,
                               bool inside) {
  if (const auto* constant = llvm::dyn_cast<llvm::ConstantInt>(elements); constant && constant->isZero())
    return pointer;
  llvm::Type* type = state_.memory_type(access.element);
  return inside && access.rises ? state_.builder.CreateInBoundsGEP(type, pointer, elements)
                                : state_.builder.CreateGEP(type, pointer, elements);
}

llvm::Value* Memory::root_pointer(const Access& access) {
  llvm::Value* buffer = state_.buffers[access.buffer.index];
  if (access.varying_constant == Dim(0)) return buffer;
  llvm::Value*& root = roots_[access.form];
  if (!root) {
    llvm::Value* elements = state_.dim_value(access.varying_constant);
    llvm::IRBuilder<>::InsertPointGuard guard(state_.builder);
    state_.builder.SetInsertPoint(state_.function.getEntryBlock().getTerminator());
    root = offset_by(access, buffer, elements, true);
  }
  return root;
}

llvm::Value* Memory::running_pointer(const Access& access, std::size_t levels) {
  while (levels > 0 && !access.coefficients.contains(state_.open[levels - 1].var)) --levels;
  if (levels == 0) return root_pointer(access);
  OpenVar& open = state_.open[levels - 1];
  std::pair<std::uint32_t, std::vector<int>> key{access.form, {}};
  for (std::size_t level = 0; level < levels; ++level) {
    const auto coefficient = access.coefficients.find(state_.open[level].var);
    const bool by_instance = coefficient != access.coefficients.end() && !coefficient->second.is_constant();
    key.second.push_back(by_instance ? state_.chosen[level] : 0);
  }
  const auto found = open.pointers.find(key);
  if (found != open.pointers.end()) return found->second;
  llvm::Value* outer = running_pointer(access, levels - 1);
  return open.pointers[key] = advance(access, outer, levels - 1);
}

llvm::Value* Memory::advance(const Access& access, llvm::Value* pointer, std::size_t level) {
  const OpenVar& open = state_.open[level];
  const Dim& coefficient = access.coefficients.at(open.var);
  llvm::Value* factor = state_.dim_value(coefficient);
  llvm::Value* instance_offset = state_.int64(0);
  if (!coefficient.is_constant())
    instance_offset = state_.dim_value(
        coefficient * Dim(open.tile.offset + std::int64_t{state_.chosen[level]} * open.tile.width));
  llvm::IRBuilder<>::InsertPointGuard guard(state_.builder);
  state_.builder.SetInsertPoint(open.hoist);
  llvm::Value* elements = state_.builder.CreateNSWMul(open.tile.base, factor);
  return offset_by(access, offset_by(access, pointer, elements, true), instance_offset, true);
}

std::int64_t Memory::displacement(const Access& access) const {
  Dim sum = access.constant;
  for (std::size_t level = 0; level < state_.open.size(); ++level) {
    const auto coefficient = access.coefficients.find(state_.open[level].var);
    if (coefficient == access.coefficients.end() || !coefficient->second.is_constant()) continue;
    const Tile& tile = state_.open[level].tile;
    sum = sum + coefficient->second * Dim(tile.offset + std::int64_t{state_.chosen[level]} * tile.width);
  }
  return *sum.constant();
}

llvm::Value* Memory::pointer_to(const Access& access) {
  llvm::Value* pointer = running_pointer(access, state_.open.size());
  pointer = offset_by(access, pointer, state_.int64(displacement(access)), true);
  for (const auto& [scalar, stride] : access.gathers) {
    llvm::Value* index = state_.value_of(scalar);
    if (index->getType()->isVectorTy()) continue;
    pointer = offset_by(access, pointer, state_.builder.CreateMul(index, state_.dim_value(stride)), false);
  }
  return pointer;
}

bool Memory::is_contiguous(const Access& access, std::size_t level) const {
  const auto coefficient = access.coefficients.find(state_.open[level].var);
  return coefficient != access.coefficients.end() && coefficient->second == Dim(1) &&
         std::ranges::all_of(access.gathers, [&](const auto& gather) {
           return !contains(state_.facts.vars_of[gather.first.index], state_.open[level].var);
         });
}

llvm::Value* Memory::lane_offsets(const Access& access, std::size_t level, int width) {
  const auto coefficient = access.coefficients.find(state_.open[level].var);
  llvm::Value* offsets = state_.widened(state_.int64(0), width);
  if (coefficient != access.coefficients.end())
    offsets = state_.builder.CreateMul(state_.lane_numbers(width),
                                       state_.widened(state_.dim_value(coefficient->second), width));
  for (const auto& [scalar, stride] : access.gathers) {
    llvm::Value* index = state_.value_of(scalar);
    if (!index->getType()->isVectorTy()) continue;
    llvm::Value* elements = state_.builder.CreateMul(index, state_.widened(state_.dim_value(stride), width));
    offsets = state_.builder.CreateAdd(offsets, elements);
  }
  return offsets;
}

void Memory::for_each_lane(const Access& access, std::size_t level,
                           const std::function<void(int, llvm::Value*)>& each) {
  const int width = state_.open[level].tile.width;
  llvm::Value* mask = state_.mask_at(level);
  llvm::Value* pointer = pointer_to(access);
  llvm::Value* offsets = lane_offsets(access, level, width);
  if (mask && !llvm::isa<llvm::Constant>(mask)) {
    // A lane that does not exist reads lane 0's element, which does.
    llvm::Value* first = state_.builder.CreateExtractElement(offsets, std::uint64_t{0});
    offsets = state_.builder.CreateSelect(mask, offsets, state_.widened(first, width));
  }
  for (int lane = 0; lane < width; ++lane) {
    if (!lane_exists(mask, lane)) continue;
    llvm::Value* offset = state_.builder.CreateExtractElement(offsets, static_cast<std::uint64_t>(lane));
    each(lane, offset_by(access, pointer, offset, false));
  }
}

std::vector<llvm::Value*> Memory::load_rows(const Access& access, std::size_t level, int count) {
  llvm::Type* type = with_width(state_.memory_type(access.element), count);
  const auto lanes = static_cast<std::size_t>(state_.open[level].tile.width);
  std::vector<llvm::Value*> rows(lanes, llvm::Constant::getNullValue(type));
  for_each_lane(access, level, [&](int lane, llvm::Value* pointer) {
    rows[static_cast<std::size_t>(lane)] =
        state_.builder.CreateAlignedLoad(type, pointer, llvm::Align(ir::size_of(access.element)));
  });
  return rows;
}

void Memory::store_rows(const Access& access, std::size_t level, const std::vector<llvm::Value*>& rows) {
  llvm::Value* mask = state_.mask_at(level);
  const bool runtime_mask = mask && !llvm::isa<llvm::Constant>(mask);
  for_each_lane(access, level, [&](int lane, llvm::Value* pointer) {
    llvm::Value* exists = state_.builder.getTrue();
    if (runtime_mask) exists = state_.builder.CreateExtractElement(mask, static_cast<std::uint64_t>(lane));
    Carried none;
    emit_if(state_.builder, exists, none, [&] {
      state_.builder.CreateAlignedStore(rows[static_cast<std::size_t>(lane)], pointer,
                                        llvm::Align(ir::size_of(access.element)));
    });
  });
}

llvm::Value* Memory::gather(const Access& access, std::size_t level) {
  const std::vector<llvm::Value*> elements = load_rows(access, level, 1);
  llvm::Value* result = llvm::Constant::getNullValue(
      with_width(state_.memory_type(access.element), static_cast<int>(elements.size())));
  for (std::size_t lane = 0; lane < elements.size(); ++lane)
    if (!llvm::isa<llvm::Constant>(elements[lane]))
      result = state_.builder.CreateInsertElement(result, elements[lane], lane);
  return result;
}

void Memory::scatter(const Access& access, std::size_t level, llvm::Value* value) {
  std::vector<llvm::Value*> elements;
  for (int lane = 0; lane < state_.open[level].tile.width; ++lane)
    elements.push_back(state_.builder.CreateExtractElement(value, static_cast<std::uint64_t>(lane)));
  store_rows(access, level, elements);
}

/// The loop between whose turns the processor does not see a stream, for a contraction's operand, or what a
/// copy takes of each row, has its rows far apart: how many bytes; 0 if there is none.
std::int64_t Memory::pitch_of_rows(const Access& access) const {
  constexpr std::int64_t kLeastPitch = 512;  // bytes
  std::span<const OpenVar> open = state_.open;
  if (open.empty() || !access.gathers.empty()) return 0;
  const auto bytes_of_turn = [&](const OpenVar& turn) -> std::int64_t {
    const auto found = access.coefficients.find(turn.var);
    return found == access.coefficients.end()
               ? 0
               : found->second.constant().value_or(0) * ir::size_of(access.element);
  };
  const OpenVar& inner = open.back();
  std::int64_t row = kLeastPitch;
  if (!inner.is_contracted) {
    const std::int64_t lanes = std::int64_t{inner.tile.count} * inner.tile.width;
    const auto extent = state_.facts.extents.find(inner.var.index);
    if (open.size() < 2 || inner.tile.width == 1 || extent == state_.facts.extents.end() ||
        extent->second != lanes)
      return 0;
    open = open.first(open.size() - 1);
    row = std::max(row, 2 * lanes * bytes_of_turn(inner));
    if (open.back().tile.count * open.back().tile.width != 1) return 0;
  }
  const std::int64_t pitch = bytes_of_turn(open.back());
  return pitch >= row ? pitch : 0;
}

/// What a later turn loads, once a cache line; of neighbouring scalars the last one's, the others' is there
/// by then.
void Memory::prefetch_later_turn(const Access& access, std::optional<std::size_t> level,
                                 llvm::Value* pointer) {
  constexpr std::int64_t kTurnsAhead = 8;
  if (const std::int64_t pitch = pitch_of_rows(access))
    prefetch(access, level,
             state_.builder.CreateConstGEP1_64(state_.builder.getInt8Ty(), pointer, kTurnsAhead * pitch));
}

void Memory::prefetch(const ir::Load& load) {
  if (load.guard) return;
  const Access& access = access_of(&load, load.buffer, load.index);
  const std::optional<std::size_t> level = state_.vector_level(access.vars);
  if (!level || !access.gathers.empty() || !is_contiguous(access, *level)) return;
  state_.for_each_choice(state_.jammed_levels(access.vars),
                         [&] { prefetch(access, *level, pointer_to(access)); });
}

/// Of the chosen vector at `level`, unless the one before lies in the same cache line.
void Memory::prefetch(const Access& access, std::optional<std::size_t> level, llvm::Value* pointer) {
  constexpr std::int64_t kLine = 64;  // bytes
  constexpr int kRead = 0, kMostLocality = 3, kData = 1;
  if (level) {
    const std::int64_t width = std::int64_t{state_.open[*level].tile.width} * ir::size_of(access.element);
    if (state_.chosen[*level] * width % kLine != 0) return;
  } else if (!state_.is_last_choice(state_.jammed_levels(access.vars))) {
    return;
  }
  state_.builder.CreateIntrinsic(llvm::Intrinsic::prefetch, {pointer->getType()},
                                 {pointer, state_.builder.getInt32(kRead),
                                  state_.builder.getInt32(kMostLocality), state_.builder.getInt32(kData)});
}

llvm::Value* Memory::load_chosen(const Access& access) {
  llvm::Type* type = state_.memory_type(access.element);
  const llvm::Align alignment(ir::size_of(access.element));
  const std::optional<std::size_t> level = state_.vector_level(access.vars);
  if (level && !is_contiguous(access, *level)) return gather(access, *level);
  llvm::Value* pointer = pointer_to(access);
  prefetch_later_turn(access, level, pointer);
  if (!level) return state_.builder.CreateAlignedLoad(type, pointer, alignment);
  llvm::Type* vector = with_width(type, state_.open[*level].tile.width);
  llvm::Value* mask = state_.mask_at(*level);
  if (!mask) return state_.builder.CreateAlignedLoad(vector, pointer, alignment);
  return state_.builder.CreateMaskedLoad(vector, pointer, alignment, mask,
                                         llvm::Constant::getNullValue(vector));
}

Instances Memory::load(const ir::Load& load) {
  const Access& access = access_of(&load, load.buffer, load.index, load.guard.has_value());
  const VarSet& vars = state_.facts.vars_of[load.result.index];
  const std::optional<BlockLevels> block = load.guard ? std::nullopt : block_levels(access);
  Instances result = block ? load_blocks(access, *block) : state_.emit_instances(vars, [&] {
    return load.guard ? load_guarded(access, vars, state_.value_of(*load.guard)) : load_chosen(access);
  });
  if (access.element == ElementType::boolean)
    for (llvm::Value*& value : result.values)
      if (value) value = state_.builder.CreateICmpNE(value, llvm::Constant::getNullValue(value->getType()));
  return result;
}

llvm::Value* Memory::to_memory(const Access& access, llvm::Value* value) const {
  if (access.element != ElementType::boolean) return value;
  return state_.builder.CreateZExt(value, value->getType()->getWithNewType(state_.builder.getInt8Ty()));
}

void Memory::store_chosen(const Access& access, llvm::Value* value) {
  const std::optional<std::size_t> level = state_.vector_level(access.vars);
  value = to_memory(access, state_.widened(value, level ? state_.open[*level].tile.width : 1));
  const llvm::Align alignment(ir::size_of(access.element));
  if (level && !is_contiguous(access, *level)) return scatter(access, *level, value);
  llvm::Value* pointer = pointer_to(access);
  llvm::Value* mask = level ? state_.mask_at(*level) : nullptr;
  if (mask)
    state_.builder.CreateMaskedStore(value, pointer, alignment, mask);
  else
    state_.builder.CreateAlignedStore(value, pointer, alignment);
}

void Memory::store(const ir::Store& store) {
  const Access& access = access_of(&store, store.buffer, store.index);
  if (const std::optional<BlockLevels> block = block_levels(access))
    return store_blocks(access, *block, store.value);
  state_.for_each_choice(state_.jammed_levels(access.vars),
                         [&] { store_chosen(access, state_.value_of(store.value)); });
}

}  // namespace mlpc::codegen
