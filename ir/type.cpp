#include "ir/type.h"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <cmath>

#include "ir/error.h"

namespace mlpc::ir {
namespace {

struct ElementTypeInfo {
  std::string_view name;
  int size;
};
constexpr std::array<ElementTypeInfo, 6> kElementTypes = {
    {{"f32", 4}, {"f64", 8}, {"i32", 4}, {"i64", 8}, {"u8", 1}, {"bool", 1}}};

}  // namespace

std::string_view name_of(ElementType type) { return kElementTypes[static_cast<std::size_t>(type)].name; }

std::optional<ElementType> element_type_named(std::string_view name) {
  for (std::size_t i = 0; i < kElementTypes.size(); ++i)
    if (kElementTypes[i].name == name) return static_cast<ElementType>(i);
  return std::nullopt;
}

int size_of(ElementType type) { return kElementTypes[static_cast<std::size_t>(type)].size; }

bool is_float(ElementType type) { return type == ElementType::f32 || type == ElementType::f64; }

bool is_integer(ElementType type) {
  return type == ElementType::i32 || type == ElementType::i64 || type == ElementType::u8;
}

Dim Type::element_count() const {
  Dim count = 1;
  for (const Dim& extent : shape) count = count * extent;
  return count;
}

std::string Type::text() const {
  std::string out = fmt::format("{}[", name_of(element));
  for (std::size_t i = 0; i < shape.size(); ++i) out += (i ? ", " : "") + shape[i].text();
  return out + "]";
}

Constant Constant::of(ElementType type, double value) {
  if (type == ElementType::f32) return {type, std::bit_cast<std::uint32_t>(static_cast<float>(value))};
  if (type == ElementType::f64) return {type, std::bit_cast<std::uint64_t>(value)};
  if (!(std::trunc(value) == value && std::abs(value) <= 0x1p53)) fail("{} is no {}", value, name_of(type));
  return of_integer(type, static_cast<std::int64_t>(value));
}

Constant Constant::of_integer(ElementType type, std::int64_t value) {
  const auto check_range = [&](std::int64_t low, std::int64_t high) {
    if (value < low || value > high) fail("{} is outside the range of {}", value, name_of(type));
  };
  switch (type) {
    case ElementType::f32:
    case ElementType::f64:
      return of(type, static_cast<double>(value));
    case ElementType::i32:
      check_range(INT32_MIN, INT32_MAX);
      break;
    case ElementType::i64:
      break;
    case ElementType::u8:
      check_range(0, 255);
      break;
    case ElementType::boolean:
      check_range(0, 1);
      break;
  }
  return {type, static_cast<std::uint64_t>(value)};
}

double Constant::as_double() const {
  if (type == ElementType::f32) return std::bit_cast<float>(static_cast<std::uint32_t>(bits));
  if (type == ElementType::f64) return std::bit_cast<double>(bits);
  return static_cast<double>(as_integer());
}

std::int64_t Constant::as_integer() const {
  MLPC_CHECK(!is_float(type), "as_integer of a {}", name_of(type));
  return static_cast<std::int64_t>(bits);
}

std::string Constant::text() const {
  if (type == ElementType::boolean) return bits ? "true" : "false";
  if (!is_float(type)) return fmt::format("{}", as_integer());
  // fmt prints the shortest text that reads back as this float or double.
  if (type == ElementType::f32) return fmt::format("{}", static_cast<float>(as_double()));
  return fmt::format("{}", as_double());
}

}  // namespace mlpc::ir
