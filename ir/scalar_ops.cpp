#include <algorithm>
#include <array>

#include "ir/error.h"
#include "ir/kernel.h"

namespace mlpc::ir {
namespace {

struct ScalarOpInfo {
  std::string_view name;
  int arity;
};
constexpr ScalarOpInfo kScalarOps[] = {
#define X(name, arity) {#name, arity},
#include "ir/scalar_ops.def"
#undef X
};

}  // namespace

std::string_view name_of(ScalarOp op) { return kScalarOps[static_cast<std::size_t>(op)].name; }

int arity_of(ScalarOp op) { return kScalarOps[static_cast<std::size_t>(op)].arity; }

std::optional<ScalarOp> scalar_op_named(std::string_view name) {
  const auto found = std::ranges::find(kScalarOps, name, &ScalarOpInfo::name);
  if (found == std::end(kScalarOps)) return std::nullopt;
  return static_cast<ScalarOp>(found - std::begin(kScalarOps));
}

AffineIndex operator+(const AffineIndex& a, const AffineIndex& b) {
  MLPC_CHECK(!(a.scalar && b.scalar), "two scalars in an index");
  AffineIndex out{a.constant + b.constant, a.terms, a.scalar ? a.scalar : b.scalar};
  for (const AffineIndex::Term& term : b.terms) {
    const auto at = std::ranges::lower_bound(out.terms, term.var, {}, &AffineIndex::Term::var);
    if (at == out.terms.end() || at->var != term.var)
      out.terms.insert(at, term);
    else
      at->coefficient = at->coefficient + term.coefficient;
  }
  std::erase_if(out.terms, [](const AffineIndex::Term& term) { return term.coefficient == Dim(0); });
  return out;
}

AffineIndex operator*(const Dim& factor, const AffineIndex& a) {
  MLPC_CHECK(!a.scalar, "a scalar index is scaled");
  AffineIndex out{factor * a.constant, a.terms, {}};
  for (AffineIndex::Term& term : out.terms) term.coefficient = factor * term.coefficient;
  std::erase_if(out.terms, [](const AffineIndex::Term& term) { return term.coefficient == Dim(0); });
  return out;
}

}  // namespace mlpc::ir
