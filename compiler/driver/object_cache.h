#pragma once

#include <optional>
#include <string>

#include "compiler/driver/compile.h"

namespace mlpc::driver {

/// The object code of a program: from the cache where it was compiled before, else made now and kept there.
std::string object_of(const ir::KernelProgram& program, const CompileOptions& options,
                      const Observer& observer);

/// Object code by key, a file each, in $XDG_CACHE_HOME/mlpc or $HOME/.cache/mlpc. Safe under concurrent use:
/// files appear whole. A file that is damaged counts as missing and is replaced; one that cannot be written
/// is left out.
class ObjectCache {
 public:
  explicit ObjectCache(std::string directory) : directory_(std::move(directory)) {}
  /// Nullopt where the environment names no place for it.
  static std::optional<ObjectCache> of_user();

  std::optional<std::string> find(const std::string& key) const;
  void keep(const std::string& key, const std::string& object) const;

 private:
  std::string path_of(const std::string& key) const;
  std::string directory_;
};

}  // namespace mlpc::driver
