#include "compiler/driver/object_cache.h"

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "compiler/codegen/hash.h"
#include "compiler/codegen/object.h"
#include "compiler/driver/timed.h"
#include "ir/error.h"
#include "ir/text.h"
#include "runtime/error.h"
#include "runtime/files.h"

namespace mlpc::driver {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kHashLength =
    64;  // of SHA-256 in hexadecimal: a file is the hash of an object, then the object

/// This very compiler: a version number alone would serve objects of the build before.
std::string compiler_identity() {
  std::error_code problem;
  const fs::path self = "/proc/self/exe";
  const auto changed = fs::last_write_time(self, problem);
  const auto size = fs::file_size(self, problem);
  if (problem) fail("the running program has no file: {}", problem.message());
  return fmt::format("{} {}", changed.time_since_epoch().count(), size);
}

/// The text of the kernels holds the target and all that options change.
std::string key_of(const ir::KernelProgram& program) {
  return codegen::sha256(
      fmt::format("{}\nLLVM {}\n{}", ir::print(program), codegen::llvm_version(), compiler_identity()));
}

}  // namespace

std::optional<ObjectCache> ObjectCache::of_user() {
  const auto absolute = [](const char* name) -> std::string {
    const char* value = std::getenv(name);
    return value && value[0] == '/' ? value : "";  // the XDG specification has others ignored
  };
  if (const std::string cache = absolute("XDG_CACHE_HOME"); !cache.empty())
    return ObjectCache(cache + "/mlpc");
  if (const std::string home = absolute("HOME"); !home.empty()) return ObjectCache(home + "/.cache/mlpc");
  return std::nullopt;
}

std::string ObjectCache::path_of(const std::string& key) const {
  return fmt::format("{}/{}.o", directory_, key);
}

std::optional<std::string> ObjectCache::find(const std::string& key) const {
  std::ifstream file(path_of(key), std::ios::binary);
  if (!file) return std::nullopt;
  const std::string content((std::istreambuf_iterator<char>(file)), {});
  if (content.size() < kHashLength) return std::nullopt;
  std::string object = content.substr(kHashLength);
  if (codegen::sha256(object) != content.substr(0, kHashLength)) return std::nullopt;
  return object;
}

void ObjectCache::keep(const std::string& key, const std::string& object) const {
  try {
    runtime::make_directory(directory_);
    runtime::write_file(path_of(key), runtime::bytes_of(codegen::sha256(object) + object));
  } catch (const runtime::Error&) {
    // The object is what was asked for; that the next compilation is slower is no error.
  }
}

std::string object_of(const ir::KernelProgram& program, const CompileOptions& options,
                      const Observer& observer) {
  const std::optional<ObjectCache> cache = options.use_cache ? ObjectCache::of_user() : std::nullopt;
  std::string key;
  if (cache) {
    const Timed timed(observer, "cache");
    key = key_of(program);
    if (std::optional<std::string> object = cache->find(key)) return std::move(*object);
  }
  const Timed timed(observer, "codegen");
  std::string object = codegen::emit_code(program, codegen::CodeFormat::object);
  if (cache) cache->keep(key, object);
  return object;
}

}  // namespace mlpc::driver
