#pragma once

#include <compare>
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace mlpc::ir {

class Dim;

/// What a polynomial is over: a free dim's name, floordiv(e, c) with a constant c > 0, or max(e, f, …).
struct DimAtom {
  enum class Kind : std::uint8_t { name, floordiv, max };
  Kind kind;
  std::string name;           // of Kind::name
  std::vector<Dim> operands;  // floordiv: {e, c}; max: two or more, ascending
};

struct DimFactor {
  DimAtom atom;
  int power;
};

/// coefficient · Π atomᵢ^powerᵢ; one factor or more, atoms ascending, coefficient never 0.
struct DimTerm {
  std::vector<DimFactor> factors;
  std::int64_t coefficient;
};

/// An extent: a canonical polynomial with 64-bit coefficients, terms + a constant. Equal canonical forms are
/// equal extents; what cannot be proved equal becomes a plan-time check. All arithmetic is checked and throws
/// mlpc::Error. Copies share their terms, and most extents have none: types, which are full of extents, cost
/// little to copy.
class Dim {
 public:
  Dim() = default;  // 0
  // NOLINTNEXTLINE(google-explicit-constructor): an extent is written as a number
  Dim(std::int64_t constant) : added_(constant) {}
  static Dim named(std::string_view name);
  static Dim of_atom(DimAtom atom);  // of an atom that a Dim has
  /// ⌊e / divisor⌋, divisor > 0; what divides exactly is taken out of the atom, nested ones become one.
  static Dim floordiv(const Dim& e, std::int64_t divisor);
  /// ⌈e / divisor⌉: how many parts of that size an extent has.
  static Dim ceildiv(const Dim& e, std::int64_t divisor) { return floordiv(e + Dim(divisor - 1), divisor); }
  /// Operands that another one is known to reach are left out: free dims are never negative.
  static Dim max(const Dim& e, const Dim& f);

  std::optional<std::int64_t> constant() const { return terms_ ? std::nullopt : std::optional(added_); }
  bool is_constant() const { return !terms_; }
  /// Highest first. Empty for a constant.
  std::span<const DimTerm> terms() const { return terms_ ? std::span(*terms_) : std::span<const DimTerm>(); }
  /// What is added to the terms.
  std::int64_t added() const { return added_; }
  /// The q with q · divisor == *this as polynomials, if there is one.
  std::optional<Dim> divided_by(const Dim& divisor) const;
  /// The value when `value_of` gives each name's; nullopt if 64 bits do not hold it.
  std::optional<std::int64_t> evaluate(const std::function<std::int64_t(std::string_view)>& value_of) const;
  /// With the value of each name that `value_of` gives one for in the name's place.
  Dim with(const std::function<std::optional<std::int64_t>(std::string_view)>& value_of) const;
  /// Of the polynomial, its atoms counted as variables; 0 for a constant.
  int degree() const;
  /// All names in it, each once, in order of first occurrence.
  std::vector<std::string> names() const;
  /// As the text form writes it: `2*B*T + floordiv(N + 1, 2)`.
  std::string text() const;
  std::size_t hash() const;

  friend Dim operator+(const Dim&, const Dim&);
  friend Dim operator-(const Dim&, const Dim&);
  friend Dim operator*(const Dim&, const Dim&);
  friend bool operator==(const Dim& a, const Dim& b) { return compare(a, b) == 0; }
  friend std::strong_ordering operator<=>(const Dim& a, const Dim& b) { return compare(a, b); }

 private:
  class Sum;
  static std::strong_ordering compare(const Dim&, const Dim&);
  static Dim floordiv_atom(const Dim& numerator, std::int64_t divisor);
  std::shared_ptr<const std::vector<DimTerm>> terms_;  // none for a constant
  std::int64_t added_ = 0;
};

}  // namespace mlpc::ir
