#include "compiler/codegen/object.h"

#include <llvm/Object/ELFObjectFile.h>
#include <llvm/Object/ObjectFile.h>
#include <llvm/Object/Wasm.h>

#include <algorithm>
#include <set>

#include "ir/target.h"
#include "tests/compiler/codegen/model_samples.h"

using namespace mlpc;
using namespace mlpc::codegen;

namespace {

struct Symbols {
  std::set<std::string> exported, undefined;
};

Symbols symbols_of(const std::string& bytes) {
  auto object = llvm::object::ObjectFile::createObjectFile(llvm::MemoryBufferRef(bytes, "tiny.o"));
  REQUIRE(static_cast<bool>(object));
  Symbols out;
  for (const llvm::object::SymbolRef& symbol : (*object)->symbols()) {
    const std::uint32_t flags = llvm::cantFail(symbol.getFlags());
    const std::string name = llvm::cantFail(symbol.getName()).str();
    if (flags & llvm::object::SymbolRef::SF_FormatSpecific) continue;
    // WebAssembly's linear memory and stack pointer are the host's, by the format's convention.
    if (name == "__linear_memory" || name == "__stack_pointer" || name == "__indirect_function_table")
      continue;
    if (flags & llvm::object::SymbolRef::SF_Undefined)
      out.undefined.insert(name);
    else if ((flags & llvm::object::SymbolRef::SF_Global) && !(flags & llvm::object::SymbolRef::SF_Hidden))
      out.exported.insert(name);
  }
  return out;
}

}  // namespace

TEST_CASE("an object exports the model's functions alone and needs nothing, for every target") {
  const std::set<std::string> expected = {"tiny_plan", "tiny_model",  "tiny_infer",      "tiny_loss",
                                          "tiny_grad", "tiny_update", "tiny_train_step", "tiny_init"};
  for (const ir::Target& target : ir::all_targets()) {
    CAPTURE(target.name);
    const Symbols symbols = symbols_of(emit_objects(tiny_program(target.name)).front());
    CHECK(symbols.exported == expected);
    CHECK(symbols.undefined.empty());
  }
}

TEST_CASE("the same program gives the same bytes, also by way of its text") {
  for (const ir::Target& target : ir::all_targets()) {
    const ir::KernelProgram program = tiny_program(target.name);
    const std::string once = emit_objects(program).front();
    CHECK(once == emit_objects(program).front());
    CHECK(once == emit_objects(program_of(ir::print(program))).front());
  }
}

TEST_CASE("an ELF object carries the model's name in a note that no linker drops") {
  const std::string bytes = emit_objects(tiny_program("x86-64")).front();
  auto object =
      llvm::cantFail(llvm::object::ObjectFile::createObjectFile(llvm::MemoryBufferRef(bytes, "tiny.o")));
  std::string note;
  for (const llvm::object::SectionRef& section : object->sections())
    if (llvm::cantFail(section.getName()) == ".note.mlpc") {
      note = llvm::cantFail(section.getContents()).str();
      CHECK(llvm::object::ELFSectionRef(section).getType() == llvm::ELF::SHT_NOTE);
      CHECK((llvm::object::ELFSectionRef(section).getFlags() & llvm::ELF::SHF_ALLOC) != 0);
    }
  CHECK(note == std::string("\5\0\0\0\5\0\0\0\1\0\0\0mlpc\0\0\0\0tiny\0\0\0\0", 28));
}

TEST_CASE("no fast-math flag and no contraction reaches LLVM") {
  const std::string text = emit_text(tiny_program("x86-64-v4"), TextFormat::llvm_ir);
  for (const char* flag : {" fast ", "contract", "reassoc", " nnan", " ninf", " nsz", " arcp", " afn"})
    CHECK(text.find(flag) == std::string::npos);
  CHECK(text.find("i32 @tiny_infer(") != std::string::npos);
}

TEST_CASE("the plan runs on processors without the vectors of the kernels") {
  const std::string text = emit_text(tiny_program("x86-64-v4"), TextFormat::assembly);
  const std::size_t begin = text.find("\ntiny_plan:"), end = text.find("\n.Lfunc_end", begin);
  REQUIRE(begin != std::string::npos);
  const std::string plan = text.substr(begin, end - begin);
  CHECK(plan.find("cpuid") != std::string::npos);
  CHECK(plan.find("xgetbv") != std::string::npos);
  for (const char* wide : {"%ymm", "%zmm", "%k1", "\tv"}) CHECK(plan.find(wide) == std::string::npos);
  const std::string baseline = emit_text(tiny_program("x86-64"), TextFormat::assembly);
  CHECK(baseline.find("cpuid") == std::string::npos);
}
