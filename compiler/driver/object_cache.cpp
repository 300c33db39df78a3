#include "compiler/driver/object_cache.h"

#include <charconv>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "compiler/codegen/hash.h"
#include "compiler/driver/timed.h"
#include "ir/error.h"
#include "ir/text.h"
#include "runtime/error.h"
#include "runtime/files.h"

namespace mlpc::driver {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kHashLength =
    64;  // of SHA-256 in hexadecimal: a file is the hash of the rest, then objects

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
std::string key_of(const ir::KernelProgram& program, std::size_t most) {
  return codegen::sha256(fmt::format("{}\nLLVM {}\n{}\n{} objects", ir::print(program),
                                     codegen::llvm_version(), compiler_identity(), most));
}

/// Each object behind its length: a number, and the end of the line.
std::string joined(const std::vector<std::string>& objects) {
  std::string out;
  for (const std::string& object : objects) out += fmt::format("{}\n", object.size()) + object;
  return out;
}

std::optional<std::vector<std::string>> split(std::string_view content) {
  std::vector<std::string> out;
  while (!content.empty()) {
    std::size_t size = 0;
    const auto [end, problem] = std::from_chars(content.data(), content.data() + content.size(), size);
    content.remove_prefix(static_cast<std::size_t>(end - content.data()));
    if (problem != std::errc() || !content.starts_with('\n') || content.size() - 1 < size)
      return std::nullopt;
    out.emplace_back(content.substr(1, size));
    content.remove_prefix(1 + size);
  }
  return out;
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

std::optional<std::vector<std::string>> ObjectCache::find(const std::string& key) const {
  std::ifstream file(path_of(key), std::ios::binary);
  if (!file) return std::nullopt;
  const std::string content((std::istreambuf_iterator<char>(file)), {});
  if (content.size() < kHashLength) return std::nullopt;
  const std::string objects = content.substr(kHashLength);
  if (codegen::sha256(objects) != content.substr(0, kHashLength)) return std::nullopt;
  return split(objects);
}

void ObjectCache::keep(const std::string& key, const std::vector<std::string>& objects) const {
  try {
    const std::string content = joined(objects);
    runtime::make_directory(directory_);
    runtime::write_file(path_of(key), runtime::bytes_of(codegen::sha256(content) + content));
  } catch (const runtime::Error&) {
    // The objects are what was asked for; that the next compilation is slower is no error.
  }
}

std::vector<std::string> objects_of(const ir::KernelProgram& program, const CompileOptions& options,
                                    const Observer& observer, std::size_t most) {
  const std::optional<ObjectCache> cache = options.use_cache ? ObjectCache::of_user() : std::nullopt;
  std::string key;
  if (cache) {
    const Timed timed(observer, "cache");
    key = key_of(program, most);
    if (std::optional<std::vector<std::string>> objects = cache->find(key)) return std::move(*objects);
  }
  const Timed timed(observer, "codegen");
  std::vector<std::string> objects = codegen::emit_objects(program, most);
  if (cache) cache->keep(key, objects);
  return objects;
}

}  // namespace mlpc::driver
