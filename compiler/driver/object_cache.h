#pragma once

#include <optional>
#include <string>
#include <vector>

#include "compiler/codegen/object.h"
#include "compiler/driver/compile.h"

namespace mlpc::driver {

/// The objects of a program (codegen::emit_objects): from the cache where it was compiled before, else made
/// now and kept there.
std::vector<std::string> objects_of(const ir::KernelProgram& program, const CompileOptions& options,
                                    const Observer& observer, std::size_t most = codegen::kMostObjects);

/// Objects by key, a file for those of a program, in $XDG_CACHE_HOME/mlpc or $HOME/.cache/mlpc. Safe under
/// concurrent use: files appear whole. A file that is damaged counts as missing and is replaced; one that
/// cannot be written is left out.
class ObjectCache {
 public:
  explicit ObjectCache(std::string directory) : directory_(std::move(directory)) {}
  /// Nullopt where the environment names no place for it.
  static std::optional<ObjectCache> of_user();

  std::optional<std::vector<std::string>> find(const std::string& key) const;
  void keep(const std::string& key, const std::vector<std::string>& objects) const;

 private:
  std::string path_of(const std::string& key) const;
  std::string directory_;
};

}  // namespace mlpc::driver
