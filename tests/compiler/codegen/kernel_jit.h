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
                 const std::vector<std::string>& dim_names, bool shares_memory = false);
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

/// What the buffers hold before a run.
enum class Contents {
  ordinary,  // small numbers; of i64: 0 … 8, so that they can be indices
  extreme,   // infinities, NaNs, zeros of both signs, the ends of the integers, and small ones with many ties
};

struct RunOptions {
  Contents contents = Contents::ordinary;
  std::pair<std::size_t, std::size_t> alias = {0, 0};  // the second buffer is the first one's memory
  bool all_targets = false;  // else the widest and the narrowest that this processor runs
};

/// Whether the kernel's machine code leaves the same as the interpreter in all buffers for all `dims`; NaNs
/// are equal. Memory that is not the kernel's is out of reach.
void check_against_interpreter(const ir::Kernel& kernel, const std::vector<Dims>& dims,
                               const RunOptions& options = {});

}  // namespace mlpc::codegen
