#pragma once

#include <cstdint>
#include <string_view>

#include "compiler/lowering/specialize.h"

namespace mlpc::driver {

// What options say in numbers; mlpc::Error names the option where it does not have this form.

std::int64_t positive(std::string_view text, std::string_view option);
/// "B=128,T=64"
lowering::Extents parse_extents(std::string_view text, std::string_view option);

}  // namespace mlpc::driver
