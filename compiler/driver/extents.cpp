#include "compiler/driver/extents.h"

#include <algorithm>
#include <charconv>

#include "ir/error.h"

namespace mlpc::driver {

std::int64_t positive(std::string_view text, std::string_view option) {
  std::int64_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end != text.data() + text.size() || value <= 0)
    fail("{}: `{}` is no positive integer", option, text);
  return value;
}

lowering::Extents parse_extents(std::string_view text, std::string_view option) {
  lowering::Extents out;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    const std::string_view dim = text.substr(begin, end - begin);
    const std::size_t equals = dim.find('=');
    if (equals == std::string_view::npos || equals == 0) fail("{}: `{}` is not DIM=EXTENT", option, dim);
    out.emplace_back(dim.substr(0, equals), positive(dim.substr(equals + 1), option));
    begin = end + 1;
  }
  return out;
}

}  // namespace mlpc::driver
