#pragma once

#include <string_view>

namespace mlpc::driver {

/// The target row that this processor runs best: the only probe of the host in mlpc.
std::string_view host_target();

}  // namespace mlpc::driver
