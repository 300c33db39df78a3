#include "ir/dim.h"

#include <algorithm>
#include <numeric>
#include <span>

#include "ir/error.h"
#include "ir/hash.h"

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
std::strong_ordering compare_ranges(std::span<const T> a, std::span<const T> b, Compare compare) {
  for (std::size_t i = 0; i < std::min(a.size(), b.size()); ++i)
    if (const auto order = compare(a[i], b[i]); order != 0) return order;
  return a.size() <=> b.size();
}

std::strong_ordering compare_atoms(const DimAtom& a, const DimAtom& b) {
  if (a.kind != b.kind) return a.kind <=> b.kind;
  if (const auto order = a.name.compare(b.name); order != 0) return order <=> 0;
  return compare_ranges<Dim>(a.operands, b.operands, [](const Dim& x, const Dim& y) { return x <=> y; });
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
  return compare_ranges<DimFactor>(a.factors, b.factors, compare_factors);
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

/// a / b where that is an integer.
std::optional<std::int64_t> exact_quotient(std::int64_t a, std::int64_t b) {
  if (b == -1) return checked_multiply(a, b);
  return a % b == 0 ? std::optional(a / b) : std::nullopt;
}

/// a / b where that is a monomial with an integer coefficient.
std::optional<DimTerm> divide_terms(const DimTerm& a, const DimTerm& b) {
  const auto coefficient = exact_quotient(a.coefficient, b.coefficient);
  if (!coefficient) return std::nullopt;
  DimTerm out{{}, *coefficient};
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
  if (coefficient != 1) out = fmt::format("{}", coefficient);
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
  return dim.added() >= 0 && std::ranges::all_of(dim.terms(), [](const DimTerm& term) {
           return term.coefficient > 0 && std::ranges::all_of(term.factors, [](const DimFactor& factor) {
                    return is_never_negative(factor.atom);
                  });
         });
}

/// The atom that a polynomial consists of, if it is nothing else.
const DimAtom* lone_atom(const Dim& dim) {
  const bool is_lone = dim.added() == 0 && dim.terms().size() == 1 && dim.terms()[0].coefficient == 1 &&
                       dim.terms()[0].factors.size() == 1 && dim.terms()[0].factors[0].power == 1;
  return is_lone ? &dim.terms()[0].factors[0].atom : nullptr;
}

const DimAtom* lone_atom(const Dim& dim, DimAtom::Kind kind) {
  const DimAtom* atom = lone_atom(dim);
  return atom && atom->kind == kind ? atom : nullptr;
}

}  // namespace

/// Terms that are still being added.
class Dim::Sum {
 public:
  explicit Sum(std::int64_t constant = 0) : added_(constant) {}
  explicit Sum(const Dim& dim) : terms_(dim.terms().begin(), dim.terms().end()), added_(dim.added_) {}

  void add(std::int64_t constant) { added_ = checked_add(added_, constant); }

  void add(DimTerm term) {
    if (term.factors.empty()) return add(term.coefficient);
    const auto at = std::ranges::lower_bound(
        terms_, term, [](const DimTerm& a, const DimTerm& b) { return compare_monomials(a, b) < 0; });
    if (at == terms_.end() || compare_monomials(*at, term) != 0) {
      if (terms_.size() >= kMostTerms) fail("an extent has more than {} terms", kMostTerms);
      terms_.insert(at, std::move(term));
      return;
    }
    at->coefficient = checked_add(at->coefficient, term.coefficient);
    if (at->coefficient == 0) terms_.erase(at);
  }

  Dim dim() && {
    Dim out(added_);
    if (!terms_.empty()) out.terms_ = std::make_shared<const std::vector<DimTerm>>(std::move(terms_));
    return out;
  }

 private:
  std::vector<DimTerm> terms_;
  std::int64_t added_;
};

Dim Dim::of_atom(DimAtom atom) {
  Sum out;
  out.add({{{std::move(atom), 1}}, 1});
  return std::move(out).dim();
}

Dim Dim::named(std::string_view name) { return of_atom({DimAtom::Kind::name, std::string(name), {}}); }

Dim Dim::floordiv(const Dim& e, std::int64_t divisor) {
  if (divisor <= 0) fail("an extent is divided by {}", divisor);
  // ⌊(c·q + r) / c⌋ = q + ⌊r / c⌋ with coefficients of r in 0 … c - 1
  Sum whole(floor_quotient(e.added_, divisor));
  const std::int64_t offset = e.added_ - floor_quotient(e.added_, divisor) * divisor;
  std::vector<DimTerm> rest;
  std::int64_t common = divisor;
  for (const DimTerm& term : e.terms()) {
    const std::int64_t quotient = floor_quotient(term.coefficient, divisor);
    const std::int64_t remainder = term.coefficient - quotient * divisor;
    if (quotient != 0) whole.add({term.factors, quotient});
    if (remainder == 0) continue;
    rest.push_back({term.factors, remainder});
    common = std::gcd(common, remainder);
  }
  if (rest.empty()) return std::move(whole).dim();
  // ⌊(g·a + r) / (g·c)⌋ = ⌊(a + ⌊r / g⌋) / c⌋
  Sum numerator(floor_quotient(offset, common));
  for (const DimTerm& term : rest) numerator.add({term.factors, term.coefficient / common});
  const Dim divided = std::move(numerator).dim();
  return std::move(whole).dim() + (divisor == common ? divided : floordiv_atom(divided, divisor / common));
}

