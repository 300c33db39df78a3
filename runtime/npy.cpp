#include "runtime/npy.h"

#include <algorithm>
#include <array>
#include <optional>

#include "runtime/error.h"
#include "runtime/files.h"

namespace mlpc::runtime {
namespace {

constexpr std::string_view kMagic = "\x93NUMPY";
constexpr std::size_t kGreatestHeader = 1U << 16;
constexpr std::size_t kGreatestRank = 64;  // NumPy 2's own

struct TypeName {
  std::string_view text;
  mlpc_type type;
};
constexpr TypeName kTypes[] = {{"<f4", MLPC_F32}, {"<f8", MLPC_F64}, {"<i4", MLPC_I32},
                               {"<i8", MLPC_I64}, {"|u1", MLPC_U8},  {"|b1", MLPC_BOOL}};

struct Header {
  std::optional<mlpc_type> type;
  std::optional<bool> is_fortran;
  std::optional<Shape> shape;
};

/// Reads {'descr': '<f4', 'fortran_order': False, 'shape': (60000, 784), }, keys in any order.
class HeaderReader {
 public:
  HeaderReader(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  Header run() {
    Header header;
    expect('{');
    while (!accept('}')) {
      read_entry(header);
      if (accept(',')) continue;
      expect('}');
      break;
    }
    skip_spaces();
    if (at_ < text_.size() && text_[at_] == '\n') ++at_;
    if (at_ != text_.size()) bad("text after the closing brace");
    if (!header.type || !header.is_fortran || !header.shape)
      bad("it lacks one of `descr`, `fortran_order`, `shape`");
    return header;
  }

 private:
  [[noreturn]] void bad(std::string_view what) {
    fail(where_, "the .npy header is malformed at character {}: {}", at_, what);
  }

  void skip_spaces() {
    while (at_ < text_.size() && text_[at_] == ' ') ++at_;
  }
  bool accept(char c) {
    skip_spaces();
    if (at_ == text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  void expect(char c) {
    if (!accept(c)) bad(fmt::format("`{}` was expected", c));
  }
  bool accept_word(std::string_view word) {
    skip_spaces();
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }

  std::string_view string() {
    expect('\'');
    const std::size_t end = text_.find('\'', at_);
    if (end == std::string_view::npos) bad("a string does not end");
    const std::string_view out = text_.substr(at_, end - at_);
    at_ = end + 1;
    return out;
  }

  void read_entry(Header& header) {
    const std::string_view key = string();
    expect(':');
    if (key == "descr" && !header.type) {
      skip_spaces();
      if (at_ < text_.size() && text_[at_] == '[')
        fail(where_, "it is a structured array; save one field of it");
      header.type = type_named(string());
    } else if (key == "fortran_order" && !header.is_fortran) {
      header.is_fortran = accept_word("True");
      if (!*header.is_fortran && !accept_word("False")) bad("`True` or `False` was expected");
    } else if (key == "shape" && !header.shape) {
      header.shape = shape();
    } else {
      bad("a key is unknown or comes twice");
    }
  }

  mlpc_type type_named(std::string_view text) {
    const auto found = std::ranges::find(kTypes, text, &TypeName::text);
    if (found != std::end(kTypes)) return found->type;
    if (text.starts_with('>'))
      fail(where_, "its elements are big endian (`{}`); save `a.astype(a.dtype.newbyteorder('<'))`", text);
    if (text.size() < 2) bad("a type is too short");
    const std::string_view kind = text.substr(1);
    constexpr std::string_view kWidened[] = {"i1", "i2", "u2", "u4", "u8"};
    if (std::ranges::find(kWidened, kind) != std::end(kWidened))
      fail(where_, "its elements are `{}`, which no model reads; save `a.astype('i4')` or `a.astype('i8')`",
           text);
    if (kind == "f2" || kind == "f16")
      fail(where_, "its elements are `{}`, which no model reads; save `a.astype('f4')`", text);
    fail(where_, "its elements are `{}`; known are f4, f8, i4, i8, u1 and b1", text);
  }

  std::int64_t number() {
    skip_spaces();
    std::int64_t value = 0;
    const std::size_t begin = at_;
    for (; at_ < text_.size() && text_[at_] >= '0' && text_[at_] <= '9'; ++at_)
      if (__builtin_mul_overflow(value, 10, &value) ||
          __builtin_add_overflow(value, text_[at_] - '0', &value))
        bad("an extent is too large");
    if (at_ == begin) bad("an extent was expected");
    return value;
  }

  Shape shape() {
    Shape out;
    expect('(');
    while (!accept(')')) {
      if (out.size() == kGreatestRank) bad("the shape has more than 64 axes");
      out.push_back(number());
      if (accept(',')) continue;
      if (out.size() == 1) bad("a tuple of one element has a comma");
      expect(')');
      break;
    }
    return out;
  }

  std::string_view text_;
  const std::string& where_;
  std::size_t at_ = 0;
};

std::size_t little_endian(std::span<const std::byte> bytes) {
  std::size_t value = 0;
  for (std::size_t i = 0; i < bytes.size(); ++i) value |= std::to_integer<std::size_t>(bytes[i]) << (8 * i);
  return value;
}

}  // namespace

bool is_npy(std::span<const std::byte> file) { return text_in(file).starts_with(kMagic); }

Tensor parse_npy(std::span<const std::byte> file, const std::string& where) {
  if (!is_npy(file)) fail(where, "is no .npy file: it does not begin with \\x93NUMPY");
  if (file.size() < 10) fail(where, "the .npy file ends inside its header");
  const auto major = std::to_integer<unsigned>(file[6]), minor = std::to_integer<unsigned>(file[7]);
  if (major < 1 || major > 3 || minor != 0)
    fail(where, "is a .npy file of version {}.{}; known are 1.0, 2.0 and 3.0", major, minor);
  const std::size_t begin = major == 1 ? 10 : 12;
  if (file.size() < begin) fail(where, "the .npy file ends inside its header");
  const std::size_t length = little_endian(file.subspan(8, begin - 8));
  if (length > kGreatestHeader)
    fail(where, "the .npy header claims {} bytes; at most {} are read", length, kGreatestHeader);
  if (length > file.size() - begin) fail(where, "the .npy file ends inside its header");
  Header header = HeaderReader(text_in(file.subspan(begin, length)), where).run();
  if (*header.is_fortran && header.shape->size() > 1)
    fail(where, "is stored column-major; save `numpy.ascontiguousarray(a)`");
  const auto count = element_count(*header.shape);
  const std::span<const std::byte> data = file.subspan(begin + length);
  if (!count || static_cast<std::size_t>(*count * size_of(*header.type)) != data.size())
    fail(where, "the header says {}{}, which are not the {} bytes that follow", name_of(*header.type),
         text_of(*header.shape), data.size());
  Tensor out{*header.type, std::move(*header.shape), Bytes(data.begin(), data.end())};
  check_booleans(out.view(), where);
  return out;
}

std::string npy_header(mlpc_type type, std::span<const std::int64_t> shape) {
  const auto name = std::ranges::find(kTypes, type, &TypeName::type);
  std::string text = fmt::format("{{'descr': '{}', 'fortran_order': False, 'shape': (", name->text);
  for (std::size_t i = 0; i < shape.size(); ++i)
    text += fmt::format("{}{}", shape[i],
                        i + 1 == shape.size() && i > 0 ? ""
                        : i == 0 && shape.size() == 1  ? ","
                                                       : ", ");
  text += "), }";
  constexpr std::size_t kPreamble = 10;
  while ((kPreamble + text.size() + 1) % kAlignment != 0) text += ' ';
  text += '\n';
  std::string out(kMagic);
  out += {'\1', '\0', static_cast<char>(text.size() & 0xff), static_cast<char>(text.size() >> 8)};
  return out + text;
}

void write_npy(const std::string& path, const TensorView& tensor) {
  const std::string header = npy_header(tensor.type, tensor.shape);
  const std::span<const std::byte> parts[] = {bytes_of(header), tensor.bytes};
  write_file(path, parts);
}

}  // namespace mlpc::runtime
