#include <doctest/doctest.h>

#include <functional>

#include "ir/builder.h"
#include "ir/error.h"
#include "ir/evaluate.h"

namespace mlpc::ir {
namespace {

const Dim kN = Dim::named("N");

/// The message of what `make` throws.
std::string refusal(const Shape& shape, const std::function<void(Builder&, ValueId)>& make) {
  Graph graph;
  graph.name = "g";
  const ValueId x = graph.add_parameter("x", {ElementType::f64, shape}, Role::input);
  Builder b(graph);
  try {
    make(b, x);
  } catch (const Error& e) {
    return e.what();
  }
  return "";
}

std::vector<double> values_of(const HostTensor& x, const std::function<ValueId(Builder&, ValueId)>& make) {
  Graph graph;
  graph.name = "g";
  const Shape shape(x.shape.begin(), x.shape.end());
  const ValueId operand = graph.add_parameter("x", {ElementType::f64, shape}, Role::input);
  Builder b(graph);
  graph.results.push_back({"y", Role::output, 0, make(b, operand)});
  return evaluate(graph, {&x, 1}, [](std::string_view) { return std::int64_t{0}; })[0].values;
}

TEST_CASE("slices start, end and step inside of their axis, as far as that is provable") {
  const auto sliced = [](Dim start, Dim extent, std::int64_t step) {
    return [=](Builder& b, ValueId x) { b.slice(x, {start}, {extent}, {step}); };
  };
  CHECK(refusal({5}, sliced(1, 2, 3)).empty());
  CHECK(refusal({5}, sliced(5, 0, 1)).empty());
  CHECK(refusal({kN}, sliced(3, 2, 1)).empty());  // the plan checks it
  CHECK(refusal({5}, sliced(1, 3, 2)) ==
        "a slice of axis 0 of f64[5] ends behind it: 3 from 1 in steps of 2");
  CHECK(refusal({kN}, sliced(1, kN, 1)) ==
        "a slice of axis 0 of f64[N] ends behind it: N from 1 in steps of 1");
  CHECK(refusal({5}, sliced(6, 0, 1)) == "axis 0 of f64[5] has no slice of 0 from 6");
  CHECK(refusal({5}, sliced(0, 2, 0)) == "axis 0 of f64[5] is sliced in steps of 0");
  CHECK(refusal({5, 2}, sliced(0, 2, 1)) == "`start` has 1 entries for f64[5, 2]");
}

TEST_CASE("parts of a concatenation differ in its axis alone") {
  Graph graph;
  Builder b(graph);
  const ValueId x = graph.add_parameter("x", {ElementType::f64, {2, kN}}, Role::input, 0);
  const ValueId y = graph.add_parameter("y", {ElementType::f64, {2, 3}}, Role::input, 1);
  CHECK(b.type(b.value(Op::concat_, {x, y, x}, {std::int64_t{1}})).text() == "f64[2, 2*N + 3]");
  CHECK_THROWS_WITH_AS(b.value(Op::concat_, {x, y}, {std::int64_t{0}}),
                       "f64[2, N] and f64[2, 3] differ in more than axis 0", Error);
}

TEST_CASE("windows fit on their axis, and a fold sums where they overlap") {
  CHECK(refusal({7}, [](Builder& b, ValueId x) { b.window(x, 0, {3, 3}, 2, 1); }).empty());
  CHECK(refusal({7}, [](Builder& b, ValueId x) { b.window(x, 0, {0, 9}, 1, 1); }).empty());
  CHECK(refusal({7}, [](Builder& b, ValueId x) { b.window(x, 0, {4, 3}, 2, 1); }) ==
        "4 windows of 3 at a stride of 2 and a dilation of 1 do not fit on an axis of 7");
  const HostTensor x{{5}, {1, 2, 3, 4, 5}};
  const auto windows = [](Builder& b, ValueId v) { return b.window(v, 0, {2, 3}, 2, 1); };
  CHECK(values_of(x, windows) == std::vector<double>{1, 2, 3, 3, 4, 5});
  CHECK(values_of(x, [&](Builder& b, ValueId v) { return b.fold(windows(b, v), 0, 6, 2, 1); }) ==
        std::vector<double>{1, 2, 6, 4, 5, 0});
}

TEST_CASE("a pad is zero outside of its operand") {
  CHECK(values_of({{2}, {1, 2}}, [](Builder& b, ValueId v) { return b.pad(v, {1}, {2}); }) ==
        std::vector<double>{0, 1, 2, 0, 0});
}

TEST_CASE("ids outside of a table name its first or last row; a table without rows gives zeros") {
  const HostTensor ids{{3}, {-4, 1, 9}}, table{{2, 2}, {1, 2, 3, 4}}, empty{{0, 2}, {}};
  for (const HostTensor& rows : {table, empty}) {
    Graph graph;
    graph.name = "g";
    const ValueId x =
        graph.add_parameter("x", {ElementType::f64, {rows.shape[0], rows.shape[1]}}, Role::input, 0);
    const ValueId at = graph.add_parameter("ids", {ElementType::i32, {3}}, Role::input, 1);
    Builder b(graph);
    const ValueId read = b.gather(x, at);
    graph.results.push_back({"y", Role::output, 0, read});
    graph.results.push_back({"z", Role::output, 0, b.scatter_add(at, read, rows.shape[0])});
    const HostTensor given[] = {rows, ids};
    const std::vector<HostTensor> out =
        evaluate(graph, given, [](std::string_view) { return std::int64_t{0}; });
    const bool is_empty = rows.shape[0] == 0;
    CHECK(out[0].values == (is_empty ? std::vector<double>(6, 0) : std::vector<double>{1, 2, 3, 4, 3, 4}));
    CHECK(out[1].values == (is_empty ? std::vector<double>{} : std::vector<double>{1, 2, 6, 8}));
  }
}

}  // namespace
}  // namespace mlpc::ir
