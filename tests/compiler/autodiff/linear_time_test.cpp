#include <doctest/doctest.h>
#include <fmt/format.h>
#include <pthread.h>

#include <cmath>
#include <functional>

#include "compiler/autodiff/autodiff.h"
#include "ir/builder.h"
#include "ir/text.h"
#include "tests/support/scalar_program.h"

// The cost of differentiation: a constant times the graph, whatever the number of paths, in memory that does
// not grow with the depth of the graph but for the graph itself.

namespace mlpc {
namespace {

using namespace ir;
using testing::scalar_named;
using testing::values_by_name;

Program differentiate(const Program& program) { return autodiff::transpose(autodiff::linearise(program)); }

/// A model with the parameters a, b (scalars), whose forward graph is made by `make`, which returns the loss.
Program program_of(const std::function<ValueId(Builder&, ValueId a, ValueId b)>& make) {
  Program program;
  program.model = "m";
  program.element = ElementType::f64;
  program.target = "x86-64-v4";
  Graph graph;
  graph.name = "forward";
  Builder b(graph);
  const Type scalar{ElementType::f64, {}};
  program.params = {{"a", scalar}, {"b", scalar}};
  assign_offsets(program.params);
  const ValueId first = graph.add_parameter("a", scalar, Role::param, 0);
  const ValueId second = graph.add_parameter("b", scalar, Role::param, 1);
  graph.results.push_back({"loss", Role::loss_total, 0, make(b, first, second)});
  program.graphs.push_back(std::move(graph));
  return program;
}

/// h ← tanh(a h) + b h, so three paths a layer.
Program chain(std::size_t layers) {
  return program_of([layers](Builder& b, ValueId a, ValueId c) {
    ValueId h = a;
    for (std::size_t i = 0; i < layers; ++i) h = b.add(b.value(Op::tanh_, {b.mul(a, h)}), b.mul(c, h));
    return h;
  });
}

std::size_t backward_ops(const Program& program) {
  return differentiate(program).find("grad")->node_count() - program.find("forward")->node_count();
}

TEST_CASE("backward ops of a layer are as many at depth 10, 100 and 1000") {
  const std::size_t ten = backward_ops(chain(10)), hundred = backward_ops(chain(100)),
                    thousand = backward_ops(chain(1000));
  CHECK((hundred - ten) % 90 == 0);
  CHECK((thousand - hundred) % 900 == 0);
  CHECK((hundred - ten) / 90 == (thousand - hundred) / 900);
  CHECK((hundred - ten) / 90 <= 12);  // of 4 forward ops
}

TEST_CASE("the gradient over 2^60 paths is a sum of 60 steps") {
  // x ← a x + b x, from x = 1
  const Program program = program_of([](Builder& b, ValueId a, ValueId c) {
    ValueId x = b.scalar(ElementType::f64, 1);
    for (int i = 0; i < 60; ++i) x = b.add(b.mul(a, x), b.mul(c, x));
    return x;
  });
  const Program jacobian = differentiate(program);
  const Graph& grad = *jacobian.find("grad");
  CHECK(grad.node_count() <= 8 * program.find("forward")->node_count());
  const std::vector<HostTensor> values = values_by_name(grad, {{"a", {{}, {0.75}}}, {"b", {{}, {0.5}}}});
  const double expected = 60 * std::pow(1.25, 59);
  for (const Graph::Result& r : grad.results)
    if (r.role == Role::grad)
      CHECK(values[r.value.index].values[0] == doctest::Approx(expected).epsilon(1e-12));
  // So does the text, with the chain rule beside each op.
  CHECK(print(jacobian).size() < 60 * 4 * 400);
}

/// Runs f on a thread with this much stack.
template <typename F>
void with_stack(std::size_t bytes, F f) {
  pthread_attr_t attributes;
  pthread_attr_init(&attributes);
  REQUIRE(pthread_attr_setstacksize(&attributes, bytes) == 0);
  pthread_t thread;
  const auto run = [](void* argument) -> void* {
    (*static_cast<F*>(argument))();
    return nullptr;
  };
  REQUIRE(pthread_create(&thread, &attributes, run, &f) == 0);
  pthread_join(thread, nullptr);
  pthread_attr_destroy(&attributes);
}

struct Size {
  std::size_t forward, backward, bytes;  // nodes; of the text
};

Size size_of_derivative(std::size_t layers) {
  const Program program = chain(layers), jacobian = differentiate(program);
  const std::size_t forward = program.find("forward")->node_count();
  return {forward, jacobian.find("grad")->node_count() - forward, print(jacobian).size()};
}

// A pass that is not linear does not end before ctest's time does.
#if defined(__OPTIMIZE__) && !defined(__SANITIZE_ADDRESS__)
constexpr std::size_t kDeep = 1'000'000;
#else
constexpr std::size_t kDeep = 100'000;
#endif

TEST_CASE("a million nodes are differentiated and printed in a constant size a node, with a 512 KB stack") {
  with_stack(std::size_t{512} << 10, [] {
    constexpr std::size_t kLayers = kDeep / 4;  // 4 nodes each
    const Size tenth = size_of_derivative(kLayers / 10), whole = size_of_derivative(kLayers);
    CHECK(whole.forward >= kDeep);
    const std::size_t ten = backward_ops(chain(10)), twenty = backward_ops(chain(20));
    CHECK((whole.backward - ten) * 10 == (twenty - ten) * (kLayers - 10));
    // Numbers of values have at most one digit more than at a tenth of the size, in at most ten places a
    // node.
    CHECK(whole.bytes <= 10 * tenth.bytes + 10 * (whole.forward + whole.backward));
  });
}

TEST_CASE("derivatives of derivatives grow by a factor an order, not with the number of paths") {
  const auto nodes = [](std::size_t layers) {
    std::string lines = "%m = mark(%a; id=0) : f64[]\n";
    std::string h = "m";
    for (std::size_t i = 0; i < layers; ++i) {
      lines += fmt::format("%t{0} = tanh(%{1}) : f64[]\n %h{0} = add(%t{0}, %{1}) : f64[]\n", i, h);
      h = fmt::format("h{}", i);
    }
    lines += fmt::format("%g = grad(%{}, %m) : f64[]\n %y = grad(%g, %m) : f64[]", h);
    return autodiff::expand_derivatives(testing::program_of_lines(lines)).find("forward")->node_count();
  };
  const std::size_t ten = nodes(10), hundred = nodes(100), thousand = nodes(1000);
  CHECK((thousand - hundred) * 90 == (hundred - ten) * 900);
  CHECK((hundred - ten) / 90 <= 40);  // of 2 forward ops
}

}  // namespace
}  // namespace mlpc
