#include "compiler/lowering/lower.h"

#include <doctest/doctest.h>
#include <fmt/format.h>

#include "ir/text.h"
#include "ir/verify.h"
#include "tests/compiler/lowering/graphs.h"

namespace mlpc {
namespace {

using ir::BufferRef;
using ir::Builder;
using ir::Dim;
using ir::ElementType;
using ir::Graph;
using ir::Op;
using ir::Role;
using ir::ValueId;
using testing::f32;

const Dim kB = Dim::named("B");

std::size_t kernel_calls(const ir::LoweredEntry& entry) {
  std::size_t count = 0;
  for (const ir::Action& action : entry.actions) count += std::holds_alternative<ir::KernelCall>(action.kind);
  return count;
}

/// Of a net that is not narrow.
Graph two_dense_layers() {
  Graph graph;
  graph.name = "infer";
  const ValueId x = graph.add_parameter("x", f32({kB, 96}), Role::input, 0);
  const ValueId w1 = graph.add_parameter("fc1.W", f32({96, 96}), Role::param, 0);
  const ValueId b1 = graph.add_parameter("fc1.b", f32({96}), Role::param, 1);
  const ValueId w2 = graph.add_parameter("fc2.W", f32({96, 96}), Role::param, 2);
  const ValueId b2 = graph.add_parameter("fc2.b", f32({96}), Role::param, 3);
  Builder b(graph);
  const ValueId h = testing::dense(b, testing::dense(b, x, w1, b1), w2, b2);
  graph.results.push_back({"h", Role::output, 0, h});
  return graph;
}

/// y = x W, with rows of W `columns` elements long; or of W transposed.
Graph product(std::int64_t columns, bool turned, std::int64_t depth = 128) {
  Graph graph;
  graph.name = "infer";
  const ValueId x = graph.add_parameter("x", f32({kB, depth}), Role::input, 0);
  const ir::Shape shape = turned ? ir::Shape{columns, depth} : ir::Shape{depth, columns};
  const ValueId w = graph.add_parameter("W", f32(shape), Role::param, 0);
  Builder b(graph);
  const ValueId operands[] = {x, w};
  graph.results.push_back({"y", Role::output, 0, b.einsum(turned ? "bk,nk->bn" : "bk,kn->bn", operands)});
  return graph;
}

/// g = x' d, the gradient of a weight.
Graph gradient(std::int64_t rows, std::int64_t columns) {
  Graph graph;
  graph.name = "infer";
  const ValueId x = graph.add_parameter("x", f32({kB, rows}), Role::input, 0);
  const ValueId d = graph.add_parameter("d", f32({kB, columns}), Role::input, 1);
  Builder b(graph);
  const ValueId operands[] = {x, d};
  graph.results.push_back({"g", Role::output, 0, b.einsum("bi,bj->ij", operands)});
  return graph;
}

/// p = softmax(x) over the last axis.
Graph softmax() {
  Graph graph;
  graph.name = "infer";
  const ValueId x = graph.add_parameter("x", f32({kB, 10}), Role::input, 0);
  Builder b(graph);
  const ValueId m = b.value(Op::reduce_max_, {x}, {ir::Integers{1}});
  const ValueId e = b.exp(b.sub(x, b.broadcast(m, {kB, 10}, {0})));
  const ValueId s = b.reduce_sum(e, {1});
  graph.results.push_back({"p", Role::output, 0, b.div(e, b.broadcast(s, {kB, 10}, {0}))});
  return graph;
}

/// W' = W - 0.1 xᵀ d; `reads_late` adds a result that is computed from the old W afterwards.
Graph update(bool reads_late) {
  Graph graph;
  graph.name = "train_step";
  const ValueId x = graph.add_parameter("x", f32({kB, 96}), Role::input, 0);
  const ValueId d = graph.add_parameter("d", f32({kB, 48}), Role::input, 1);
  const ValueId w = graph.add_parameter("W", f32({96, 48}), Role::param, 0);
  Builder b(graph);
  const ValueId operands[] = {x, d};
  const ValueId gradient = b.einsum("bi,bj->ij", operands);
  const ValueId updated = b.sub(w, b.mul(b.full_like(w, 0.1), gradient));
  graph.results.push_back({"W", Role::param, 0, updated});
  if (reads_late) {
    const ValueId late[] = {d, w};
    graph.results.push_back({"dx", Role::output, 0, b.einsum("bj,ij->bi", late)});
  }
  return graph;
}

std::vector<BufferRef> written_by(const ir::KernelProgram& program, std::size_t entry, std::size_t action) {
  const auto& call = std::get<ir::KernelCall>(program.entries[entry].actions[action].kind);
  std::vector<BufferRef> written;
  for (std::size_t i = 0; i < call.buffers.size(); ++i)
    if (program.kernels[call.kernel].buffers[i].is_written) written.push_back(call.buffers[i]);
  return written;
}

}  // namespace

TEST_CASE("bias and activation are in the kernel of the contraction, and equal layers share it") {
  const ir::KernelProgram program = lowering::lower(testing::program_of(two_dense_layers()), {2});
  CHECK(program.kernels.size() == 2);  // for many rows, and for few
  REQUIRE(kernel_calls(program.entries[0]) == 4);
  for (const bool few : {false, true}) {
    const auto& call = std::get<ir::KernelCall>(program.entries[0].actions[few].kind);
    REQUIRE(call.guard);
    CHECK(call.guard->extent == kB);
    CHECK(call.guard->negated == few);
  }
  CHECK(program.entries[0].slots.size() == 1);
  CHECK(program.entries[0].slots[0].bytes == Dim(384) * kB);
}

TEST_CASE("a long sum over distant rows runs in blocks that divide it, and rests in the workspace") {
  const auto program = [](std::int64_t columns, std::int64_t depth) {
    return lowering::lower(testing::program_of(product(columns, false, depth)), {2});
  };
  const auto blocks = [&](std::int64_t columns, std::int64_t depth) {
    const std::string text = ir::print(program(columns, depth));
    const std::size_t recurrence = text.find("recur %"), in = text.find(" in ", recurrence);
    return recurrence == std::string::npos ? 1 : std::stoi(text.substr(in + 4));
  };
  CHECK(blocks(512, 784) == 2);    // 392 rows
  CHECK(blocks(1024, 1024) == 4);  // 256 rows: a MiB
  CHECK(blocks(512, 512) == 1);    // that is a MiB
  CHECK(blocks(10, 784) == 1);     // rows lie close
  CHECK(blocks(512, 787) == 1);    // a prime
  const ir::KernelProgram blocked = program(512, 784);
  REQUIRE(blocked.entries[0].slots.size() == 1);
  CHECK(blocked.entries[0].slots[0].bytes == Dim(512 * 4) * kB);
  const std::string text = ir::print(blocked);
  CHECK(text.find(" from %s") != std::string::npos);
  CHECK(ir::print(ir::parse_kernels(text, "blocked")) == text);
}

TEST_CASE("the smaller operand of a product with a transposed weight is turned") {
  const ir::KernelProgram program = lowering::lower(testing::program_of(product(192, true)), {2});
  // x turned, then the product with rows in lanes; for a row or two the product alone
  CHECK(kernel_calls(program.entries[0]) == 3);
  REQUIRE(program.entries[0].slots.size() == 1);
  CHECK(program.entries[0].slots[0].bytes == Dim(128 * 128 * 4) * Dim::floordiv(kB + 127, 128));
  const std::string text = ir::print(program);
  CHECK(text.find(" in 128 from 128*%i0 below B lanes") != std::string::npos);
  CHECK(ir::print(ir::parse_kernels(text, "turned")) == text);
  const auto refused = [&](const std::string& from, const std::string& to, const char* problem) {
    std::string changed = text;
    changed.replace(changed.rfind(from), from.size(), to);
    std::string what;
    try {
      ir::verify(ir::parse_kernels(changed, "turned"));
    } catch (const Error& e) {
      what = e.what();
    }
    CAPTURE(what);
    CHECK(what.find(problem) != std::string::npos);
  };
  refused("from 128*%i0 below B", "from 128*%i9 below B", "%i9");
  refused("from 128*%i0 below B", "from 128*%i0 below Q", "`Q`");
  refused("from 128*%i0 below B", "from 128*%i0", "below");
}

TEST_CASE("a sum that many read is stored once") {
  // x, x + a, x + a + b, …: what a chain of residual blocks adds up, each read by a reduction, too
  constexpr int kBlocks = 6;
  Graph graph;
  graph.name = "infer";
  Builder b(graph);
  ValueId sum = graph.add_parameter("x", f32({kB, 64}), Role::input, 0);
  for (std::uint32_t i = 0; i < kBlocks; ++i) {
    sum = b.add(sum, graph.add_parameter(fmt::format("a{}", i), f32({kB, 64}), Role::input, 1 + i));
    graph.results.push_back({fmt::format("y{}", i), Role::output, i, b.reduce_sum(sum, {1})});
  }
  const ir::KernelProgram program = lowering::lower(testing::program_of(std::move(graph)), {2});
  std::size_t loads = 0;
  const std::string text = ir::print(program);
  for (std::size_t at = text.find(" = load"); at != std::string::npos; at = text.find(" = load", at + 1))
    ++loads;
  CHECK(loads <= 3 * kBlocks);
}

TEST_CASE(
    "the gradient of a weight is a sum in blocks where there are so many rows, and else needs no room") {
  const ir::KernelProgram program = lowering::lower(testing::program_of(gradient(96, 80)), {2});
  REQUIRE(kernel_calls(program.entries[0]) == 1);
  REQUIRE(program.entries[0].slots.size() == 1);
  const auto bytes = [&](std::int64_t rows) {
    return program.entries[0].slots[0].bytes.evaluate([&](std::string_view) { return rows; });
  };
  CHECK(bytes(255) == 0);
  CHECK(bytes(256) == 96 * 80 * 4);
  CHECK(bytes(4096) == 96 * 80 * 4);
}

TEST_CASE("where a core's own cache is small, tasks pack what they read, in a room of their worker") {
  const auto lowered = [](Graph graph, const char* target) {
    ir::Program program = testing::program_of(std::move(graph));
    program.target = target;
    return lowering::lower(program, {2});
  };
  const auto rooms = [](const ir::KernelProgram& program) {
    const std::string text = ir::print(program);
    CHECK(ir::print(ir::parse_kernels(text, "packed")) == text);
    return std::ranges::count_if(program.entries[0].slots,
                                 [](const ir::WorkspaceSlot& slot) { return slot.tasks.has_value(); });
  };
  for (const char* target : {"x86-64-v4", "x86-64-v3"}) {
    const bool is_small = std::string_view(target) == "x86-64-v3";
    CHECK(rooms(lowered(product(512, false, 784), target)) == (is_small ? 1 : 0));  // 64 columns of W
    CHECK(rooms(lowered(gradient(256, 320), target)) ==
          (is_small ? 2 : 0));  // 32 columns of x, and the sums so far
  }
  const ir::KernelProgram program = lowered(gradient(256, 320), "x86-64-v3");
  // The last action packs what it reads of x; δ is packed before, and a small batch needs neither.
  const auto& actions = program.entries[0].actions;
  REQUIRE(actions.size() == 3);
  CHECK(std::get<ir::KernelCall>(actions[0].kind).guard->negated);
  CHECK(std::get<ir::KernelCall>(actions[1].kind).guard->least == 16);
  CHECK(std::get<ir::Phase>(actions[2].kind).actions.size() == 1);
}

TEST_CASE("softmax is one kernel without a workspace") {
  const ir::KernelProgram program = lowering::lower(testing::program_of(softmax()), {2});
  CHECK(kernel_calls(program.entries[0]) == 1);
  CHECK(program.entries[0].slots.empty());
}

TEST_CASE("-O0 has a kernel an op") {
  const ir::KernelProgram program = lowering::lower(testing::program_of(softmax()), {0});
  CHECK(kernel_calls(program.entries[0]) == 5);  // max, sub, exp, sum, div: broadcasts cost nothing
}

TEST_CASE("an update is written in place by the kernel of its gradient") {
  const ir::KernelProgram program = lowering::lower(testing::program_of(update(false)), {2});
  REQUIRE(kernel_calls(program.entries[0]) == 1);
  CHECK(written_by(program, 0, 0) == std::vector<BufferRef>{{BufferRef::Space::params, 0}});
}

TEST_CASE("a gradient that sums much is one kernel, whatever is done with it") {
  const auto graph = [](bool updates) {
    Graph out;
    out.name = updates ? "train_step" : "infer";
    const ValueId x = out.add_parameter("x", f32({kB, 64, 96}), Role::input, 0);
    const ValueId d = out.add_parameter("d", f32({kB, 64, 48}), Role::input, 1);
    const ValueId w = out.add_parameter("W", f32({96, 48}), Role::param, 0);
    Builder b(out);
    const ValueId operands[] = {x, d};
    const ValueId gradient = b.einsum("bti,btj->ij", operands);
    out.results.push_back({"W", updates ? Role::param : Role::output, 0,
                           updates ? b.sub(w, b.mul(b.full_like(w, 0.1), gradient)) : gradient});
    return out;
  };
  ir::Program both = testing::program_of(graph(false));
  both.params = testing::program_of(graph(true)).params;
  both.graphs.push_back(graph(true));
  const ir::KernelProgram program = lowering::lower(both, {2});
  REQUIRE(program.entries.size() == 2);
  REQUIRE(kernel_calls(program.entries[0]) == 1);
  REQUIRE(kernel_calls(program.entries[1]) == 2);
  const auto kernel = [&](std::size_t entry) {
    return std::get<ir::KernelCall>(program.entries[entry].actions[0].kind).kernel;
  };
  CHECK(kernel(0) == kernel(1));
  CHECK(written_by(program, 1, 1) == std::vector<BufferRef>{{BufferRef::Space::params, 0}});
}

TEST_CASE("parameters of a size are drawn by one kernel, whatever their streams, turns and shapes are") {
  Graph graph;
  graph.name = "init";
  const ValueId seed = graph.add_parameter("seed", {ElementType::i64, {}}, Role::seed);
  Builder b(graph);
  const auto draw = [&](const ir::Shape& shape, std::int64_t turn, std::int64_t stream) {
    const ValueId zero = b.constant(ir::Constant::of_integer(ElementType::i64, 0));
    const ValueId turns = b.constant(ir::Constant::of_integer(ElementType::i64, turn));
    const ValueId w = b.value(Op::normal_, {seed, zero, turns, zero},
                              {shape, ElementType::f32, ir::Constant::of(ElementType::f64, 0),
                               ir::Constant::of(ElementType::f64, 0.5), stream});
    const auto index = static_cast<std::uint32_t>(graph.results.size());
    graph.results.push_back({fmt::format("w{}", index), Role::output, index, w});
  };
  draw({8, 6}, 0, 1);
  draw({8, 6}, 7, -2);
  draw({2, 3, 8}, 0, 3);
  const ir::KernelProgram program = lowering::lower(testing::program_of(std::move(graph)), {2});
  CHECK(program.kernels.size() == 1);
  CHECK(kernel_calls(program.entries[0]) == 3);
  const std::string text = ir::print(program);
  CHECK(text.find("number 7, number -2") != std::string::npos);
  CHECK(ir::print(ir::parse_kernels(text, "draws")) == text);
}

TEST_CASE("an update whose old value is read later is copied in at the end") {
  const ir::KernelProgram program = lowering::lower(testing::program_of(update(true)), {2});
  REQUIRE(kernel_calls(program.entries[0]) == 4);  // W', transposed W, dx, copy
  CHECK(written_by(program, 0, 0) == std::vector<BufferRef>{{BufferRef::Space::workspace, 0}});
  CHECK(written_by(program, 0, 3) == std::vector<BufferRef>{{BufferRef::Space::params, 0}});
}

TEST_CASE("more scalars than a kernel may have are computed by several") {
  Graph graph;
  graph.name = "infer";
  Builder b(graph);
  const ValueId x = graph.add_parameter("x", f32({}), Role::input, 0);
  ValueId power = x;
  for (std::uint32_t i = 0; i < 100; ++i) {
    power = b.mul(power, x);
    graph.results.push_back({"p" + std::to_string(i), Role::output, i, power});
  }
  const ir::KernelProgram program = lowering::lower(testing::program_of(std::move(graph)), {2});
  CHECK(kernel_calls(program.entries[0]) == 4);
}

TEST_CASE("a result that is a parameter is copied") {
  Graph graph;
  graph.name = "infer";
  const ValueId x = graph.add_parameter("x", f32({kB, 10}), Role::input, 0);
  graph.results.push_back({"y", Role::output, 0, x});
  const ir::KernelProgram program = lowering::lower(testing::program_of(std::move(graph)), {2});
  REQUIRE(kernel_calls(program.entries[0]) == 1);
  CHECK(written_by(program, 0, 0) == std::vector<BufferRef>{{BufferRef::Space::result, 0}});
}

TEST_CASE("a reshape that merges axes views the buffer of what it reads, row by row in one kernel") {
  Graph graph;
  graph.name = "infer";
  const ValueId x = graph.add_parameter("x", f32({kB, 4, 6}), Role::input, 0);
  Builder b(graph);
  const ValueId merged = b.reshape(b.exp(x), {kB, 24});
  graph.results.push_back({"y", Role::output, 0, b.reduce_sum(b.neg(merged), {1})});
  const ir::KernelProgram program = lowering::lower(testing::program_of(std::move(graph)), {2});
  CHECK(kernel_calls(program.entries[0]) == 1);
  CHECK(program.entries[0].slots.size() == 1);
}

}  // namespace mlpc
