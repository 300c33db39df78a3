#pragma once

#include <filesystem>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "compiler/frontend/ast.h"

namespace mlpc::frontend {

/// A file of definitions, parsed.
struct Unit {
  const SourceFile* file;
  const Block* block;
};

/// The files that `use` statements lead to. Each is read once, however often it is reached; a name is
/// relative to the file that says it and never leads outside the folder of the first one.
class UsedFiles {
 public:
  UsedFiles(const std::string& first_file, Diagnostics& diagnostics,
            std::vector<std::unique_ptr<SourceFile>>& files, std::vector<std::unique_ptr<Block>>& blocks);

  /// Reads what the file uses, and what that uses.
  void load(const Unit& unit);
  /// Each after those that it uses; without the files that `load` was given.
  const std::vector<Unit>& in_order() const { return in_order_; }
  /// The block of the file that a `use` statement names; null where it could not be read.
  const Block* block_of(const Stmt& use) const {
    const auto found = blocks_of_.find(&use);
    return found == blocks_of_.end() ? nullptr : found->second;
  }

 private:
  const Block* file_named(const Stmt& use, const SourceFile& by);
  void report(const Stmt& use, const SourceFile& by, std::string text) const;

  std::filesystem::path root_;
  Diagnostics& diagnostics_;
  std::vector<std::unique_ptr<SourceFile>>& files_;
  std::vector<std::unique_ptr<Block>>& blocks_;
  std::map<std::filesystem::path, const Block*> read_;  // null while what it uses is being read
  std::map<const Stmt*, const Block*> blocks_of_;
  std::vector<Unit> in_order_;
};

}  // namespace mlpc::frontend
