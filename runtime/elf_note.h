#pragma once

#include <span>
#include <string>

namespace mlpc::runtime {

/// NAME of the model in a shared library, from its ELF note (owner "mlpc", type 1). Looks at the file's bytes
/// only: nothing of a library that mlpc did not make runs. Refuses what this processor cannot load.
std::string model_name_in(std::span<const std::byte> library, const std::string& where);

}  // namespace mlpc::runtime
