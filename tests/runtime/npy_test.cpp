#include "runtime/npy.h"

#include <doctest/doctest.h>

#include <cstring>

#include "runtime/files.h"
#include "tests/runtime/damage.h"
#include "tests/support/temporary.h"

namespace mlpc::runtime {

using testing::TemporaryDirectory;

namespace {

Tensor parse(std::string_view text) { return parse_npy(copy_of(text), "FILE"); }

std::string version_1(std::string_view header, std::string_view data) {
  std::string out("\x93NUMPY\1\0", 8);
  out += static_cast<char>(header.size());
  out += '\0';
  return out + std::string(header) + std::string(data);
}

std::string message(std::string_view header, std::string_view data = "") {
  try {
    parse(version_1(header, data));
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

Tensor example() { return tensor_of<float>(MLPC_F32, {2, 3}, {1, -2, 3, 4, 5, 6}); }

Bytes file_of(const Tensor& tensor) {
  const TemporaryDirectory directory;
  write_npy(directory.file("a.npy"), tensor.view());
  return read_file(directory.file("a.npy"));
}

}  // namespace

TEST_CASE("npy: the header has the bytes that NumPy writes") {
  const std::int64_t shape[] = {2, 3};
  const std::string header = npy_header(MLPC_F32, shape);
  CHECK(header.size() == 128);
  CHECK(header.substr(0, 10) == std::string("\x93NUMPY\1\0\x76\0", 10));
  CHECK(header.substr(10, 60) == "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), } ");
  CHECK(header.back() == '\n');
  CHECK(npy_header(MLPC_U8, {}).find("'|u1', 'fortran_order': False, 'shape': (), }") != std::string::npos);
  CHECK(npy_header(MLPC_BOOL, std::span(shape, 1)).find("'shape': (2,), }") != std::string::npos);
}

TEST_CASE("npy: what was written is read back, of every type and rank") {
  for (const mlpc_type type : {MLPC_F32, MLPC_F64, MLPC_I32, MLPC_I64, MLPC_U8, MLPC_BOOL})
    for (const Shape& shape : {Shape{}, Shape{5}, Shape{2, 3}, Shape{0, 4}, Shape{1, 2, 3, 4}}) {
      Tensor t = Tensor::zeros(type, shape);
      for (std::size_t i = 0; i < t.bytes.size(); ++i)
        t.bytes[i] = std::byte(i % (type == MLPC_BOOL ? 2 : 251));
      CHECK(is_same(parse_npy(file_of(t), "FILE").view(), t.view()));
    }
}

TEST_CASE("npy: versions 1, 2 and 3 are read, keys in any order") {
  const std::string header = "{'shape': (2,), 'descr': '|u1', 'fortran_order': True}\n";
  CHECK(parse(version_1(header, "ab")).shape == Shape{2});
  for (const char major : {'\2', '\3'}) {
    std::string file = std::string("\x93NUMPY", 6) + major + '\0';
    file += std::string{static_cast<char>(header.size()), 0, 0, 0};
    CHECK(parse(file + header + "ab").type == MLPC_U8);
  }
}

TEST_CASE("npy: a cut or longer file is refused") {
  check_truncations([](const Bytes& file) { parse_npy(file, "FILE"); }, file_of(example()));
}

TEST_CASE("npy: a flipped bit of the header is refused or changes nothing") {
  const Tensor t = example();
  const Bytes whole = file_of(t);
  for_each_flip(whole, [&](const Bytes& file, std::size_t at) {
    const std::size_t header = whole.size() - t.bytes.size();
    Tensor read;
    const bool is_refused = refuses([&](const Bytes& f) { read = parse_npy(f, "FILE"); }, file);
    if (is_refused) return;
    CAPTURE(at);
    CHECK(read.type == t.type);
    CHECK(read.shape == t.shape);
    if (at < header) CHECK(is_same(read.view(), t.view()));
  });
}

TEST_CASE("npy: other element types and orders are refused with a hint") {
  CHECK(message("{'descr': '>f4', 'fortran_order': False, 'shape': (), }").find("newbyteorder") !=
        std::string::npos);
  CHECK(message("{'descr': '<i2', 'fortran_order': False, 'shape': (), }").find("astype('i4')") !=
        std::string::npos);
  CHECK(message("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2), }", "0123456789abcdef")
            .find("ascontiguousarray") != std::string::npos);
  CHECK(message("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (), }").find("structured") !=
        std::string::npos);
  CHECK(message("{'descr': '|b1', 'fortran_order': False, 'shape': (2,), }", "\1\2").find("element 1") !=
        std::string::npos);
}

TEST_CASE("npy: extents whose product overflows are refused") {
  CHECK(message("{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 4294967296), }") != "");
  CHECK(message("{'descr': '<f4', 'fortran_order': False, 'shape': (99999999999999999999,), }") != "");
}

}  // namespace mlpc::runtime
