#include "ir/dim.h"

#include <algorithm>
#include <numeric>
#include <span>

#include "ir/error.h"

namespace mlpc::ir {
namespace {

// A polynomial that a person writes has a handful of terms; these stop one that a file made up.
constexpr std::size_t kMostTerms = 256;
constexpr int kHighestPower = 64;

std::int64_t checked_add(std::int64_t a, std::int64_t b) {
  std::int64_t sum = 0;
  if (__builtin_add_overflow(a, b, &sum)) fail("an extent does not fit in 64 bits");
  return sum;
}

std::int64_t checked_multiply(std::int64_t a, std::int64_t b) {
  std::int64_t product = 0;
  if (__builtin_mul_overflow(a, b, &product)) fail("an extent does not fit in 64 bits");
  return product;
}

std::int64_t floor_quotient(std::int64_t a, std::int64_t b) { return a / b - (a % b < 0); }  // b > 0

template <typename T, typename Compare>
std::strong_ordering compare_ranges(const std::vector<T>& a, const std::vector<T>& b, Compare compare) {
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    if (const auto order = compare(a[i], b[i]); order != 0) return order;
  return a.size() <=> b.size();
}

std::strong_ordering compare_atoms(const DimAtom& a, const DimAtom& b) {
  if (a.kind != b.kind) return a.kind <=> b.kind;
  if (const auto order = a.name.compare(b.name); order != 0) return order <=> 0;
  return compare_ranges(a.operands, b.operands, [](const Dim& x, const Dim& y) { return x <=> y; });
}

std::strong_ordering compare_factors(const DimFactor& a, const DimFactor& b) {
  if (const auto order = compare_atoms(a.atom, b.atom); order != 0) return order;
  return b.power <=> a.power;
}

int degree_of(const DimTerm& term) {
  int degree = 0;
  for (const DimFactor& factor : term.factors) degree += factor.power;
  return degree;
}

/// By monomial alone: higher degrees first.
std::strong_ordering compare_monomials(const DimTerm& a, const DimTerm& b) {
  if (const int da = degree_of(a), db = degree_of(b); da != db) return db <=> da;
  return compare_ranges(a.factors, b.factors, compare_factors);
}

std::vector<DimFactor> multiply_factors(const std::vector<DimFactor>& a, const std::vector<DimFactor>& b) {
  std::vector<DimFactor> out = a;
  for (const DimFactor& factor : b) {
    const auto same = std::ranges::find_if(
        out, [&](const DimFactor& f) { return compare_atoms(f.atom, factor.atom) == 0; });
    if (same == out.end())
      out.push_back(factor);
    else if ((same->power += factor.power) > kHighestPower)
      fail("an extent has too high a power");
  }
  std::ranges::sort(out, [](const DimFactor& x, const DimFactor& y) { return compare_factors(x, y) < 0; });
  return out;
}

/// a / b where that is a monomial with an integer coefficient.
std::optional<DimTerm> divide_terms(const DimTerm& a, const DimTerm& b) {
  if (a.coefficient % b.coefficient != 0) return std::nullopt;
  DimTerm out{{}, a.coefficient / b.coefficient};
  std::size_t found = 0;
  for (const DimFactor& factor : a.factors) {
    const auto same = std::ranges::find_if(
        b.factors, [&](const DimFactor& f) { return compare_atoms(f.atom, factor.atom) == 0; });
    const int power = factor.power - (same == b.factors.end() ? 0 : same->power);
    if (power < 0) return std::nullopt;
    if (power > 0) out.factors.push_back({factor.atom, power});
    found += same != b.factors.end();
  }
  if (found != b.factors.size()) return std::nullopt;
  return out;
}

std::string text_of(const DimAtom& atom) {
  switch (atom.kind) {
    case DimAtom::Kind::name:
      return atom.name;
    case DimAtom::Kind::floordiv:
      return fmt::format("floordiv({}, {})", atom.operands[0].text(), atom.operands[1].text());
    case DimAtom::Kind::max: {
      std::string out = "max(";
      for (const Dim& operand : atom.operands) out += (out.size() > 4 ? ", " : "") + operand.text();
      return out + ")";
    }
  }
  return {};
}

std::string text_of(const DimTerm& term, std::int64_t coefficient) {
  std::string out;
  if (coefficient != 1 || term.factors.empty()) out = fmt::format("{}", coefficient);
  for (const DimFactor& factor : term.factors)
    for (int i = 0; i < factor.power; ++i) out += (out.empty() ? "" : "*") + text_of(factor.atom);
  return out;
}

void collect_names(const Dim& dim, std::vector<std::string>& names) {
  for (const DimTerm& term : dim.terms())
    for (const DimFactor& factor : term.factors) {
      if (factor.atom.kind == DimAtom::Kind::name &&
          std::ranges::find(names, factor.atom.name) == names.end())
        names.push_back(factor.atom.name);
      for (const Dim& operand : factor.atom.operands) collect_names(operand, names);
    }
}

using ValueOf = std::function<std::int64_t(std::string_view)>;

std::optional<std::int64_t> evaluate_atom(const DimAtom& atom, const ValueOf& value_of) {
  if (atom.kind == DimAtom::Kind::name) return value_of(atom.name);
  std::vector<std::int64_t> operands;
  for (const Dim& operand : atom.operands) {
    const auto value = operand.evaluate(value_of);
    if (!value) return std::nullopt;
    operands.push_back(*value);
  }
  if (atom.kind == DimAtom::Kind::max) return std::ranges::max(operands);
  return floor_quotient(operands[0], operands[1]);
}

bool is_never_negative(const Dim& dim);

/// The plan refuses free dims below 0.
bool is_never_negative(const DimAtom& atom) {
  switch (atom.kind) {
    case DimAtom::Kind::name:
      return true;
    case DimAtom::Kind::floordiv:
      return is_never_negative(atom.operands[0]);
    case DimAtom::Kind::max:
      return std::ranges::any_of(atom.operands, [](const Dim& d) { return is_never_negative(d); });
  }
  return false;
}

/// Sufficient, not necessary.
bool is_never_negative(const Dim& dim) {
  return std::ranges::all_of(dim.terms(), [](const DimTerm& term) {
    return term.coefficient > 0 && std::ranges::all_of(term.factors, [](const DimFactor& factor) {
             return is_never_negative(factor.atom);
           });
  });
}

/// The atom that a polynomial consists of, if it is nothing else.
const DimAtom* lone_atom(const Dim& dim) {
  const bool is_lone = dim.terms().size() == 1 && dim.terms()[0].coefficient == 1 &&
                       dim.terms()[0].factors.size() == 1 && dim.terms()[0].factors[0].power == 1;
  return is_lone ? &dim.terms()[0].factors[0].atom : nullptr;
}

const DimAtom* lone_atom(const Dim& dim, DimAtom::Kind kind) {
  const DimAtom* atom = lone_atom(dim);
  return atom && atom->kind == kind ? atom : nullptr;
}

}  // namespace

Dim::Dim(std::int64_t constant) {
  if (constant != 0) terms_.push_back({{}, constant});
}

Dim Dim::of_atom(DimAtom atom) {
  Dim out;
  out.terms_.push_back({{{std::move(atom), 1}}, 1});
  return out;
}

Dim Dim::named(std::string_view name) { return of_atom({DimAtom::Kind::name, std::string(name), {}}); }

Dim Dim::floordiv(const Dim& e, std::int64_t divisor) {
  if (divisor <= 0) fail("an extent is divided by {}", divisor);
  Dim whole, rest, offset;  // ⌊(c·q + r) / c⌋ = q + ⌊r / c⌋ with coefficients of r in 0 … c - 1
  std::int64_t common = divisor;
  for (const DimTerm& term : e.terms_) {
    const std::int64_t quotient = floor_quotient(term.coefficient, divisor);
    const std::int64_t remainder = term.coefficient - quotient * divisor;
    if (quotient != 0) whole.add_term({term.factors, quotient});
    if (remainder == 0) continue;
    (term.factors.empty() ? offset : rest).add_term({term.factors, remainder});
    if (!term.factors.empty()) common = std::gcd(common, remainder);
  }
  if (rest.terms_.empty()) return whole;
  // ⌊(g·a + r) / (g·c)⌋ = ⌊(a + ⌊r / g⌋) / c⌋
  Dim numerator(floor_quotient(offset.constant().value(), common));
  for (const DimTerm& term : rest.terms_) numerator.add_term({term.factors, term.coefficient / common});
  if (divisor == common) return whole + numerator;
  return whole + floordiv_atom(numerator, divisor / common);
}

/// ⌊(⌊x / a⌋ + r) / b⌋ = ⌊(x + a·r) / (a·b)⌋
Dim Dim::floordiv_atom(const Dim& numerator, std::int64_t divisor) {
  Dim head = numerator;
  const std::int64_t r = numerator.terms_.back().factors.empty() ? numerator.terms_.back().coefficient : 0;
  if (r != 0) head.terms_.pop_back();
  if (const DimAtom* inner = lone_atom(head, DimAtom::Kind::floordiv)) {
    const std::int64_t a = inner->operands[1].constant().value();
    return floordiv(inner->operands[0] + Dim(checked_multiply(a, r)), checked_multiply(a, divisor));
  }
  return of_atom({DimAtom::Kind::floordiv, {}, {numerator, Dim(divisor)}});
}

Dim Dim::max(const Dim& e, const Dim& f) {
  std::vector<Dim> all;
  for (const Dim* d : {&e, &f}) {
    if (const DimAtom* inner = lone_atom(*d, DimAtom::Kind::max))
      all.insert(all.end(), inner->operands.begin(), inner->operands.end());
    else
      all.push_back(*d);
  }
  std::ranges::sort(all);
  all.erase(std::unique(all.begin(), all.end()), all.end());
  std::vector<Dim> kept;  // those that no other one is known to reach
  for (const Dim& d : all)
    if (std::ranges::none_of(all, [&](const Dim& o) { return o != d && is_never_negative(o - d); }))
      kept.push_back(d);
  if (kept.size() == 1) return kept.front();
  if (kept.size() > kMostTerms) fail("an extent is the maximum of more than {}", kMostTerms);
  return of_atom({DimAtom::Kind::max, {}, std::move(kept)});
}

std::optional<std::int64_t> Dim::constant() const {
  if (terms_.empty()) return 0;
  if (terms_.size() == 1 && terms_[0].factors.empty()) return terms_[0].coefficient;
  return std::nullopt;
}

void Dim::add_term(const DimTerm& term) {
  const auto at = std::ranges::lower_bound(
      terms_, term, [](const DimTerm& a, const DimTerm& b) { return compare_monomials(a, b) < 0; });
  if (at == terms_.end() || compare_monomials(*at, term) != 0) {
    if (terms_.size() >= kMostTerms) fail("an extent has more than {} terms", kMostTerms);
    terms_.insert(at, term);
    return;
  }
  at->coefficient = checked_add(at->coefficient, term.coefficient);
  if (at->coefficient == 0) terms_.erase(at);
}

std::optional<Dim> Dim::divided_by(const Dim& divisor) const {
  if (divisor.terms_.empty()) return std::nullopt;
  Dim quotient, rest = *this;
  // Long division by the leading term; the leading monomial falls in every round.
  while (!rest.terms_.empty()) {
    const auto term = divide_terms(rest.terms_.front(), divisor.terms_.front());
    if (!term) return std::nullopt;
    Dim step;
    step.add_term(*term);
    quotient = quotient + step;
    rest = rest - step * divisor;
  }
  return quotient;
}

std::optional<std::int64_t> Dim::evaluate(const ValueOf& value_of) const {
  std::int64_t sum = 0;
  for (const DimTerm& term : terms_) {
    std::int64_t product = term.coefficient;
    for (const DimFactor& factor : term.factors) {
      const auto value = evaluate_atom(factor.atom, value_of);
      if (!value) return std::nullopt;
      for (int i = 0; i < factor.power; ++i)
        if (__builtin_mul_overflow(product, *value, &product)) return std::nullopt;
    }
    if (__builtin_add_overflow(sum, product, &sum)) return std::nullopt;
  }
  return sum;
}

Dim Dim::with(const std::function<std::optional<std::int64_t>(std::string_view)>& value_of) const {
  const auto atom_with = [&](const DimAtom& atom) {
    if (atom.kind == DimAtom::Kind::name) {
      const std::optional<std::int64_t> value = value_of(atom.name);
      return value ? Dim(*value) : of_atom(atom);
    }
    Dim out = atom.operands[0].with(value_of);
    if (atom.kind == DimAtom::Kind::floordiv) return floordiv(out, atom.operands[1].constant().value());
    for (const Dim& operand : std::span(atom.operands).subspan(1)) out = max(out, operand.with(value_of));
    return out;
  };
  Dim sum;
  for (const DimTerm& term : terms_) {
    Dim product = term.coefficient;
    for (const DimFactor& factor : term.factors)
      for (int i = 0; i < factor.power; ++i) product = product * atom_with(factor.atom);
    sum = sum + product;
  }
  return sum;
}

std::vector<std::string> Dim::names() const {
  std::vector<std::string> out;
  collect_names(*this, out);
  return out;
}

std::string Dim::text() const {
  if (terms_.empty()) return "0";
  std::string out;
  for (const DimTerm& term : terms_) {
    const bool has_sign = term.coefficient < 0 && term.coefficient != INT64_MIN;  // that has no positive twin
    out += out.empty() ? (has_sign ? "-" : "") : has_sign ? " - " : " + ";
    out += text_of(term, has_sign ? -term.coefficient : term.coefficient);
  }
  return out;
}

std::size_t Dim::hash() const { return std::hash<std::string>{}(text()); }

Dim operator+(const Dim& a, const Dim& b) {
  Dim out = a;
  for (const DimTerm& term : b.terms_) out.add_term(term);
  return out;
}

Dim operator-(const Dim& a, const Dim& b) { return a + Dim(-1) * b; }

Dim operator*(const Dim& a, const Dim& b) {
  Dim out;
  for (const DimTerm& x : a.terms_)
    for (const DimTerm& y : b.terms_)
      out.add_term({multiply_factors(x.factors, y.factors), checked_multiply(x.coefficient, y.coefficient)});
  return out;
}

std::strong_ordering Dim::compare(const Dim& a, const Dim& b) {
  return compare_ranges(a.terms_, b.terms_, [](const DimTerm& x, const DimTerm& y) {
    const auto order = compare_monomials(x, y);
    return order != 0 ? order : x.coefficient <=> y.coefficient;
  });
}

}  // namespace mlpc::ir
