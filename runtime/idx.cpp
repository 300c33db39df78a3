#include "runtime/idx.h"

#include <algorithm>
#include <array>
#include <cstring>

#include "runtime/error.h"
#include "runtime/files.h"
#include "runtime/gzip.h"

namespace mlpc::runtime {
namespace {

struct IdxType {
  unsigned code;
  std::size_t size;  // in the file
  mlpc_type type;    // of the tensor
};
constexpr IdxType kTypes[] = {{0x08, 1, MLPC_U8},  {0x09, 1, MLPC_I32}, {0x0B, 2, MLPC_I32},
                              {0x0C, 4, MLPC_I32}, {0x0D, 4, MLPC_F32}, {0x0E, 8, MLPC_F64}};

struct Header {
  IdxType type;
  Shape shape;
  std::size_t bytes;       // of the header
  std::size_t data_bytes;  // of the elements
};

std::uint64_t big_endian(std::span<const std::byte> bytes) {
  std::uint64_t value = 0;
  for (const std::byte b : bytes) value = value << 8 | std::to_integer<std::uint64_t>(b);
  return value;
}

constexpr std::size_t kGreatestHeader = 4 + 4 * 255;

/// `begin` is the file's beginning: kGreatestHeader bytes of it, or all.
Header parse_header(std::span<const std::byte> begin, const std::string& where) {
  if (!is_idx(begin)) fail(where, "is no IDX file: it does not begin with two zero bytes and a type");
  const auto code = std::to_integer<unsigned>(begin[2]);
  const auto type = std::ranges::find(kTypes, code, &IdxType::code);
  const std::size_t rank = std::to_integer<std::size_t>(begin[3]);
  Header out{*type, {}, 4 + 4 * rank, 0};
  if (begin.size() < out.bytes) fail(where, "the IDX file ends inside its header");
  for (std::size_t axis = 0; axis < rank; ++axis)
    out.shape.push_back(static_cast<std::int64_t>(big_endian(begin.subspan(4 + 4 * axis, 4))));
  const auto count = element_count(out.shape);
  if (!count) fail(where, "the IDX header says {}, which is too large", text_of(out.shape));
  out.data_bytes = static_cast<std::size_t>(*count) * type->size;
  return out;
}

[[noreturn]] void fail_size(const Header& header, const std::string& where) {
  fail(where, "the IDX header says {} elements of {} bytes, {}, which is not what follows",
       text_of(header.shape), header.type.size, header.data_bytes);
}

/// Elements from big endian to the host's, i8 and i16 to i32 with their sign.
Tensor convert(Header header, Bytes data) {
  Tensor out{header.type.type, std::move(header.shape), std::move(data)};
  const std::size_t size = header.type.size;
  if (out.type == MLPC_U8) return out;
  if (size == static_cast<std::size_t>(size_of(out.type))) {
    for (std::size_t at = 0; at < out.bytes.size(); at += size)
      std::reverse(out.bytes.begin() + static_cast<std::ptrdiff_t>(at),
                   out.bytes.begin() + static_cast<std::ptrdiff_t>(at + size));
    return out;
  }
  Bytes wide(out.bytes.size() / size * sizeof(std::int32_t));
  for (std::size_t i = 0; i < out.bytes.size() / size; ++i) {
    const std::uint64_t raw = big_endian(std::span(out.bytes).subspan(i * size, size));
    const std::int32_t value = size == 1 ? static_cast<std::int8_t>(raw) : static_cast<std::int16_t>(raw);
    std::memcpy(wide.data() + i * sizeof value, &value, sizeof value);
  }
  out.bytes = std::move(wide);
  return out;
}

}  // namespace

bool is_idx(std::span<const std::byte> file) {
  return file.size() >= 4 && file[0] == std::byte{0} && file[1] == std::byte{0} &&
         std::ranges::find(kTypes, std::to_integer<unsigned>(file[2]), &IdxType::code) != std::end(kTypes);
}

bool is_gzip(std::span<const std::byte> file) { return text_in(file).starts_with("\x1f\x8b"); }

Tensor parse_idx(std::span<const std::byte> file, const std::string& where) {
  Header header = parse_header(file, where);
  const std::span<const std::byte> data = file.subspan(header.bytes);
  if (data.size() != header.data_bytes) fail_size(header, where);
  return convert(std::move(header), Bytes(data.begin(), data.end()));
}

Tensor parse_idx_gz(std::span<const std::byte> file, const std::string& where) {
  GzipReader reader(file, where);
  std::array<std::byte, kGreatestHeader> begin;
  const std::size_t known = reader.read(begin);
  Header header = parse_header(std::span(begin).first(known), where);
  // Grown with what there is, not to what the header claims.
  constexpr std::size_t kPiece = 1U << 20;
  Bytes data(begin.begin() + static_cast<std::ptrdiff_t>(header.bytes),
             begin.begin() + static_cast<std::ptrdiff_t>(known));
  while (data.size() <= header.data_bytes) {
    const std::size_t before = data.size();
    const std::size_t piece = std::min(std::max(kPiece, before), header.data_bytes - before + 1);
    data.resize(before + piece);
    const std::size_t given = reader.read(std::span(data).subspan(before));
    data.resize(before + given);
    if (given < piece) break;
  }
  if (data.size() != header.data_bytes) fail_size(header, where);
  return convert(std::move(header), std::move(data));
}

}  // namespace mlpc::runtime
