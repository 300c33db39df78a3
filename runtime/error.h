#pragma once

#include <fmt/format.h>

#include <stdexcept>
#include <string>
#include <utility>

namespace mlpc::runtime {

/// A mistake in what the user gave us: a file, a flag, data that does not fit the model.
/// `where` is the file, input or parameter; the text says what was found there and what was expected.
class Error : public std::runtime_error {
 public:
  Error(std::string where, const std::string& problem)
      : std::runtime_error(where.empty() ? problem : where + ": " + problem), where_(std::move(where)) {}
  const std::string& where() const { return where_; }

 private:
  std::string where_;
};

template <typename... Args>
[[noreturn]] void fail(const std::string& where, fmt::format_string<Args...> text, Args&&... args) {
  throw Error(where, fmt::format(text, std::forward<Args>(args)...));
}

}  // namespace mlpc::runtime
