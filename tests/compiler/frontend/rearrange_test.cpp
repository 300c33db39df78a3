#include <doctest/doctest.h>

#include "tests/compiler/frontend/sources.h"

namespace mlpc::testing {

TEST_CASE("rearrange takes axes apart, reorders and joins them") {
  const Values out =
      run(program_of(model("input x[2, 6]\n output a = rearrange(x, \"b (h d) -> h b d\", h = 3)\n"
                           "output c = rearrange(x, \"b (h d) -> (d b) h\", d = 2)\n"
                           "output t = rearrange(x, \"a b -> b a\")")),
          "infer", {{"x", {0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11}}});
  CHECK(out.at("a") == std::vector<double>{0, 1, 6, 7, 2, 3, 8, 9, 4, 5, 10, 11});
  CHECK(out.at("c") == std::vector<double>{0, 2, 4, 6, 8, 10, 1, 3, 5, 7, 9, 11});
  CHECK(out.at("t") == std::vector<double>{0, 6, 1, 7, 2, 8, 3, 9, 4, 10, 5, 11});
}

TEST_CASE("rearrange works on free dims, and joins them") {
  const ir::Program program =
      program_of(model("input x[B, T, 6]\n output y = rearrange(x, \"b t (h d) -> h (b t) d\", h = 2)"));
  const ir::Graph& infer = *program.find("infer");
  CHECK(infer.type(infer.results[0].value).text() == "f64[2, B*T, 3]");
}

TEST_CASE("a pattern that does not fit is an error") {
  const auto fails = [](const std::string& arguments, std::string_view id) {
    return fails_with(model("input x[B, 6]\n output y = rearrange(x, " + arguments + ")"), id);
  };
  CHECK(fails("\"b d\"", "bad-pattern"));
  CHECK(fails("\"b d -> b\"", "bad-pattern"));
  CHECK(fails("\"b b -> b b\"", "bad-pattern"));
  CHECK(fails("\"b (h d -> b h d\"", "bad-pattern"));
  CHECK(fails("\"b + d -> d b\"", "bad-pattern"));
  CHECK(fails("\"b (h d) -> b h d\"", "bad-pattern"));
  CHECK(fails("\"b (h d) -> b h d\", h = 4", "bad-reshape"));
  CHECK(fails("\"b (h d) -> b h d\", h = 2, d = 2", "bad-reshape"));
  CHECK(fails("\"b t d -> t b d\"", "rank-mismatch"));
  CHECK(fails("\"b d -> d b\", h = 2", "unknown-argument"));
  CHECK(fails("3", "bad-value"));
}

}  // namespace mlpc::testing
