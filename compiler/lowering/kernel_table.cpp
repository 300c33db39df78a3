#include "compiler/lowering/kernel_table.h"

#include <fmt/format.h>

#include <utility>

#include "ir/text.h"

namespace mlpc::lowering {

KernelTable::KernelTable(std::vector<ir::Kernel>& kernels) : kernels_(kernels) {
  for (std::uint32_t k = 0; k < kernels.size(); ++k) {
    const std::string name = std::exchange(kernels[k].name, "");
    by_text_.try_emplace(ir::print(kernels[k]), k);
    kernels[k].name = name;
  }
}

void KernelTable::add(std::vector<ir::Action>& actions, std::vector<ir::Kernel>& kernels) {
  for (ir::Action& action : actions) {
    if (auto* call = std::get_if<ir::KernelCall>(&action.kind))
      call->kernel = add(std::move(kernels[call->kernel]));
    if (std::vector<ir::Action>* inside = ir::actions_inside(action)) add(*inside, kernels);
  }
}

std::uint32_t KernelTable::add(ir::Kernel kernel) {
  kernel.name.clear();
  const auto [it, is_new] =
      by_text_.try_emplace(ir::print(kernel), static_cast<std::uint32_t>(kernels_.size()));
  if (is_new) {
    kernel.name = fmt::format("k{}", kernels_.size());
    kernels_.push_back(std::move(kernel));
  }
  return it->second;
}

}  // namespace mlpc::lowering
