#pragma once

#include <string>

#include "ir/program.h"

namespace mlpc::ir::detail {

inline constexpr int kGraphVersion = 1, kKernelsVersion = 1;

std::string quoted(std::string_view text);
/// All of a program but its graphs and locations.
std::string print_header(const Program& program);
std::string print_locations(const Program& program);
std::string text_of(const Constant& constant);
std::string shape_text(const Shape& shape);

}  // namespace mlpc::ir::detail
