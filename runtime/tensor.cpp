#include "runtime/tensor.h"

#include <fmt/ranges.h>
#include <sys/mman.h>

#include <cstring>

#include "runtime/error.h"

namespace mlpc::runtime {
namespace {

constexpr std::size_t kHugePage = std::size_t{2} << 20;

std::align_val_t alignment_of(std::size_t bytes) {
  return std::align_val_t{bytes >= kHugePage ? kHugePage : kAlignment};
}

}  // namespace

void* allocate_bytes(std::size_t bytes) {
  const std::size_t pages = (bytes + kHugePage - 1) / kHugePage * kHugePage;
  void* p = ::operator new(bytes >= kHugePage ? pages : bytes, alignment_of(bytes));
  if (bytes >= kHugePage) madvise(p, pages, MADV_HUGEPAGE);  // a wish: without it all works, too
  return p;
}

void free_bytes(void* p, std::size_t bytes) { ::operator delete(p, alignment_of(bytes)); }

std::int64_t size_of(mlpc_type type) {
  switch (type) {
    case MLPC_F32:
    case MLPC_I32:
      return 4;
    case MLPC_F64:
    case MLPC_I64:
      return 8;
    case MLPC_U8:
    case MLPC_BOOL:
      return 1;
  }
  fail("", "{} is no element type", static_cast<int>(type));
}

std::string_view name_of(mlpc_type type) {
  switch (type) {
    case MLPC_F32:
      return "f32";
    case MLPC_F64:
      return "f64";
    case MLPC_I32:
      return "i32";
    case MLPC_I64:
      return "i64";
    case MLPC_U8:
      return "u8";
    case MLPC_BOOL:
      return "bool";
  }
  fail("", "{} is no element type", static_cast<int>(type));
}

bool is_integer(mlpc_type type) { return type == MLPC_I32 || type == MLPC_I64 || type == MLPC_U8; }

std::string text_of(std::span<const std::int64_t> shape) {
  return fmt::format("[{}]", fmt::join(shape, ", "));
}

std::optional<std::int64_t> element_count(std::span<const std::int64_t> shape) {
  constexpr std::int64_t kLimit = std::int64_t{1} << 60;
  bool is_empty = false;
  std::int64_t count = 1;
  for (const std::int64_t extent : shape) {
    if (extent < 0 || extent >= kLimit) return {};
    is_empty = is_empty || extent == 0;
    if (!is_empty && __builtin_mul_overflow(count, extent, &count)) return {};
    if (count >= kLimit) return {};
  }
  return is_empty ? 0 : count;
}

Tensor Tensor::zeros(mlpc_type type, Shape shape) {
  const auto count = element_count(shape);
  if (!count) fail("", "a tensor {}{} is too large", name_of(type), text_of(shape));
  Tensor out{type, std::move(shape), {}};
  out.bytes.resize(static_cast<std::size_t>(*count * size_of(type)));
  return out;
}

void check_booleans(const TensorView& tensor, const std::string& where) {
  if (tensor.type != MLPC_BOOL) return;
  for (std::size_t i = 0; i < tensor.bytes.size(); ++i)
    if (std::to_integer<unsigned>(tensor.bytes[i]) > 1)
      fail(where, "element {} of a tensor of booleans is {}, neither 0 nor 1", i,
           std::to_integer<unsigned>(tensor.bytes[i]));
}

namespace {
template <typename T>
double first(std::span<const std::byte> bytes) {
  T value;
  std::memcpy(&value, bytes.data(), sizeof value);
  return static_cast<double>(value);
}
}  // namespace

double scalar_of(const TensorView& tensor) {
  if (tensor.bytes.size() < static_cast<std::size_t>(size_of(tensor.type)))
    fail("", "a tensor {} has no element", text_of(tensor.shape));
  switch (tensor.type) {
    case MLPC_F32:
      return first<float>(tensor.bytes);
    case MLPC_F64:
      return first<double>(tensor.bytes);
    case MLPC_I32:
      return first<std::int32_t>(tensor.bytes);
    case MLPC_I64:
      return first<std::int64_t>(tensor.bytes);
    case MLPC_U8:
    case MLPC_BOOL:
      return first<std::uint8_t>(tensor.bytes);
  }
  fail("", "{} is no element type", static_cast<int>(tensor.type));
}

}  // namespace mlpc::runtime
