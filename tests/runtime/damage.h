#pragma once

#include <doctest/doctest.h>

#include <cstddef>
#include <functional>
#include <string>

#include "runtime/error.h"
#include "runtime/tensor.h"

namespace mlpc::runtime {

/// Whether `read` refuses the file with an Error that names it (first line, without control characters).
inline bool refuses(const std::function<void(const Bytes&)>& read, const Bytes& file) {
  try {
    read(file);
    return false;
  } catch (const Error& e) {
    CHECK(std::string(e.what()).starts_with("FILE"));
    return true;
  }
}

/// Every shorter file, and every file with one byte more, is refused.
inline void check_truncations(const std::function<void(const Bytes&)>& read, const Bytes& whole) {
  REQUIRE_FALSE(refuses(read, whole));
  for (std::size_t n = 0; n < whole.size(); ++n) {
    CAPTURE(n);
    CHECK(refuses(read, Bytes(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(n))));
  }
  Bytes longer = whole;
  longer.push_back(std::byte{0});
  CHECK(refuses(read, longer));
}

/// Calls `look(file)` with every file that differs from `whole` in one bit.
inline void for_each_flip(const Bytes& whole, const std::function<void(const Bytes&, std::size_t)>& look) {
  Bytes file = whole;
  for (std::size_t i = 0; i < file.size(); ++i)
    for (int bit = 0; bit < 8; ++bit) {
      file[i] ^= std::byte{1} << bit;
      look(file, i);
      file[i] ^= std::byte{1} << bit;
    }
}

inline Bytes copy_of(std::string_view text) {
  const auto bytes = std::as_bytes(std::span(text.data(), text.size()));
  return {bytes.begin(), bytes.end()};
}

template <typename T>
Tensor tensor_of(mlpc_type type, Shape shape, std::initializer_list<T> values) {
  Tensor out = Tensor::zeros(type, std::move(shape));
  REQUIRE(out.as<T>().size() == values.size());
  std::copy(values.begin(), values.end(), out.as<T>().begin());
  return out;
}

inline bool is_same(const TensorView& a, const TensorView& b) {
  return a.type == b.type && std::equal(a.shape.begin(), a.shape.end(), b.shape.begin(), b.shape.end()) &&
         std::equal(a.bytes.begin(), a.bytes.end(), b.bytes.begin(), b.bytes.end());
}

}  // namespace mlpc::runtime
