#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ir/kernel.h"
#include "ir/target.h"

namespace mlpc::codegen {

/// The rows of the target table that this processor runs.
std::vector<const ir::Target*> runnable_targets();

/// The undefined symbols of the kernel's object file.
std::vector<std::string> undefined_symbols(const ir::Kernel& kernel, const ir::Target& target,
                                           const std::vector<std::string>& dim_names);

/// A kernel as machine code in this process.
class CompiledKernel {
 public:
  CompiledKernel(const ir::Kernel& kernel, const ir::Target& target,
                 const std::vector<std::string>& dim_names);
  ~CompiledKernel();
  /// Runs all tasks, the last one first: their order must not matter.
  void run(const std::vector<std::int64_t>& dims, const std::vector<std::byte*>& buffers) const;
  std::int64_t task_count(const std::vector<std::int64_t>& dims) const;

 private:
  struct Jit;
  std::unique_ptr<Jit> jit_;
};

/// Memory between two pages that no one may touch; its end (or begin) is at the page's edge.
class GuardedMemory {
 public:
  GuardedMemory(std::size_t bytes, bool at_end);
  GuardedMemory(const GuardedMemory&) = delete;
  GuardedMemory& operator=(const GuardedMemory&) = delete;
  ~GuardedMemory();
  std::byte* data() const { return data_; }

 private:
  std::byte* pages_;
  std::size_t page_bytes_;
  std::byte* data_;
};

using Dims = std::map<std::string, std::int64_t, std::less<>>;

/// Whether the kernel's machine code leaves the same bytes as the interpreter in all buffers, for all
/// runnable targets and dims, beginning from memory filled by `seed`. Buffer `alias.second` is the memory of
/// buffer `alias.first`, if they differ.
void check_against_interpreter(const ir::Kernel& kernel, const std::vector<Dims>& dims,
                               std::pair<std::size_t, std::size_t> alias = {0, 0});

}  // namespace mlpc::codegen
