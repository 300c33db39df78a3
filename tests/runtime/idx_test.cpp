#include "runtime/idx.h"

#include <doctest/doctest.h>
#include <zlib.h>

#include "tests/runtime/damage.h"

namespace mlpc::runtime {
namespace {

Bytes compressed(const Bytes& content) {
  Bytes out(compressBound(content.size()) + 64);
  z_stream stream{};
  REQUIRE(deflateInit2(&stream, 9, Z_DEFLATED, 16 + MAX_WBITS, 9, Z_DEFAULT_STRATEGY) == Z_OK);
  stream.next_in = reinterpret_cast<Bytef*>(const_cast<std::byte*>(content.data()));
  stream.avail_in = static_cast<uInt>(content.size());
  stream.next_out = reinterpret_cast<Bytef*>(out.data());
  stream.avail_out = static_cast<uInt>(out.size());
  REQUIRE(deflate(&stream, Z_FINISH) == Z_STREAM_END);
  out.resize(out.size() - stream.avail_out);
  deflateEnd(&stream);
  return out;
}

Bytes file_of(char type, std::string_view extents, std::string_view data) {
  std::string text("\0\0", 2);
  text += type;
  text += static_cast<char>(extents.size());
  for (const char extent : extents) text += std::string{0, 0, 0, extent};
  return copy_of(text + std::string(data));
}

Bytes images() {
  std::string pixels;
  for (int i = 0; i < 3 * 20 * 20; ++i) pixels += static_cast<char>(i % 7 == 0 ? i : 0);
  return file_of(8, "\3\x14\x14", pixels);
}

}  // namespace

TEST_CASE("idx: every element type is read, big endian") {
  using namespace std::string_view_literals;
  const auto read = [](char type, std::string_view data) {
    return parse_idx(file_of(type, "\2", data), "FILE");
  };
  CHECK(is_same(read(8, "\1\xff").view(), tensor_of<std::uint8_t>(MLPC_U8, {2}, {1, 255}).view()));
  CHECK(is_same(read(9, "\1\xff").view(), tensor_of<std::int32_t>(MLPC_I32, {2}, {1, -1}).view()));
  CHECK(is_same(read(11, "\1\2\xff\xfe"sv).view(), tensor_of<std::int32_t>(MLPC_I32, {2}, {258, -2}).view()));
  CHECK(is_same(read(12, "\0\0\1\2\xff\xff\xff\xfe"sv).view(),
                tensor_of<std::int32_t>(MLPC_I32, {2}, {258, -2}).view()));
  CHECK(
      is_same(read(13, "\x3f\x80\0\0\xc0\0\0\0"sv).view(), tensor_of<float>(MLPC_F32, {2}, {1, -2}).view()));
  CHECK(is_same(read(14, "\x3f\xf0\0\0\0\0\0\0\xc0\0\0\0\0\0\0\0"sv).view(),
                tensor_of<double>(MLPC_F64, {2}, {1, -2}).view()));
}

TEST_CASE("idx: a cut or longer file is refused, compressed or not") {
  check_truncations([](const Bytes& f) { parse_idx(f, "FILE"); }, images());
  check_truncations([](const Bytes& f) { parse_idx_gz(f, "FILE"); }, compressed(images()));
}

TEST_CASE("idx: a compressed file gives the plain one's tensor, of one member or two") {
  const Bytes plain = images();
  const Tensor expected = parse_idx(plain, "FILE");
  CHECK(expected.shape == Shape{3, 20, 20});
  CHECK(is_same(parse_idx_gz(compressed(plain), "FILE").view(), expected.view()));
  Bytes two = compressed(Bytes(plain.begin(), plain.begin() + 9));
  const Bytes second = compressed(Bytes(plain.begin() + 9, plain.end()));
  two.insert(two.end(), second.begin(), second.end());
  CHECK(is_same(parse_idx_gz(two, "FILE").view(), expected.view()));
}

TEST_CASE("idx: a flipped bit of a compressed file is refused or changes nothing") {
  const Bytes plain = images();
  const Tensor expected = parse_idx(plain, "FILE");
  for_each_flip(compressed(plain), [&](const Bytes& file, std::size_t at) {
    CAPTURE(at);
    Tensor read;
    if (!refuses([&](const Bytes& f) { read = parse_idx_gz(f, "FILE"); }, file))
      CHECK(is_same(read.view(), expected.view()));
  });
}

TEST_CASE("idx: a flipped bit of a plain header is refused or gives as many bytes") {
  const Bytes plain = images();
  for_each_flip(plain, [&](const Bytes& file, std::size_t) {
    Tensor read;
    if (!refuses([&](const Bytes& f) { read = parse_idx(f, "FILE"); }, file))
      CHECK(read.bytes.size() >= plain.size() - 16);
  });
}

TEST_CASE("idx: an extent that the file does not hold takes no memory") {
  using namespace std::string_view_literals;
  const Bytes file = copy_of("\0\0\x08\2\x7f\xff\xff\xff\x7f\xff\xff\xffxyz"sv);
  CHECK(refuses([](const Bytes& f) { parse_idx(f, "FILE"); }, file));
  CHECK(refuses([](const Bytes& f) { parse_idx_gz(f, "FILE"); }, compressed(file)));
  const Bytes many_axes = copy_of("\0\0\x08\xff\xff\xff\xff\xff"sv);
  CHECK(refuses([](const Bytes& f) { parse_idx(f, "FILE"); }, many_axes));
}

}  // namespace mlpc::runtime
