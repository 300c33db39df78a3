#include "runtime/data.h"

#include <charconv>
#include <filesystem>
#include <limits>

#include "runtime/error.h"
#include "runtime/files.h"
#include "runtime/idx.h"
#include "runtime/npy.h"

namespace mlpc::runtime {
namespace {

template <typename T>
Tensor rank_0(mlpc_type type, T value) {
  Tensor out = Tensor::zeros(type, {});
  out.as<T>()[0] = value;
  return out;
}

template <typename T>
bool parse_whole(const std::string& text, T& value) {
  const char* end = text.data() + text.size();
  const auto [at, problem] = std::from_chars(text.data(), end, value);
  return problem == std::errc() && at == end;
}

/// A number from the command line: i64 where it is written as an integer, else f64. `with_type` fits it.
bool parse_number(const std::string& text, Tensor& out) {
  std::int64_t integer = 0;
  double real = 0;
  if (parse_whole(text, integer)) {
    out = rank_0(MLPC_I64, integer);
    return true;
  }
  if (!parse_whole(text, real)) return false;
  out = rank_0(MLPC_F64, real);
  return true;
}

template <typename To, typename From>
Tensor convert_integers(const Tensor& in, mlpc_type type, const std::string& where) {
  Tensor out = Tensor::zeros(type, in.shape);
  const auto from = in.as<From>();
  const auto to = out.as<To>();
  for (std::size_t i = 0; i < from.size(); ++i) {
    if (!std::in_range<To>(from[i]))
      fail(where, "element {} is {}, which does not fit the input's {}", i, from[i], name_of(type));
    to[i] = static_cast<To>(from[i]);
  }
  return out;
}

template <typename From>
Tensor to_integers(const Tensor& in, mlpc_type type, const std::string& where) {
  if (type == MLPC_I32) return convert_integers<std::int32_t, From>(in, type, where);
  if (type == MLPC_I64) return convert_integers<std::int64_t, From>(in, type, where);
  return convert_integers<std::uint8_t, From>(in, type, where);
}

template <typename To, typename From>
Tensor convert_reals(const Tensor& in, mlpc_type type) {
  Tensor out = Tensor::zeros(type, in.shape);
  const auto from = in.as<From>();
  const auto to = out.as<To>();
  for (std::size_t i = 0; i < from.size(); ++i) to[i] = static_cast<To>(from[i]);
  return out;
}

/// A number that was written in the command line has no type of its own.
Tensor written_number(const Tensor& in, mlpc_type type, const std::string& where) {
  if (type == MLPC_F32 || type == MLPC_F64) {
    const double value = scalar_of(in.view());
    return type == MLPC_F64 ? rank_0(type, value) : rank_0(type, static_cast<float>(value));
  }
  if (in.type == MLPC_F64) fail(where, "the input is {}, which takes whole numbers only", name_of(type));
  if (type == MLPC_BOOL) {
    const std::int64_t value = in.as<std::int64_t>()[0];
    if (value != 0 && value != 1) fail(where, "the input is bool, which takes 0 or 1");
    return rank_0(type, static_cast<std::uint8_t>(value));
  }
  return to_integers<std::int64_t>(in, type, where);
}

}  // namespace

Tensor parse_data(std::span<const std::byte> file, const std::string& where) {
  if (is_npy(file)) return parse_npy(file, where);
  if (is_gzip(file)) return parse_idx_gz(file, where);
  if (is_idx(file)) return parse_idx(file, where);
  fail(where, "is neither .npy nor IDX nor IDX.gz");
}

Inputs read_inputs(const std::vector<std::string>& arguments) {
  Inputs out;
  for (const std::string& argument : arguments) {
    const std::size_t equals = argument.find('=');
    if (equals == 0 || equals == std::string::npos)
      fail("", "`{}` is not of the form INPUT=FILE or INPUT=NUMBER", argument);
    const std::string name = argument.substr(0, equals), value = argument.substr(equals + 1);
    Input input{{}, argument};
    std::error_code ignored;
    input.is_literal = !std::filesystem::exists(value, ignored) && parse_number(value, input.tensor);
    if (!input.is_literal) input.tensor = parse_data(read_file(value), value);
    if (!out.emplace(name, std::move(input)).second) fail("", "the input `{}` is given twice", name);
  }
  return out;
}

std::string text_of(const mlpc_model& model, const mlpc_tensor& declared) {
  std::string out = fmt::format("{}[", name_of(static_cast<mlpc_type>(declared.type)));
  for (std::int64_t axis = 0; axis < declared.rank; ++axis) {
    const mlpc_extent& extent = declared.shape[axis];
    out += axis > 0 ? ", " : "";
    out += extent.dim < 0 ? fmt::format("{}", extent.constant) : std::string(model.dims[extent.dim]);
  }
  return out + "]";
}

DimBinder::DimBinder(const mlpc_model& model)
    : model_(model),
      values_(static_cast<std::size_t>(model.dim_count), -1),
      from_(static_cast<std::size_t>(model.dim_count)) {}

void DimBinder::set(std::int64_t dim, std::int64_t value, const std::string& where) {
  const auto i = static_cast<std::size_t>(dim);
  if (values_[i] >= 0 && values_[i] != value)
    fail(where, "the dim {} is {} here and {} in {}", model_.dims[dim], value, values_[i], from_[i]);
  if (values_[i] < 0) from_[i] = where;
  values_[i] = value;
}

std::vector<std::int64_t> DimBinder::dims() const {
  std::vector<std::int64_t> out = values_;
  for (std::int64_t& value : out)
    if (value < 0) value = 1;
  return out;
}

Shape DimBinder::bind(const mlpc_tensor& declared, const Shape& given, const std::string& where) {
  const std::span<const mlpc_extent> extents(declared.shape, static_cast<std::size_t>(declared.rank));
  std::size_t leading = 0;  // axes up to the last free one, which must match one by one
  for (std::size_t axis = 0; axis < extents.size(); ++axis)
    if (extents[axis].dim >= 0) leading = axis + 1;
  const auto misshapen = [&] {
    fail(where, "its shape {} does not fit the input `{}`, {}", text_of(given), declared.name,
         runtime::text_of(model_, declared));
  };
  if (given.size() < leading) misshapen();
  Shape out;
  for (std::size_t axis = 0; axis < extents.size(); ++axis) {
    const mlpc_extent& extent = extents[axis];
    out.push_back(extent.dim < 0 ? extent.constant : given[axis]);
    if (axis < leading && given[axis] != out[axis]) misshapen();
  }
  const auto rest = [&](const Shape& shape) { return element_count(std::span(shape).subspan(leading)); };
  if (!rest(given) || rest(given) != rest(out)) misshapen();
  for (std::size_t axis = 0; axis < leading; ++axis)
    if (extents[axis].dim >= 0) set(extents[axis].dim, out[axis], where);
  return out;
}

Tensor with_type(Input input, const mlpc_tensor& declared) {
  const auto wanted = static_cast<mlpc_type>(declared.type);
  Tensor& tensor = input.tensor;
  const std::string& where = input.where;
  if (tensor.type == wanted) return std::move(tensor);
  if (input.is_literal) return written_number(tensor, wanted, where);
  if (is_integer(wanted)) {
    if (tensor.type == MLPC_I32) return to_integers<std::int32_t>(tensor, wanted, where);
    if (tensor.type == MLPC_I64) return to_integers<std::int64_t>(tensor, wanted, where);
    if (tensor.type == MLPC_U8) return to_integers<std::uint8_t>(tensor, wanted, where);
  }
  if (wanted == MLPC_F64 && tensor.type == MLPC_F32) return convert_reals<double, float>(tensor, wanted);
  if (wanted == MLPC_F32 && tensor.type == MLPC_F64)
    fail(where, "holds f64 but the input `{}` is f32, which would lose digits; save `a.astype('f4')`",
         declared.name);
  fail(where, "holds {} but the input `{}` is {}; declare the input as {} and convert it in the net",
       name_of(tensor.type), declared.name, name_of(wanted), name_of(tensor.type));
}

}  // namespace mlpc::runtime
