#include "compiler/codegen/link.h"

#include <lld/Common/Driver.h>
#include <llvm/Object/ArchiveWriter.h>
#include <llvm/Support/Program.h>
#include <llvm/Support/raw_ostream.h>

#include <mutex>
#include <vector>

#include "ir/error.h"

LLD_HAS_DRIVER(elf)

namespace mlpc::codegen {
namespace {

/// The linker as a program of its own: Debian's, or any on the path.
void link_in_child(const std::vector<const char*>& arguments) {
  llvm::ErrorOr<std::string> program = llvm::sys::findProgramByName("ld.lld", {"/usr/lib/llvm-22/bin"});
  if (!program) program = llvm::sys::findProgramByName("ld.lld");
  if (!program) fail("the linker cannot run twice in one process here, and there is no ld.lld beside it");
  std::vector<llvm::StringRef> words(arguments.begin(), arguments.end());
  std::string problem;
  const int code = llvm::sys::ExecuteAndWait(*program, words, std::nullopt, {}, 0, 0, &problem);
  if (code != 0) fail("ld.lld ended with {}: {}", code, problem);
}

}  // namespace

void link_shared(const std::vector<std::string>& object_paths, const std::string& path,
                 const std::string& soname) {
  static std::mutex one_at_a_time;
  static bool can_run_here = true;
  std::vector<const char*> arguments = {"ld.lld",
                                        "-shared",
                                        "-z",
                                        "now",
                                        "-z",
                                        "relro",
                                        "-z",
                                        "noexecstack",
                                        "-z",
                                        "defs",
                                        "--build-id=none",
                                        "--hash-style=gnu",
                                        "-soname",
                                        soname.c_str(),
                                        "-o",
                                        path.c_str()};
  for (const std::string& object : object_paths) arguments.push_back(object.c_str());
  const std::lock_guard lock(one_at_a_time);
  if (!can_run_here) {
    link_in_child(arguments);
    return;
  }
  std::string words;
  llvm::raw_string_ostream stream(words);
  const lld::Result result = lld::lldMain(arguments, stream, stream, {{lld::Gnu, &lld::elf::link}});
  can_run_here = result.canRunAgain;
  if (result.retCode != 0) fail("the linker refuses {}: {}", path, words);
}

std::string make_archive(const std::string& object, const std::string& member_name) {
  std::vector<llvm::NewArchiveMember> members;
  members.emplace_back(llvm::MemoryBufferRef(object, member_name));
  auto archive = llvm::writeArchiveToBuffer(members, llvm::SymtabWritingMode::NormalSymtab,
                                            llvm::object::Archive::K_GNU, true, false);
  if (!archive) fail("no archive: {}", llvm::toString(archive.takeError()));
  return (*archive)->getBuffer().str();
}

}  // namespace mlpc::codegen
