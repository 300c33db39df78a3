#include "ir/dim.h"

#include <doctest/doctest.h>

#include <random>

#include "ir/error.h"
#include "ir/text.h"

namespace mlpc::ir {
namespace {

const Dim B = Dim::named("B"), T = Dim::named("T");

/// A random polynomial, floordiv and max included.
Dim random_dim(std::mt19937& random, int depth) {
  const auto below = [&](int n) { return std::uniform_int_distribution<int>(0, n - 1)(random); };
  switch (depth == 0 ? below(3) : below(7)) {
    case 0:
      return B;
    case 1:
      return T;
    case 2:
      return below(9);
    case 3:
      return random_dim(random, depth - 1) + random_dim(random, depth - 1);
    case 4:
      return random_dim(random, depth - 1) * Dim(1 + below(4)) - Dim(below(3));
    case 5:
      return Dim::floordiv(random_dim(random, depth - 1), 1 + below(6));
    default:
      return Dim::max(random_dim(random, depth - 1), random_dim(random, depth - 1));
  }
}

std::int64_t value_of(const Dim& dim, std::int64_t b, std::int64_t t) {
  return dim.evaluate([&](std::string_view name) { return name == "B" ? b : t; }).value();
}

TEST_CASE("equal polynomials have one form") {
  CHECK((B + T) * (B - T) == B * B - T * T);
  CHECK((B + T) * (B + T) - B * B - Dim(2) * B * T == T * T);
  CHECK(B - B == Dim(0));
  CHECK((Dim(2) * B * T + Dim(1)).text() == "2*B*T + 1");
  CHECK((T - B).text() == "-B + T");
  CHECK(Dim(0).text() == "0");
}

TEST_CASE("a quotient is as simple as it can be") {
  CHECK(Dim::floordiv(Dim(6) * B + Dim(7), 3) == Dim(2) * B + Dim(2));
  CHECK(Dim::floordiv(Dim(2) * B, 4) == Dim::floordiv(B, 2));
  CHECK(Dim::floordiv(Dim(2) * B + Dim(1), 4) == Dim::floordiv(B, 2));
  CHECK(Dim::floordiv(Dim(5) * B, 4) == B + Dim::floordiv(B, 4));
  CHECK(Dim::floordiv(B - Dim(3), 2) + Dim(1) == Dim::floordiv(B + Dim(1), 2) - Dim(1));
  CHECK(Dim::floordiv(Dim::floordiv(B + Dim(1), 2) + Dim(1), 2) == Dim::floordiv(B + Dim(3), 4));
  CHECK(Dim::floordiv(Dim(-7), 2) == Dim(-4));
  CHECK(Dim::floordiv(B, 1) == B);
  CHECK_THROWS_WITH_AS(Dim::floordiv(B, 0), "an extent is divided by 0", Error);
}

TEST_CASE("a maximum keeps only what can be the greatest") {
  CHECK(Dim::max(B, B + Dim(2)) == B + Dim(2));
  CHECK(Dim::max(Dim(1024) * B, Dim(40) * B) == Dim(1024) * B);
  CHECK(Dim::max(B, 0) == B);
  CHECK(Dim::max(3, 5) == Dim(5));
  CHECK(Dim::max(Dim::max(B, T), Dim(8)) == Dim::max(B, Dim::max(T, 8)));
  CHECK(Dim::max(Dim::max(B, T), B) == Dim::max(T, B));
  CHECK(Dim::max(Dim::max(B, T), B + T) == B + T);
  CHECK(Dim::max(B - T, 0).text() == "max(0, B - T)");
}

TEST_CASE("whatever form an extent takes, it has the value of what was written") {
  std::mt19937 random(1);
  for (int i = 0; i < 400; ++i) {
    const Dim x = random_dim(random, 3), y = random_dim(random, 3);
    const std::int64_t c = 1 + i % 7;
    for (const auto& [b, t] : {std::pair{0, 0}, {1, 0}, {7, 65}, {64, 3}}) {
      const std::int64_t u = value_of(x, b, t), v = value_of(y, b, t);
      CHECK(value_of(x + y, b, t) == u + v);
      CHECK(value_of(x - y, b, t) == u - v);
      CHECK(value_of(x * y, b, t) == u * v);
      CHECK(value_of(Dim::max(x, y), b, t) == std::max(u, v));
      CHECK(value_of(Dim::floordiv(x, c), b, t) == u / c - (u % c < 0));
    }
  }
}

TEST_CASE("with numbers for some names an extent has the value that it has with all") {
  std::mt19937 random(5);
  for (int i = 0; i < 300; ++i) {
    const Dim dim = random_dim(random, 4);
    const Dim bound = dim.with([](std::string_view name) -> std::optional<std::int64_t> {
      return name == "B" ? std::optional<std::int64_t>(7) : std::nullopt;
    });
    for (const std::string& name : bound.names()) CHECK(name == "T");
    const auto value_of = [](std::string_view name) { return name == "B" ? 7 : 5; };
    CHECK(bound.evaluate(value_of) == dim.evaluate(value_of));
  }
  CHECK(Dim::floordiv(B + T, 2).with([](std::string_view) { return 3; }) == Dim(3));
}

TEST_CASE("the text of an extent reads back as that extent") {
  std::mt19937 random(2);
  for (int i = 0; i < 200; ++i) {
    const Dim x = random_dim(random, 3);
    const std::string text =
        "mlpc.graph 1 graph\nmodel m : f32\nsource \"\"\ntarget \"x86-64\"\ndim B\ndim T\ninput \"x\" : "
        "f32[" +
        x.text() + "]\ntrain \"{}\"\n";
    CAPTURE(text);
    CHECK(parse_program(text, "t").inputs.at(0).type.shape.at(0) == x);
  }
}

TEST_CASE("products are divided where the quotient is a polynomial") {
  CHECK((B * T + Dim(2) * B).divided_by(B) == T + Dim(2));
  CHECK((B * B - T * T).divided_by(B - T) == B + T);
  CHECK((B + Dim(1)).divided_by(B) == std::nullopt);
  CHECK((Dim(3) * B).divided_by(2) == std::nullopt);
  CHECK(B.divided_by(0) == std::nullopt);
  CHECK(Dim(0).divided_by(B) == Dim(0));
}

TEST_CASE("nothing wraps: what 64 bits do not hold is an error, or no value") {
  CHECK_THROWS_WITH_AS(Dim(INT64_MAX) + Dim(1), "an extent does not fit in 64 bits", Error);
  CHECK_THROWS_WITH_AS(Dim(INT64_MAX) * Dim(2), "an extent does not fit in 64 bits", Error);
  CHECK((B * B).evaluate([](std::string_view) { return INT64_MAX; }) == std::nullopt);
  CHECK((B + Dim(1)).evaluate([](std::string_view) { return INT64_MAX; }) == std::nullopt);
  Dim high = B;
  CHECK_THROWS_WITH_AS(
      [&] {
        for (int i = 0; i < 7; ++i) high = high * high;
      }(),
      "an extent has too high a power", Error);
}

TEST_CASE("the names of an extent are found inside its atoms too, each once") {
  const Dim x = Dim::max(Dim::floordiv(T, 2), B * T) + B;
  CHECK(x.names() == std::vector<std::string>{"B", "T"});
}

}  // namespace
}  // namespace mlpc::ir
