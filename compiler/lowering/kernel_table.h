#pragma once

#include <cstdint>
#include <string>
#include <unordered_map>
#include <vector>

#include "ir/kernel.h"

namespace mlpc::lowering {

/// Keeps every distinct kernel of a program once: equal layers share their code.
class KernelTable {
 public:
  explicit KernelTable(std::vector<ir::Kernel>& kernels);

  /// Those that actions call.
  void add(std::vector<ir::Action>& actions, std::vector<ir::Kernel>& kernels);
  /// The number of the kernel in the program.
  std::uint32_t add(ir::Kernel kernel);

 private:
  std::vector<ir::Kernel>& kernels_;
  std::unordered_map<std::string, std::uint32_t> by_text_;  // without the name
};

}  // namespace mlpc::lowering