/// ⌊(⌊x / a⌋ + r) / b⌋ = ⌊(x + a·r) / (a·b)⌋
Dim Dim::floordiv_atom(const Dim& numerator, std::int64_t divisor) {
  Dim head = numerator;
  const std::int64_t r = std::exchange(head.added_, 0);
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

std::optional<Dim> Dim::divided_by(const Dim& divisor) const {
  if (const auto number = divisor.constant()) {
    if (*number == 0) return std::nullopt;
    const auto added = exact_quotient(added_, *number);
    if (!added) return std::nullopt;
    Sum quotient(*added);
    for (const DimTerm& term : terms()) {
      const auto coefficient = exact_quotient(term.coefficient, *number);
      if (!coefficient) return std::nullopt;
      quotient.add({term.factors, *coefficient});
    }
    return std::move(quotient).dim();
  }
  Dim quotient, rest = *this;
  // Long division by the leading term; the leading monomial falls in every round.
  while (!rest.is_constant()) {
    const auto term = divide_terms(rest.terms().front(), divisor.terms().front());
    if (!term) return std::nullopt;
    Sum step;
    step.add(*term);
    const Dim part = std::move(step).dim();
    quotient = quotient + part;
    rest = rest - part * divisor;
  }
  return rest.added_ == 0 ? std::optional(quotient) : std::nullopt;
}

std::optional<std::int64_t> Dim::evaluate(const ValueOf& value_of) const {
  std::int64_t sum = added_;
  for (const DimTerm& term : terms()) {
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
  Dim sum(added_);
  for (const DimTerm& term : terms()) {
    Dim product = term.coefficient;
    for (const DimFactor& factor : term.factors)
      for (int i = 0; i < factor.power; ++i) product = product * atom_with(factor.atom);
    sum = sum + product;
  }
  return sum;
}

int Dim::degree() const { return terms_ ? degree_of(terms_->front()) : 0; }

std::vector<std::string> Dim::names() const {
  std::vector<std::string> out;
  collect_names(*this, out);
  return out;
}

std::string Dim::text() const {
  std::string out;
  const auto add = [&](std::int64_t number, auto text_with) {
    const bool has_sign = number < 0 && number != INT64_MIN;  // that has no positive twin
    out += out.empty() ? (has_sign ? "-" : "") : has_sign ? " - " : " + ";
    out += text_with(has_sign ? -number : number);
  };
  for (const DimTerm& term : terms())
    add(term.coefficient, [&](std::int64_t coefficient) { return text_of(term, coefficient); });
  if (added_ != 0 || is_constant())
    add(added_, [](std::int64_t number) { return fmt::format("{}", number); });
  return out;
}

std::size_t Dim::hash() const {
  std::size_t seed = std::hash<std::int64_t>{}(added_);
  for (const DimTerm& term : terms()) {
    seed = mix(seed, std::hash<std::int64_t>{}(term.coefficient));
    for (const DimFactor& factor : term.factors) {
      seed = mix(seed, std::hash<std::string>{}(factor.atom.name));
      seed = mix(seed, static_cast<std::size_t>(factor.power));
      for (const Dim& operand : factor.atom.operands) seed = mix(seed, operand.hash());
    }
  }
  return seed;
}

Dim operator+(const Dim& a, const Dim& b) {
  if (a.terms_ && b.terms_) {
    Dim::Sum sum(a);
    for (const DimTerm& term : b.terms()) sum.add(term);
    sum.add(b.added_);
    return std::move(sum).dim();
  }
  Dim out = a.terms_ ? a : b;
  out.added_ = checked_add(a.added_, b.added_);
  return out;
}

Dim operator-(const Dim& a, const Dim& b) { return a + Dim(-1) * b; }

Dim operator*(const Dim& a, const Dim& b) {
  if (a == Dim(1)) return b;
  if (b == Dim(1)) return a;
  Dim::Sum sum(checked_multiply(a.added_, b.added_));
  for (const DimTerm& x : a.terms())
    for (const DimTerm& y : b.terms())
      sum.add({multiply_factors(x.factors, y.factors), checked_multiply(x.coefficient, y.coefficient)});
  const auto add_multiple = [&](const Dim& dim, std::int64_t number) {
    if (number == 0) return;
    for (const DimTerm& term : dim.terms())
      sum.add({term.factors, checked_multiply(term.coefficient, number)});
  };
  add_multiple(a, b.added_);
  add_multiple(b, a.added_);
  return std::move(sum).dim();
}

/// By the terms, of which a number other than 0 is the last.
std::strong_ordering Dim::compare(const Dim& a, const Dim& b) {
  const std::span<const DimTerm> x = a.terms(), y = b.terms();
  if (x.data() != y.data()) {
    const auto order =
        compare_ranges<DimTerm>(x.first(std::min(x.size(), y.size())), y.first(std::min(x.size(), y.size())),
                                [](const DimTerm& s, const DimTerm& t) {
                                  const auto monomials = compare_monomials(s, t);
                                  return monomials != 0 ? monomials : s.coefficient <=> t.coefficient;
                                });
    if (order != 0) return order;
    if (x.size() > y.size())
      return b.added_ == 0 ? std::strong_ordering::greater : std::strong_ordering::less;
    if (x.size() < y.size())
      return a.added_ == 0 ? std::strong_ordering::less : std::strong_ordering::greater;
  }
  if ((a.added_ == 0) != (b.added_ == 0)) return (a.added_ != 0) <=> (b.added_ != 0);
  return a.added_ <=> b.added_;
}

}  // namespace mlpc::ir
