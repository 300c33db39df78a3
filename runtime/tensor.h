#pragma once

#include <cstddef>
#include <cstdint>
#include <new>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/abi.h"

namespace mlpc::runtime {

constexpr std::size_t kAlignment = 64;  // bytes: what the ABI asks of the caller's buffers; a cache line

/// Large ones begin a huge page and ask the system for such: weights whose rows lie apart would else need a
/// page each, and more than the processor remembers. Throws std::bad_alloc.
void* allocate_bytes(std::size_t bytes);
void free_bytes(void* p, std::size_t bytes);

template <typename T>
struct AlignedAllocator {
  using value_type = T;
  AlignedAllocator() = default;
  template <typename U>
  AlignedAllocator(const AlignedAllocator<U>&) {}
  T* allocate(std::size_t n) { return static_cast<T*>(allocate_bytes(n * sizeof(T))); }
  void deallocate(T* p, std::size_t n) { free_bytes(p, n * sizeof(T)); }
  bool operator==(const AlignedAllocator&) const = default;
};

using Bytes = std::vector<std::byte, AlignedAllocator<std::byte>>;
using Shape = std::vector<std::int64_t>;

std::int64_t size_of(mlpc_type type);
std::string_view name_of(mlpc_type type);  // "f32"
bool is_integer(mlpc_type type);
/// "[60000, 28, 28]"
std::string text_of(std::span<const std::int64_t> shape);
/// The product of the extents; none if one is negative or the product is 2⁶⁰ or more (so times 8 still fits).
std::optional<std::int64_t> element_count(std::span<const std::int64_t> shape);

/// A tensor of the host, row-major, little endian.
struct TensorView {
  mlpc_type type;
  std::span<const std::int64_t> shape;
  std::span<const std::byte> bytes;
};

struct Tensor {
  mlpc_type type = MLPC_F32;
  Shape shape;
  Bytes bytes;

  /// Zeros. Throws where the shape asks for more than can be addressed.
  static Tensor zeros(mlpc_type type, Shape shape);
  TensorView view() const { return {type, shape, bytes}; }
  template <typename T>
  std::span<T> as() {
    return {reinterpret_cast<T*>(bytes.data()), bytes.size() / sizeof(T)};
  }
  template <typename T>
  std::span<const T> as() const {
    return {reinterpret_cast<const T*>(bytes.data()), bytes.size() / sizeof(T)};
  }
};

/// Refuses a boolean that is neither 0 nor 1: generated code may rely on it.
void check_booleans(const TensorView& tensor, const std::string& where);

/// The value of a rank-0 tensor (or of its first element) as a double.
double scalar_of(const TensorView& tensor);

}  // namespace mlpc::runtime
