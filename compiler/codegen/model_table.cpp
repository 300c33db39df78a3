#include <llvm/Transforms/Utils/ModuleUtils.h>

#include <algorithm>
#include <map>

#include "compiler/codegen/model_state.h"
#include "ir/error.h"
#include "runtime/abi.h"

// NAME_model and the note by which a loader finds NAME.

namespace mlpc::codegen {
namespace {

class TableEmitter {
 public:
  explicit TableEmitter(ModelState& state) : s_(state) {}

  llvm::GlobalVariable* table(const std::vector<llvm::Function*>& entries) {
    const ir::Program& h = s_.program.header;
    const auto [param_rows, state_rows, slot_rows] =
        std::tuple{ir::rows_of(h.params), ir::rows_of(h.state), ir::rows_of(h.slots)};
    std::vector<llvm::Constant*> names;
    for (const std::string& dim : h.dims) names.push_back(string(dim));
    std::vector<llvm::Constant*> rows;
    for (std::size_t i = 0; i < entries.size(); ++i) rows.push_back(entry(s_.program.entries[i], entries[i]));
    const auto [params, state, slots] =
        std::tuple{tensors(param_rows), tensors(state_rows), tensors(slot_rows)};
    const auto bytes = [&](const auto& list) { return number(ir::buffer_bytes(list)); };
    const ir::Target& target = s_.target;
    const std::int64_t plan_size =
        static_cast<std::int64_t>(s_.module.getDataLayout().getTypeAllocSize(s_.plan_type));
    return global(sized({word(MLPC_ABI_VERSION),
                         string(h.model),
                         number(plan_size),
                         s_.module.getFunction(h.model + "_plan"),
                         array(names),
                         count(names),
                         params,
                         count(param_rows),
                         bytes(h.params),
                         state,
                         count(state_rows),
                         bytes(h.state),
                         slots,
                         count(slot_rows),
                         bytes(h.slots),
                         array(rows),
                         count(rows),
                         string(h.train),
                         string(fmt::format("{} {}", target.triple, target.name)),
                         string(h.source_hash)}));
  }

 private:
  llvm::Constant* number(std::int64_t n) { return s_.b.getInt64(static_cast<std::uint64_t>(n)); }
  llvm::Constant* word(std::int64_t n) { return s_.b.getInt32(static_cast<std::uint32_t>(n)); }
  template <typename List>
  llvm::Constant* count(const List& list) {
    return number(static_cast<std::int64_t>(list.size()));
  }

  llvm::GlobalVariable* global(llvm::Constant* value) {
    auto* g =
        new llvm::GlobalVariable(s_.module, value->getType(), true, llvm::GlobalValue::PrivateLinkage, value);
    g->setUnnamedAddr(llvm::GlobalValue::UnnamedAddr::Global);
    return g;
  }

  /// Equal ones once: rows of a stack differ in little.
  llvm::Constant* string(std::string_view text) {
    llvm::Constant*& known = strings_[std::string(text)];
    if (!known) known = global(llvm::ConstantDataArray::getString(s_.context, llvm::StringRef(text)));
    return known;
  }

  llvm::Constant* array(const std::vector<llvm::Constant*>& elements) {
    if (elements.empty()) return llvm::ConstantPointerNull::get(s_.ptr);
    auto* value =
        llvm::ConstantArray::get(llvm::ArrayType::get(elements[0]->getType(), elements.size()), elements);
    llvm::Constant*& known = arrays_[value];
    if (!known) known = global(value);
    return known;
  }

  /// A struct led by its own size.
  llvm::Constant* sized(std::vector<llvm::Constant*> fields) {
    fields.insert(fields.begin(), word(0));
    auto* type = llvm::cast<llvm::StructType>(llvm::ConstantStruct::getAnon(s_.context, fields)->getType());
    fields[0] = word(static_cast<std::int64_t>(s_.module.getDataLayout().getTypeAllocSize(type)));
    return llvm::ConstantStruct::get(type, fields);
  }

  /// A number, or a free dim alone: what C can read without a language for polynomials.
  llvm::Constant* extent(const ir::Dim& dim, std::string_view of) {
    std::int64_t index = -1;
    if (!dim.is_constant()) {
      const auto found = std::ranges::find_if(
          s_.dims(), [&](const std::string& name) { return dim == ir::Dim::named(name); });
      if (found == s_.dims().end())
        fail(
            "`{}` has the extent {}, which is neither a number nor a dim: the library's table has no form "
            "for it",
            of, dim.text());
      index = found - s_.dims().begin();
    }
    return llvm::ConstantStruct::getAnon(s_.context,
                                         {number(dim.constant().value_or(0)), word(index), word(0)});
  }

