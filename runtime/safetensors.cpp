#include "runtime/safetensors.h"

#include <algorithm>
#include <nlohmann/json.hpp>
#include <set>
#include <tuple>

#include "runtime/error.h"
#include "runtime/files.h"

namespace mlpc::runtime {
namespace {

using Json = nlohmann::ordered_json;

constexpr std::size_t kPreamble = 8;
constexpr std::size_t kGreatestHeader = 64U << 20;
constexpr std::size_t kGreatestRank = 64;
constexpr int kGreatestDepth = 4;  // header, tensor, shape or offsets: 3

struct TypeName {
  std::string_view text;
  mlpc_type type;
};
constexpr TypeName kTypes[] = {{"F32", MLPC_F32}, {"F64", MLPC_F64}, {"I32", MLPC_I32},
                               {"I64", MLPC_I64}, {"U8", MLPC_U8},   {"BOOL", MLPC_BOOL}};

/// Parses JSON whose objects have no key twice, which nlohmann's own parser would silently drop.
Json parse_header(std::string_view text, const std::string& where) {
  std::vector<std::set<std::string>> keys;
  const Json::parser_callback_t look = [&](int depth, Json::parse_event_t event, Json& value) {
    if (depth > kGreatestDepth) fail(where, "the safetensors header is nested too deeply");
    if (event == Json::parse_event_t::object_start) keys.emplace_back();
    if (event == Json::parse_event_t::object_end) keys.pop_back();
    if (event == Json::parse_event_t::key && !keys.back().insert(value.get<std::string>()).second)
      fail(where, "the safetensors header has the key `{}` twice", value.get<std::string>());
    return true;
  };
  try {
    return Json::parse(text, look);
  } catch (const Json::exception& e) {
    fail(where, "the safetensors header is no JSON ({})", e.what());
  }
}

struct Placed {
  NamedView view;
  std::size_t begin, end;
};

class HeaderReader {
 public:
  HeaderReader(std::span<const std::byte> data, const std::string& where) : data_(data), where_(where) {}

  Placed tensor(const std::string& name, const Json& entry, std::vector<Shape>& shapes) {
    if (!entry.is_object() || entry.size() != 3 || !entry.contains("dtype") || !entry.contains("shape") ||
        !entry.contains("data_offsets"))
      fail(where_, "tensor `{}` has not exactly the keys dtype, shape and data_offsets", name);
    const mlpc_type type = type_of(name, entry["dtype"]);
    const std::vector<std::int64_t> offsets = numbers(name, entry["data_offsets"]);
    shapes.push_back(numbers(name, entry["shape"]));
    const Shape& shape = shapes.back();
    if (shape.size() > kGreatestRank) fail(where_, "tensor `{}` has more than {} axes", name, kGreatestRank);
    if (offsets.size() != 2 || offsets[0] > offsets[1] ||
        offsets[1] > static_cast<std::int64_t>(data_.size()))
      fail(where_, "tensor `{}` lies outside the file", name);
    const auto count = element_count(shape);
    if (!count || *count * size_of(type) != offsets[1] - offsets[0])
      fail(where_, "tensor `{}` is {}{}, which are not its {} bytes", name, name_of(type), text_of(shape),
           offsets[1] - offsets[0]);
    const auto begin = static_cast<std::size_t>(offsets[0]), end = static_cast<std::size_t>(offsets[1]);
    const TensorView view{type, shape, data_.subspan(begin, end - begin)};
    check_booleans(view, fmt::format("{}: tensor `{}`", where_, name));
    return {{name, view}, begin, end};
  }

 private:
  mlpc_type type_of(const std::string& name, const Json& dtype) {
    const std::string text = dtype.is_string() ? dtype.get<std::string>() : "";
    const auto found = std::ranges::find(kTypes, text, &TypeName::text);
    if (found == std::end(kTypes))
      fail(where_, "tensor `{}` has the dtype {}; known are F32, F64, I32, I64, U8 and BOOL", name,
           dtype.dump(-1, ' ', false, Json::error_handler_t::replace));
    return found->type;
  }

