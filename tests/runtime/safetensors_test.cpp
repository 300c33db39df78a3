#include "runtime/safetensors.h"

#include <doctest/doctest.h>

#include "runtime/files.h"
#include "tests/runtime/damage.h"
#include "tests/support/temporary.h"

namespace mlpc::runtime {

using testing::TemporaryDirectory;

namespace {

Bytes file_of(const std::string& header, std::string_view data) {
  std::string text;
  for (int i = 0; i < 8; ++i) text += static_cast<char>(header.size() >> (8 * i) & 0xff);
  return copy_of(text + header + std::string(data));
}

std::string message(const std::string& header, std::string_view data = "") {
  try {
    parse_safetensors(file_of(header, data), "FILE");
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

bool mentions(const std::string& text, std::string_view part) { return text.find(part) != std::string::npos; }

Bytes example() {
  const TemporaryDirectory directory;
  const std::string path = directory.file("w.safetensors");
  const Tensor w = tensor_of<float>(MLPC_F32, {2, 2}, {1, 2, 3, 4}),
               n = tensor_of<std::int64_t>(MLPC_I64, {}, {7});
  write_safetensors(path, {{"z.W", w.view()}, {"a.n", n.view()}}, {{"step", "12"}});
  CHECK(directory.count() == 1);
  return read_file(path);
}

}  // namespace

TEST_CASE("safetensors: what was written is read back, in its order") {
  const Safetensors read = parse_safetensors(example(), "FILE");
  REQUIRE(read.tensors.size() == 2);
  CHECK(read.tensors[0].name == "z.W");
  CHECK(is_same(read.tensors[0].tensor, tensor_of<float>(MLPC_F32, {2, 2}, {1, 2, 3, 4}).view()));
  CHECK(is_same(*read.find("a.n"), tensor_of<std::int64_t>(MLPC_I64, {}, {7}).view()));
  CHECK(read.find("b") == nullptr);
  CHECK(read.metadata == std::map<std::string, std::string>{{"step", "12"}});
}

TEST_CASE("safetensors: the bytes of a small file are known") {
  const TemporaryDirectory directory;
  const Tensor b = tensor_of<std::uint8_t>(MLPC_U8, {3}, {'x', 'y', 'z'});
  write_safetensors(directory.file("b"), {{"b", b.view()}}, {});
  const Bytes file = read_file(directory.file("b"));
  CHECK(text_in(file) == std::string("\x38\0\0\0\0\0\0\0", 8) +
                             R"({"b":{"dtype":"U8","shape":[3],"data_offsets":[0,3]}})" +
                             std::string(3, ' ') + "xyz");
}

TEST_CASE("safetensors: a cut or longer file is refused") {
  check_truncations([](const Bytes& f) { parse_safetensors(f, "FILE"); }, example());
}

TEST_CASE("safetensors: a flipped bit is refused or gives tensors that cover the data") {
  for_each_flip(example(), [&](const Bytes& file, std::size_t) {
    Safetensors read;
    if (refuses([&](const Bytes& f) { read = parse_safetensors(f, "FILE"); }, file)) return;
    std::size_t bytes = 0;
    for (const NamedView& t : read.tensors) bytes += t.tensor.bytes.size();
    CHECK(bytes == 24);
  });
}

TEST_CASE("safetensors: holes, overlaps, duplicates and wrong sizes are refused by name") {
  const std::string a = R"("a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]})";
  CHECK(message("{" + a + "}", "xy") == "");
  CHECK(mentions(message("{" + a + "}", "xyz"), "1 bytes follow"));
  CHECK(mentions(message("{" + a + "," + a + "}", "xy"), "`a` twice"));
  CHECK(
      mentions(message("{" + a + R"(,"b":{"dtype":"U8","shape":[1],"data_offsets":[3,4]}})", "wxyz"), "`b`"));
  CHECK(
      mentions(message("{" + a + R"(,"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})", "xyz"), "`b`"));
  CHECK(mentions(message(R"({"a":{"dtype":"F32","shape":[2],"data_offsets":[0,2]}})", "xy"), "f32[2]"));
  CHECK(mentions(message(R"({"a":{"dtype":"BF16","shape":[1],"data_offsets":[0,2]}})", "xy"), "BF16"));
  CHECK(mentions(message(R"({"a":{"dtype":"U8","shape":[4294967296,4294967296],"data_offsets":[0,0]}})"),
                 "`a`"));
  CHECK(mentions(message(R"({"a":{"dtype":"U8","shape":[-1],"data_offsets":[0,1]}})", "x"), "-1"));
  CHECK(
      mentions(message(R"({"a":{"dtype":"U8","shape":[1],"data_offsets":[0,1],"more":1}})", "x"), "exactly"));
  CHECK(mentions(message(R"({"__metadata__":{"step":12}})"), "`step`"));
  CHECK(mentions(message(std::string(100000, '{')), "no JSON"));
  CHECK(mentions(message(R"({"a":)" + std::string(100000, '[')), "nested"));
}

TEST_CASE("files: a failed write leaves the old content and nothing beside it") {
  const TemporaryDirectory directory;
  const std::string path = directory.file("w");
  write_file(path, bytes_of("old"));
  CHECK_THROWS_AS(write_file(directory.file("none/w"), bytes_of("new")), Error);
  CHECK_THROWS_AS(write_file(directory.file(""), bytes_of("new")), Error);
  CHECK(text_in(read_file(path)) == "old");
  CHECK(directory.count() == 1);
  CHECK_THROWS_AS(read_file(directory.file("none")), Error);
  CHECK_THROWS_AS(read_file(directory.file("")), Error);
}

}  // namespace mlpc::runtime
