#include "compiler/codegen/model_codegen.h"

#include <llvm/IR/Verifier.h>
#include <llvm/Support/raw_ostream.h>
#include <llvm/TargetParser/Triple.h>

#include <algorithm>
#include <set>

#include "compiler/codegen/kernel_codegen.h"
#include "compiler/codegen/kernel_facts.h"
#include "compiler/codegen/model_state.h"
#include "compiler/codegen/target_machine.h"
#include "ir/error.h"
#include "runtime/abi.h"

namespace mlpc::codegen {
namespace {

const ir::Target& target_of(const ir::KernelProgram& program) {
  const ir::Target* target = ir::target_named(program.header.target);
  if (!target) fail("`{}` is no target", program.header.target);
  return *target;
}

constexpr std::size_t kPlanHead = sizeof(mlpc_plan) + sizeof(std::int64_t);  // and workers

/// What the ABI cannot express.
void check_header(const ir::Program& header) {
  static const std::set<std::string_view> kKeywords = {
      "auto",   "break",    "case",     "char",     "const", "continue", "default", "do",     "double",
      "else",   "enum",     "extern",   "float",    "for",   "goto",     "if",      "inline", "int",
      "long",   "register", "restrict", "return",   "short", "signed",   "sizeof",  "static", "struct",
      "switch", "typedef",  "union",    "unsigned", "void",  "volatile", "while"};
  if (kKeywords.contains(header.model) || header.model.starts_with('_') || header.model.starts_with("mlpc_"))
    fail("`{}` cannot name a model: C has a meaning for it, or it begins with `_` or `mlpc_`", header.model);
  if (header.dims.size() > MLPC_MAX_DIMS)
    fail("the model has {} free dims, above {}", header.dims.size(), MLPC_MAX_DIMS);
}

}  // namespace

std::int64_t plan_bytes(const ir::KernelProgram& program) {
  std::size_t most = 0;
  for (const ir::LoweredEntry& entry : program.entries)
    most = std::max(most, workspace_places(entry.slots).places.size());
  return static_cast<std::int64_t>(kPlanHead + most * sizeof(std::int64_t));
}

int entry_kind(std::string_view name) {
  const std::span<const std::string_view> names = ir::entry_names();
  const auto found = std::ranges::find(names, name);
  if (found == names.end()) fail("`{}` is no entry", name);
  return static_cast<int>(found - names.begin());
}

ModelState::ModelState(llvm::Module& m, const ir::KernelProgram& p)
    : module(m), context(m.getContext()), program(p), target(target_of(p)), b(context) {
  i1 = b.getInt1Ty();
  i8 = b.getInt8Ty();
  i32 = b.getInt32Ty();
  i64 = b.getInt64Ty();
  f64 = b.getDoubleTy();
  ptr = b.getPtrTy();
  std::size_t most_places = 0;
  for (const ir::LoweredEntry& entry : p.entries) {
    const WorkspacePlaces& workspace = workspaces[entry.name] = workspace_places(entry.slots);
    most_places = std::max(most_places, workspace.places.size());
  }
  plan_type = llvm::StructType::get(context, {i32, i32, i64, i64, llvm::ArrayType::get(i64, MLPC_MAX_DIMS),
                                              i64, llvm::ArrayType::get(i64, most_places)});
  args_type = llvm::StructType::get(context, {i32, i32, ptr, ptr, ptr, ptr, ptr, ptr, ptr, ptr, i64,
                                              i64, i64, i64, i64, f64, ptr, ptr, i32, i64, ptr});
}

llvm::Function* ModelState::exported(std::string_view suffix, llvm::Type* result,
                                     std::vector<llvm::Type*> parameters) {
  llvm::Function* f = internal(fmt::format("{}_{}", name(), suffix), result, std::move(parameters));
  f->setLinkage(llvm::GlobalValue::ExternalLinkage);
  return f;
}

llvm::Function* ModelState::internal(std::string_view function_name, llvm::Type* result,
                                     std::vector<llvm::Type*> parameters) {
  auto* type = llvm::FunctionType::get(result, parameters, false);
  auto* f = llvm::Function::Create(type, llvm::GlobalValue::InternalLinkage, llvm::StringRef(function_name),
                                   module);
  f->addFnAttr(llvm::Attribute::NoUnwind);
  return f;
}

void ModelState::begin(llvm::Function* function) {
  b.SetInsertPoint(llvm::BasicBlock::Create(context, "entry", function));
}

void ModelState::return_if(llvm::Value* condition, int code) {
  llvm::Function* function = b.GetInsertBlock()->getParent();
  auto* leave = llvm::BasicBlock::Create(context, "leave", function);
  auto* stay = llvm::BasicBlock::Create(context, "stay", function);
  b.CreateCondBr(condition, leave, stay);
  b.SetInsertPoint(leave);
  b.CreateRet(b.getInt32(static_cast<std::uint32_t>(code)));
  b.SetInsertPoint(stay);
}

std::uint64_t ModelState::magic(const ir::LoweredEntry& entry) const {
  std::uint64_t hash = 0xcbf29ce484222325ULL;  // FNV-1a
  const auto mix = [&](std::string_view text) {
    for (char c : text) hash = (hash ^ static_cast<unsigned char>(c)) * 0x100000001b3ULL;
    hash = (hash ^ 0xff) * 0x100000001b3ULL;
  };
  const ir::Program& h = program.header;
  for (const std::string& text : {h.model, h.source_hash, h.target, entry.name}) mix(text);
  for (const std::string& dim : h.dims) mix(dim);
  for (const auto* table : {&h.params, &h.state, &h.slots})
    for (const ir::TensorInfo& t : *table) mix(fmt::format("{} {} {}", t.path, t.type.text(), t.offset));
  for (std::uint32_t input : entry.inputs) mix(h.inputs[input].type.text());
  for (const ir::LoweredEntry::ResultInfo& result : entry.results) mix(result.type.text());
  for (const ir::WorkspaceSlot& place : workspace(entry).places) mix(ir::text_of(place));
  return hash;
}

namespace {

/// By kernel: whether a call gives it one memory as two buffers, one of them written.
std::vector<bool> kernels_that_share_memory(const ir::KernelProgram& program) {
  std::vector<bool> out(program.kernels.size());
  const auto meet = [](const ir::BufferRef& a, const ir::BufferRef& b) {
    return a.space == b.space && a.index == b.index && a.space != ir::BufferRef::Space::scalar;
  };
  const auto note_call = [&](const ir::KernelCall& call) {
    const std::vector<ir::KernelBuffer>& buffers = program.kernels[call.kernel].buffers;
    for (std::size_t i = 0; i < buffers.size(); ++i)
      for (std::size_t j = 0; j < i; ++j)
        if ((buffers[i].is_written || buffers[j].is_written) && meet(call.buffers[i], call.buffers[j]))
          out[call.kernel] = true;
  };
  const auto note = [&](const auto& self, const std::vector<ir::Action>& actions) -> void {
    for (const ir::Action& action : actions) {
      if (const auto* call = std::get_if<ir::KernelCall>(&action.kind)) note_call(*call);
      if (const std::vector<ir::Action>* inside = ir::actions_inside(action)) self(self, *inside);
    }
  };
  for (const ir::LoweredEntry& entry : program.entries) note(note, entry.actions);
  return out;
}

/// Of a kernel in a module of its own: others see it, programs do not.
void show_to_other_parts(llvm::Function& kernel, const std::string& model) {
  kernel.setName(model + "." + kernel.getName());
  kernel.setLinkage(llvm::GlobalValue::ExternalLinkage);
  kernel.setVisibility(llvm::GlobalValue::HiddenVisibility);
}

}  // namespace

std::vector<ModelPart> parts_of(const ir::KernelProgram& program, std::size_t most) {
  constexpr double kStatementsOfPart = 8000;  // after unrolling: some 80 ms of LLVM's time
  constexpr double kStatementsOfEntry = 300;
  std::vector<std::pair<double, std::size_t>> kernels;  // the largest first
  double total = kStatementsOfEntry * static_cast<double>(program.entries.size());
  for (std::size_t k = 0; k < program.kernels.size(); ++k) {
    kernels.emplace_back(-check_kernel(program.kernels[k]).statements, k);
    total -= kernels.back().first;
  }
  std::ranges::sort(kernels);
  if (!llvm::Triple(llvm::StringRef(target_of(program).triple)).isOSBinFormatELF()) most = 1;
  const auto count = std::clamp<std::size_t>(static_cast<std::size_t>(total / kStatementsOfPart), 1, most);
  std::vector<ModelPart> parts(count, {std::vector<bool>(kernels.size()), false, count == 1});
  parts.front().is_first = true;
  std::vector<double> sizes(count);
  sizes.front() = kStatementsOfEntry * static_cast<double>(program.entries.size());
  for (const auto& [size, kernel] : kernels) {
    const auto part = std::ranges::min_element(sizes) - sizes.begin();
    parts[static_cast<std::size_t>(part)].kernels[kernel] = true;
    sizes[static_cast<std::size_t>(part)] -= size;
  }
  return parts;
}

std::unique_ptr<llvm::Module> emit_part(const ir::KernelProgram& program, const ModelPart& part,
                                        llvm::LLVMContext& context) {
  check_header(program.header);
  auto module = std::make_unique<llvm::Module>(program.header.model, context);
  prepare_module(*module, target_of(program));
  ModelState state(*module, program);
  const std::vector<bool> shares_memory = kernels_that_share_memory(program);
  for (std::size_t k = 0; k < program.kernels.size(); ++k) {
    const ir::Kernel& kernel = program.kernels[k];
    if (part.kernels[k])
      state.kernels.push_back(emit_kernel(*module, kernel, state.target, state.dims(), shares_memory[k]));
    else
      state.kernels.push_back(part.is_first ? declare_kernel(*module, kernel) : nullptr);
    if (!part.is_whole && state.kernels.back()) show_to_other_parts(*state.kernels.back(), state.name());
  }
  if (part.is_first) {
    emit_plan(state);
    std::vector<llvm::Function*> entries;
    for (const ir::LoweredEntry& entry : program.entries) entries.push_back(emit_entry(state, entry));
    emit_table(state, entries);
  }
  std::string problems;
  llvm::raw_string_ostream stream(problems);
  MLPC_CHECK(!llvm::verifyModule(*module, &stream), "codegen gave a module that LLVM refuses: {}", problems);
  return module;
}

std::unique_ptr<llvm::Module> emit_model(const ir::KernelProgram& program, llvm::LLVMContext& context) {
  return emit_part(program, parts_of(program, 1).front(), context);
}

}  // namespace mlpc::codegen
