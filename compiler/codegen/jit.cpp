#include "compiler/codegen/jit.h"

#include <llvm/ExecutionEngine/Orc/LLJIT.h>
#include <llvm/ExecutionEngine/Orc/MapperJITLinkMemoryManager.h>
#include <llvm/ExecutionEngine/Orc/MemoryMapper.h>
#include <llvm/ExecutionEngine/Orc/ObjectLinkingLayer.h>
#include <llvm/Support/MathExtras.h>
#include <llvm/Support/TargetSelect.h>
#include <llvm/TargetParser/Host.h>

#include "compiler/codegen/object.h"
#include "compiler/codegen/target_machine.h"
#include "ir/error.h"

namespace mlpc::codegen {
namespace {

template <typename T>
T expect(llvm::Expected<T> value, std::string_view what) {
  if (!value) fail("{}: {}", what, llvm::toString(value.takeError()));
  return std::move(*value);
}

void expect(llvm::Error error, std::string_view what) {
  if (error) fail("{}: {}", what, llvm::toString(std::move(error)));
}

/// One reservation for code and data of all objects: they call each other with 32-bit offsets, and in a large
/// process two of the system's mappings may lie further apart.
std::size_t reservation_of(const std::vector<std::string>& objects) {
  constexpr std::size_t kPages = std::size_t{1} << 20;  // what sections lose to whole pages
  std::size_t bytes = kPages;
  for (const std::string& object : objects) bytes += 2 * object.size();
  return llvm::alignTo(bytes, kPages);
}

std::unique_ptr<llvm::orc::LLJIT> make_jit(const ir::Target& target, std::size_t reservation) {
  const llvm::Triple triple{llvm::StringRef(target.triple)};
  const llvm::Triple host(llvm::sys::getProcessTriple());
  if (triple.getArch() != host.getArch() || triple.isOSBinFormatELF() != host.isOSBinFormatELF())
    fail("code for {} does not run in this process", target.triple);
  make_target_machine(target);  // registers LLVM's targets
  llvm::orc::JITTargetMachineBuilder machine{triple};
  machine.setCPU(std::string(target.llvm_cpu));
  return expect(llvm::orc::LLJITBuilder()
                    .setJITTargetMachineBuilder(std::move(machine))
                    .setObjectLinkingLayerCreator([&](llvm::orc::ExecutionSession& session) {
                      using Manager = llvm::orc::MapperJITLinkMemoryManager;
                      return std::make_unique<llvm::orc::ObjectLinkingLayer>(
                          session,
                          expect(Manager::CreateWithMapper<llvm::orc::InProcessMemoryMapper>(reservation),
                                 "the JIT has no memory"));
                    })
                    .create(),
                "the JIT does not start");
}

}  // namespace

struct JitModel::Linked {
  std::unique_ptr<llvm::orc::LLJIT> jit;
};

JitModel::JitModel(const ir::KernelProgram& program) : JitModel(program.header, emit_objects(program)) {}

JitModel::JitModel(const ir::Program& header, const std::vector<std::string>& objects)
    : linked_(std::make_unique<Linked>()) {
  linked_->jit = make_jit(*ir::target_named(header.target), reservation_of(objects));
  for (std::size_t i = 0; i < objects.size(); ++i)
    expect(linked_->jit->addObjectFile(
               llvm::MemoryBuffer::getMemBufferCopy(objects[i], fmt::format("{}.{}", header.model, i))),
           "the object does not link");
  const auto address = expect(linked_->jit->lookup(header.model + "_model"), "the object has no table");
  table_ = address.toPtr<mlpc_model_function>()(MLPC_ABI_VERSION);
}

JitModel::~JitModel() = default;
JitModel::JitModel(JitModel&&) noexcept = default;
JitModel& JitModel::operator=(JitModel&&) noexcept = default;

}  // namespace mlpc::codegen
