#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "ir/dim.h"

namespace mlpc::ir {

enum class ElementType : std::uint8_t { f32, f64, i32, i64, u8, boolean };

std::string_view name_of(ElementType type);  // "f32" … "bool"
std::optional<ElementType> element_type_named(std::string_view name);
int size_of(ElementType type);  // bytes
bool is_float(ElementType type);
bool is_integer(ElementType type);  // i32, i64, u8

using Shape = std::vector<Dim>;

struct Type {
  ElementType element = ElementType::f32;
  Shape shape;

  std::size_t rank() const { return shape.size(); }
  Dim element_count() const;
  std::string text() const;  // "f32[B, 256]"; rank 0 is "f32[]"
  friend bool operator==(const Type&, const Type&) = default;
};

/// One number with its type: the value of `constant`. Compared by bits, so that -0, 0 and NaNs are kept
/// apart.
struct Constant {
  ElementType type = ElementType::f32;
  std::uint64_t bits = 0;  // IEEE bits of f32 (low 32) or f64; two's complement of integers; 0 or 1 of bool

  static Constant of(ElementType type, double value);  // rounded to type; integers must be exact
  static Constant of_integer(ElementType type, std::int64_t value);
  double as_double() const;
  std::int64_t as_integer() const;  // of integers and bool
  std::string text() const;         // shortest decimal that parses back to the same bits; inf, -inf, nan
  friend bool operator==(const Constant&, const Constant&) = default;
};

}  // namespace mlpc::ir
