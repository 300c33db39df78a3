#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace mlpc {

/// A mistake in what the user gave us (source, dump, option), found where no `Diagnostics` is at hand.
/// The text says what and where; whoever knows the file adds its name. Our own bugs are MLPC_CHECKs.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

template <typename... Args>
[[noreturn]] void fail(fmt::format_string<Args...> text, Args&&... args) {
  throw Error(fmt::format(text, std::forward<Args>(args)...));
}

namespace detail {
[[noreturn]] void check_failed(const char* file, int line, const std::string& text);
}

/// Stops on a bug of ours. The text names the pass and the value.
#define MLPC_CHECK(condition, ...)                                                                \
  do {                                                                                            \
    if (!(condition)) ::mlpc::detail::check_failed(__FILE__, __LINE__, fmt::format(__VA_ARGS__)); \
  } while (false)

}  // namespace mlpc