  llvm::Constant* tensor(std::string_view name, const ir::Type& type, std::int64_t offset, std::int64_t bytes,
                         std::int32_t role, std::int64_t bound, std::string_view initialiser) {
    std::vector<llvm::Constant*> extents;
    for (const ir::Dim& d : type.shape) extents.push_back(extent(d, name));
    return sized({word(static_cast<std::int64_t>(type.element)), string(name), array(extents), count(extents),
                  number(offset), number(bytes), word(0), word(role), number(bound), string(initialiser)});
  }

  llvm::Constant* tensors(const std::vector<ir::TensorInfo>& list) {
    std::vector<llvm::Constant*> rows;
    for (const ir::TensorInfo& t : list) {
      const std::int64_t bytes = *t.type.element_count().constant() * ir::size_of(t.type.element);
      rows.push_back(tensor(t.path, t.type, t.offset, bytes, 0, 0, t.initialiser));
    }
    return array(rows);
  }

  static std::int32_t role_of(ir::Role role) {
    switch (role) {
      case ir::Role::loss_total:
        return MLPC_LOSS_TOTAL;
      case ir::Role::loss_term:
        return MLPC_LOSS_TERM;
      case ir::Role::metric:
        return MLPC_METRIC;
      case ir::Role::clip_norm:
        return MLPC_CLIP_NORM;
      default:
        return MLPC_OUTPUT;
    }
  }

  llvm::Constant* entry(const ir::LoweredEntry& e, llvm::Function* function) {
    std::vector<llvm::Constant*> inputs, results;
    for (std::uint32_t i : e.inputs) {
      const ir::InputInfo& input = s_.program.header.inputs[i];
      inputs.push_back(tensor(input.name, input.type, 0, 0, input.index_bound > 0, input.index_bound, ""));
    }
    for (const auto& r : e.results) results.push_back(tensor(r.name, r.type, 0, 0, role_of(r.role), 0, ""));
    return sized({word(entry_kind(e.name)), string(e.name), function, array(inputs), count(inputs),
                  array(results), count(results)});
  }

  ModelState& s_;
  std::map<std::string, llvm::Constant*> strings_;
  std::map<llvm::Constant*, llvm::Constant*> arrays_;  // by value, which LLVM interns
};

void append_word(std::string& bytes, std::uint32_t word) {
  for (int i = 0; i < 4; ++i) bytes += static_cast<char>(word >> (8 * i));
}

/// An ELF note: owner "mlpc", type 1, the model's name (abi.h's reader is runtime/elf_note.cpp).
void emit_note(ModelState& s) {
  if (!s.module.getTargetTriple().isOSBinFormatELF()) return;
  std::string bytes;
  append_word(bytes, 5);
  append_word(bytes, static_cast<std::uint32_t>(s.name().size() + 1));
  append_word(bytes, 1);
  bytes += std::string("mlpc\0\0\0\0", 8) + s.name() + '\0';
  while (bytes.size() % 4 != 0) bytes += '\0';
  auto* value = llvm::ConstantDataArray::getString(s.context, bytes, false);
  auto* note = new llvm::GlobalVariable(s.module, value->getType(), true, llvm::GlobalValue::InternalLinkage,
                                        value, "note");
  note->setSection(".note.mlpc");
  note->setAlignment(llvm::Align(4));
  llvm::appendToCompilerUsed(s.module, {note});
}

}  // namespace

void emit_table(ModelState& s, const std::vector<llvm::Function*>& entries) {
  llvm::GlobalVariable* table = TableEmitter(s).table(entries);
  llvm::Function* f = s.exported("model", s.ptr, {s.i32});
  s.begin(f);
  llvm::Value* is_known = s.b.CreateICmpEQ(f->getArg(0), s.b.getInt32(MLPC_ABI_VERSION));
  s.b.CreateRet(s.b.CreateSelect(is_known, table, llvm::ConstantPointerNull::get(s.ptr)));
  emit_note(s);
}

}  // namespace mlpc::codegen