  std::vector<std::int64_t> numbers(const std::string& name, const Json& list) {
    std::vector<std::int64_t> out;
    if (!list.is_array()) fail(where_, "the shape or the offsets of tensor `{}` are no list", name);
    for (const Json& n : list) {
      if (!n.is_number_unsigned() || n.get<std::uint64_t>() >> 62 != 0)
        fail(where_, "the shape or the offsets of tensor `{}` hold {}", name,
             n.dump(-1, ' ', false, Json::error_handler_t::replace));
      out.push_back(n.get<std::int64_t>());
    }
    return out;
  }

  std::span<const std::byte> data_;
  const std::string& where_;
};

std::map<std::string, std::string> metadata_of(const Json& object, const std::string& where) {
  if (!object.is_object()) fail(where, "`__metadata__` is no object");
  std::map<std::string, std::string> out;
  for (const auto& [key, value] : object.items()) {
    if (!value.is_string()) fail(where, "the metadata `{}` is no string", key);
    out.emplace(key, value.get<std::string>());
  }
  return out;
}

/// Every byte of the data belongs to exactly one tensor.
void check_cover(std::vector<Placed>& placed, std::size_t data_bytes, const std::string& where) {
  std::ranges::sort(placed, [](const Placed& a, const Placed& b) {
    return std::tie(a.begin, a.end, a.view.name) < std::tie(b.begin, b.end, b.view.name);
  });
  std::size_t at = 0;
  for (const Placed& p : placed) {
    if (p.begin != at)
      fail(where, "tensor `{}` begins at byte {}; the one before it ends at {}", p.view.name, p.begin, at);
    at = p.end;
  }
  if (at != data_bytes) fail(where, "{} bytes follow the last tensor", data_bytes - at);
}

}  // namespace

const TensorView* Safetensors::find(const std::string& name) const {
  const auto found = std::ranges::find(tensors, name, &NamedView::name);
  return found == tensors.end() ? nullptr : &found->tensor;
}

Safetensors parse_safetensors(Bytes file, const std::string& where) {
  Safetensors out{std::move(file), {}, {}, {}};
  const std::span<const std::byte> bytes = out.file;
  if (bytes.size() < kPreamble) fail(where, "is no safetensors file: it has fewer than 8 bytes");
  std::uint64_t length = 0;
  for (std::size_t i = 0; i < kPreamble; ++i) length |= std::to_integer<std::uint64_t>(bytes[i]) << (8 * i);
  if (length > kGreatestHeader || length > bytes.size() - kPreamble)
    fail(where, "is no safetensors file, or is cut off: its header claims {} bytes", length);
  const auto header_bytes = static_cast<std::size_t>(length);
  const std::string_view text = text_in(bytes.subspan(kPreamble, header_bytes));
  if (!text.starts_with('{')) fail(where, "is no safetensors file: its header does not begin with a brace");
  const Json header = parse_header(text, where);
  const std::span<const std::byte> data = bytes.subspan(kPreamble + header_bytes);
  out.shapes.reserve(header.size());
  std::vector<Placed> placed;
  HeaderReader reader(data, where);
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__")
      out.metadata = metadata_of(entry, where);
    else
      placed.push_back(reader.tensor(name, entry, out.shapes));
  }
  check_cover(placed, data.size(), where);
  for (Placed& p : placed) out.tensors.push_back(std::move(p.view));
  return out;
}

Safetensors read_safetensors(const std::string& path) { return parse_safetensors(read_file(path), path); }

void write_safetensors(const std::string& path, const std::vector<NamedView>& tensors,
                       const std::map<std::string, std::string>& metadata) {
  Json header = Json::object();
  if (!metadata.empty()) header["__metadata__"] = metadata;
  std::size_t at = 0;
  for (const NamedView& t : tensors) {
    const auto type = std::ranges::find(kTypes, t.tensor.type, &TypeName::type);
    const std::size_t end = at + t.tensor.bytes.size();
    header[t.name] = {{"dtype", type->text}, {"shape", t.tensor.shape}, {"data_offsets", {at, end}}};
    at = end;
  }
  std::string text = header.dump();
  while ((kPreamble + text.size()) % kAlignment != 0) text += ' ';
  std::string preamble;
  for (std::size_t i = 0; i < kPreamble; ++i) preamble += static_cast<char>(text.size() >> (8 * i) & 0xff);
  preamble += text;
  std::vector<std::span<const std::byte>> parts = {bytes_of(preamble)};
  for (const NamedView& t : tensors) parts.push_back(t.tensor.bytes);
  write_file(path, parts);
}

}  // namespace mlpc::runtime
