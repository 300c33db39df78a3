#include <doctest/doctest.h>

#include "ir/verify.h"
#include "tests/compiler/frontend/sources.h"

namespace mlpc::testing {
namespace {

/// y of a model of the lines, with a[2, 3] = 1 … 6, b[3, 2] = 1 … 6, v[5] = 1 … 5.
Numbers indexed(const std::string& lines) {
  const ir::Program program =
      program_of(model("input a[2, 3]; input b[3, 2]; input v[5]\n" + lines + "\n output r = y"));
  ir::verify(program);
  return run(program, "infer", {{"a", {1, 2, 3, 4, 5, 6}}, {"b", {1, 2, 3, 4, 5, 6}}, {"v", {1, 2, 3, 4, 5}}})
      .at("r");
}

bool is_refused(const std::string& lines, std::string_view id) {
  return fails_with(model("input a[2, 3]; input b[3, 2]; input v[5]\n" + lines + "\n output r = y"), id);
}

}  // namespace

TEST_CASE("a sum over an index contracts; indices may stand in any order") {
  CHECK(indexed("y[i, j] = sum(k) a[i, k] * b[k, j]") == Numbers{22, 28, 49, 64});
  CHECK(indexed("y[j, i] = sum(k) a[i, k] * b[k, j]") == Numbers{22, 49, 28, 64});
  CHECK(indexed("y[i] = sum(k) a[i, k]") == Numbers{6, 15});
  CHECK(indexed("y = sum(i, k) a[i, k] * b[k, i]") == Numbers{22 + 64});
  CHECK(indexed("w = v[:2]\n y[i, k] = a[i, k] * b[k, i] + w[i]") == Numbers{2, 7, 16, 10, 22, 38});
}

TEST_CASE("a sum spans the product that follows, its sign included: looser than *, tighter than +") {
  CHECK(indexed("w = v[:2]\n y[i] = 1 + sum(k) 2 * a[i, k] + w[i]") == Numbers{14, 33});
  CHECK(indexed("y[i] = sum(k) -a[i, k] * 2") == Numbers{-12, -30});
  CHECK(indexed("y[i] = 10 - sum(k) a[i, k]") == Numbers{4, -5});
  CHECK(indexed("y[i] = sum(k) (a[i, k] + 1) * a[i, k] / 2") == Numbers{10, 46});
  CHECK(indexed("y[i] = sum(k) a[i, k] / b[k, i]") ==
        Numbers{1 + 2 / 3.0 + 3 / 5.0, 4 / 2.0 + 5 / 4.0 + 6 / 6.0});
  CHECK(indexed("y[i] = sum(k) sum(j) a[i, k] * b[k, j]") == Numbers{50, 113});
}

TEST_CASE("affine indices make convolutions, steps and turns") {
  CHECK(indexed("w = b[:, 0]\n y[i] = sum(u) v[i + u] * w[u]") ==
        Numbers{1 + 6 + 15, 2 + 9 + 20, 3 + 12 + 25});
  CHECK(indexed("w = b[:2, 0]\n y[i] = sum(u) v[2*i + u] * w[u]") == Numbers{1 + 6, 3 + 12});
  CHECK(indexed("w = b[:2, 0]\n y[i] = sum(u) v[i + 2*u] * w[u]") == Numbers{1 + 9, 2 + 12, 3 + 15});
  CHECK(indexed("y[i] = sum(u in 0..2) v[i + u]") == Numbers{3, 5, 7, 9});
  CHECK(indexed("w = b[:, 0]\n y[i] = sum(u) v[i + u] * w[2 - u]") ==
        Numbers{5 + 6 + 3, 10 + 9 + 4, 15 + 12 + 5});
}

TEST_CASE("an index that stands alone has the axis' extent, one in compound ones the largest range inside") {
  CHECK(indexed("y[i] = v[4 - i]") == Numbers{5, 4, 3, 2, 1});
  CHECK(indexed("y[i] = v[2*i + 1]") == Numbers{2, 4});
  CHECK(indexed("y[i] = v[3 - 2*i]") == Numbers{4, 2});
  CHECK(indexed("y[i] = v[i + 1] * v[i + 2]") == Numbers{6, 12, 20});
  CHECK(indexed("y[i, j] = a[i, 0] + b[-1, j]") == Numbers{6, 7, 9, 10});
  CHECK(is_refused("y[i] = sum(u) v[i + u]", "unknown-extent"));
  CHECK(is_refused("y[i, j] = v[i]", "unknown-extent"));
  CHECK(is_refused("y[i] = v[i] + a[i, 0]", "shape-mismatch"));
  CHECK(is_refused("y[i] = v[i] + v[i + 1]", "bad-index"));
  CHECK(is_refused("y[i] = sum(u in 0..9) v[i + u]", "bad-index"));
}

TEST_CASE("an index in several subscripts of a tensor runs along a diagonal") {
  CHECK(indexed("m[i, j] = sum(k) a[i, k] * b[k, j]\n y[i] = m[i, i]") == Numbers{22, 64});
  CHECK(indexed("m[i, j] = sum(k) a[i, k] * b[k, j]\n y = sum(i) m[i, i]") == Numbers{86});
  CHECK(indexed("y[i] = a[i, i + 1]") == Numbers{2, 6});
  CHECK(indexed("y[i] = a[i, 2 - i]") == Numbers{3, 5});
  CHECK(indexed("m = a @ b\n c[i, j, k] = m[i, j] * m[j, k]\n y[i] = c[i, i, i]") == Numbers{484, 4096});
  CHECK(indexed("y[i, j] = b[i + j, i]") == Numbers{1, 3, 4, 6});
}

TEST_CASE("functions of numbers are taken at every index, and an index is a number") {
  CHECK(indexed("y[i] = max(v[i], 3) + where(v[i] > 4, 10, 0) + i") == Numbers{3, 4, 5, 7, 19});
  CHECK(indexed("fn f(z) = relu(z - 3)^2\n y[i] = f(v[i])") == Numbers{0, 0, 0, 1, 4});
  CHECK(is_refused("y[i] = softmax(v[i])", "bad-index"));
  CHECK(is_refused("y[i] = a * v[i]", "bad-index"));
}

TEST_CASE("what is no index is an error") {
  CHECK(is_refused("y[1] = v[0]", "bad-index"));
  CHECK(is_refused("y[i, i] = a[i, i]", "bad-index"));
  CHECK(is_refused("y[i] = v[i, 0]", "bad-index"));
  CHECK(is_refused("k = 3\n y[i] = sum(k) a[i, k]", "bad-index"));
  CHECK(is_refused("y[i] = v[i * i]", "bad-index"));
  CHECK(is_refused("y = sum(nope) - v", "unknown-name"));
}

}  // namespace mlpc::testing
