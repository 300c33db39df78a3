#include "compiler/frontend/use.h"

#include <fmt/format.h>

#include <algorithm>
#include <fstream>
#include <sstream>

#include "compiler/frontend/parser.h"

namespace mlpc::frontend {

namespace fs = std::filesystem;

namespace {

constexpr std::size_t kMostFiles = 100;
constexpr std::uintmax_t kLargestFile = 4 << 20;  // bytes

bool is_inside(const fs::path& path, const fs::path& folder) {
  return std::ranges::mismatch(folder, path).in1 == folder.end();
}

}  // namespace

UsedFiles::UsedFiles(const std::string& first_file, Diagnostics& diagnostics,
                     std::vector<std::unique_ptr<SourceFile>>& files,
                     std::vector<std::unique_ptr<Block>>& blocks)
    : diagnostics_(diagnostics), files_(files), blocks_(blocks) {
  std::error_code error;
  const fs::path folder = fs::path(first_file).parent_path();
  root_ = fs::canonical(folder.empty() ? "." : folder, error);
  read_[fs::weakly_canonical(first_file, error)] = nullptr;  // it cannot use itself
}

void UsedFiles::report(const Stmt& use, const SourceFile& by, std::string text) const {
  diagnostics_.add({"bad-use", &by, use.text_span, std::move(text), {}, {}});
}

void UsedFiles::load(const Unit& unit) {
  for (const Stmt& s : *unit.block)
    if (s.kind == Stmt::Kind::use)
      if (const Block* block = file_named(s, *unit.file)) blocks_of_[&s] = block;
}

const Block* UsedFiles::file_named(const Stmt& use, const SourceFile& by) {
  const auto refuse = [&](std::string text) -> const Block* {
    report(use, by, std::move(text));
    return nullptr;
  };
  const fs::path name = (fs::path(by.name).parent_path() / use.text).lexically_normal();
  std::error_code error;
  const fs::path path = fs::canonical(name, error);
  if (error) return refuse(fmt::format("`{}` cannot be read: {}", use.text, error.message()));
  if (!fs::is_regular_file(path, error))
    return refuse(fmt::format("`{}` cannot be read: it is not a file", use.text));
  if (!is_inside(path, root_))
    return refuse(fmt::format("`{}` is outside the folder of the file that is compiled", use.text));
  if (const auto known = read_.find(path); known != read_.end())
    return known->second
               ? known->second
               : refuse(fmt::format("`{}` is being read already: the files use each other", use.text));
  if (read_.size() >= kMostFiles)
    return refuse(fmt::format("with `{}`, more than {} files would be used", use.text, kMostFiles));
  if (fs::file_size(path, error) > kLargestFile)
    return refuse(fmt::format("`{}` is larger than {} bytes", use.text, kLargestFile));
  std::ifstream stream(path, std::ios::binary);
  std::stringstream text;
  text << stream.rdbuf();
  if (!stream) return refuse(fmt::format("`{}` cannot be read", use.text));
  read_[path] = nullptr;
  const SourceFile& file = *files_.emplace_back(std::make_unique<SourceFile>(name.string(), text.str()));
  const Block& block = *blocks_.emplace_back(std::make_unique<Block>(parse(file, diagnostics_)));
  load({&file, &block});
  in_order_.push_back({&file, &block});
  return read_[path] = &block;
}

}  // namespace mlpc::frontend
