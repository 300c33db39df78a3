#include "compiler/codegen/link.h"

#include <dlfcn.h>
#include <llvm/Object/Archive.h>
#include <llvm/Object/ELFObjectFile.h>

#include <filesystem>
#include <fstream>
#include <set>

#include "compiler/codegen/object.h"
#include "ir/error.h"
#include "tests/compiler/codegen/model_samples.h"
#include "tests/support/temporary.h"

using namespace mlpc;
using namespace mlpc::codegen;

namespace {

struct Linked {
  Linked() { std::ofstream(object, std::ios::binary) << emit_objects(tiny_program(host_row())).front(); }
  testing::TemporaryDirectory folder;
  const std::string object = folder.file("tiny.o"), library = folder.file("tiny.so");
};

}  // namespace

TEST_CASE("a library opens, answers its own ABI only, and infers") {
  const Linked files;
  link_shared({files.object}, files.library, "tiny.so");
  void* library = dlopen(files.library.c_str(), RTLD_NOW | RTLD_LOCAL);
  REQUIRE(library != nullptr);
  const auto model = reinterpret_cast<mlpc_model_function>(dlsym(library, "tiny_model"));
  REQUIRE(static_cast<bool>(model));
  CHECK(model(MLPC_ABI_VERSION + 1) == nullptr);
  CHECK(model(0) == nullptr);
  {
    TinyCall call(model(MLPC_ABI_VERSION));
    CHECK(call.plan_and_call(MLPC_INFER) == MLPC_OK);
    CHECK(call.y[8] == 27);
  }
  dlclose(library);
}

TEST_CASE("a library names itself, needs nothing and binds at once") {
  const Linked files;
  link_shared({files.object}, files.library, "tiny.so");
  auto binary = llvm::cantFail(llvm::object::ObjectFile::createObjectFile(files.library));
  const auto* elf = llvm::dyn_cast<llvm::object::ELF64LEObjectFile>(binary.getBinary());
  REQUIRE(elf);
  std::set<std::uint64_t> tags;
  for (const auto& entry : llvm::cantFail(elf->getELFFile().dynamicEntries())) tags.insert(entry.getTag());
  CHECK(tags.contains(llvm::ELF::DT_SONAME));
  CHECK(tags.contains(llvm::ELF::DT_FLAGS_1));
  CHECK_FALSE(tags.contains(llvm::ELF::DT_NEEDED));
  CHECK_FALSE(tags.contains(llvm::ELF::DT_TEXTREL));
  bool has_relro = false;
  for (const auto& segment : llvm::cantFail(elf->getELFFile().program_headers())) {
    has_relro |= segment.p_type == llvm::ELF::PT_GNU_RELRO;
    const bool is_executable = (segment.p_flags & llvm::ELF::PF_X) != 0;
    CHECK_FALSE((is_executable && (segment.p_flags & llvm::ELF::PF_W) != 0));
    if (segment.p_type == llvm::ELF::PT_GNU_STACK) CHECK_FALSE(is_executable);
  }
  CHECK(has_relro);
}

TEST_CASE("linking again gives the same bytes") {
  const Linked files;
  const auto bytes = [&] {
    link_shared({files.object}, files.library, "tiny.so");
    std::ifstream file(files.library, std::ios::binary);
    return std::string(std::istreambuf_iterator<char>(file), {});
  };
  const std::string once = bytes();
  CHECK(once.size() > 1000);
  CHECK(once == bytes());
}

TEST_CASE("what is no object is refused in the linker's words, and linking goes on after that") {
  const Linked files;
  const std::string broken = files.folder.file("broken.o");
  std::ofstream(broken) << "no object";
  CHECK_THROWS_WITH_AS(link_shared({broken}, files.library, "tiny.so"), doctest::Contains("broken.o"), Error);
  CHECK_THROWS_AS(link_shared({files.object}, files.folder.file("nowhere/x.so"), "x.so"), Error);
  link_shared({files.object}, files.library, "tiny.so");
  CHECK(std::filesystem::exists(files.library));
}

TEST_CASE("an archive holds the object, and no date") {
  const Linked files;
  const std::string object = emit_objects(tiny_program(host_row())).front();
  const std::string bytes = make_archive(object, "tiny.o");
  CHECK(bytes == make_archive(object, "tiny.o"));
  auto archive = llvm::cantFail(llvm::object::Archive::create(llvm::MemoryBufferRef(bytes, "tiny.a")));
  CHECK(archive->hasSymbolTable());
  llvm::Error error = llvm::Error::success();
  int members = 0;
  for (const auto& child : archive->children(error)) {
    ++members;
    CHECK(llvm::cantFail(child.getName()) == "tiny.o");
    CHECK(llvm::cantFail(child.getBuffer()) == object);
  }
  llvm::cantFail(std::move(error));
  CHECK(members == 1);
}
