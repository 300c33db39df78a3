#include <doctest/doctest.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <numeric>
#include <random>
#include <thread>

#include "compiler/codegen/jit.h"
#include "compiler/codegen/object.h"
#include "compiler/lowering/override_schedule.h"
#include "compiler/lowering/specialize.h"
#include "ir/error.h"
#include "runtime/model.h"
#include "tests/compiler/driver/sources.h"

// Whole programs: the same bits for any workers, any order of the tasks, and any schedule.

namespace mlpc {
namespace {

using Random = std::mt19937;

constexpr std::int64_t kRows = 83;          // no multiple of any tile
constexpr std::uint32_t kMostUnrolled = 6;  // by all loops of a nest together

/// Runs tasks in a random order, on as many threads as there are workers.
struct Shuffler {
  int workers;
  Random random{1};

  static void run(void* host, std::int64_t n, mlpc_task task, void* ctx) {
    auto& self = *static_cast<Shuffler*>(host);
    std::vector<std::int64_t> order(static_cast<std::size_t>(n));
    std::iota(order.begin(), order.end(), 0);
    std::shuffle(order.begin(), order.end(), self.random);
    std::atomic<std::size_t> next = 0;
    const auto work = [&](int worker) {
      for (std::size_t i; (i = next.fetch_add(1)) < order.size();) task(ctx, order[i], worker);
    };
    std::vector<std::thread> threads;
    for (int worker = 1; worker < self.workers; ++worker) threads.emplace_back(work, worker);
    work(0);
    for (std::thread& thread : threads) thread.join();
  }
};

runtime::Tensor random_input(const mlpc_tensor& input, std::span<const std::int64_t> dims) {
  runtime::Tensor out = runtime::Tensor::zeros(runtime::type_of(input), runtime::shape_of(input, dims));
  Random random(5);
  const auto bound = static_cast<std::uint32_t>(input.bound > 0 ? input.bound : 200);
  switch (out.type) {
    case MLPC_F32:
      for (float& x : out.as<float>()) x = static_cast<float>(random() % 1000) / 500 - 1;
      break;
    case MLPC_F64:
      for (double& x : out.as<double>()) x = static_cast<double>(random() % 1000) / 500 - 1;
      break;
    case MLPC_I32:
      for (std::int32_t& x : out.as<std::int32_t>()) x = static_cast<std::int32_t>(random() % bound);
      break;
    case MLPC_U8:
      for (std::uint8_t& x : out.as<std::uint8_t>()) x = static_cast<std::uint8_t>(random() % bound);
      break;
    default:
      FAIL("an input of another type");
  }
  return out;
}

/// All results and parameters after two steps of training.
runtime::Bytes trained(const ir::KernelProgram& program, std::int64_t rows, const runtime::Workers& workers,
                       std::size_t most_objects = codegen::kMostObjects) {
  const codegen::JitModel jit(program.header, codegen::emit_objects(program, most_objects));
  const runtime::Model model(jit.table());
  runtime::Weights weights = model.zero_weights();
  runtime::initialise(model, weights, 3);
  const std::vector<std::int64_t> dims(static_cast<std::size_t>(model.table().dim_count), rows);
  runtime::Call call(model, model.entry("train_step"), dims, workers);
  call.use(weights);
  std::vector<runtime::Tensor> inputs;
  for (const mlpc_tensor& input : runtime::inputs_of(call.entry()))
    inputs.push_back(random_input(input, dims));
  for (std::size_t i = 0; i < inputs.size(); ++i) call.set_input(i, inputs[i].bytes.data());
  call.run();
  call.run();
  runtime::Bytes out = weights.params;
  out.insert(out.end(), weights.slots.begin(), weights.slots.end());
  for (const runtime::Tensor& result : call.results)
    out.insert(out.end(), result.bytes.begin(), result.bytes.end());
  return out;
}

/// One random schedule for every loop of a block, as override_schedule reads it. Loops around each other
/// multiply what they unroll: at most `most` in all, or the code has no bounds.
void draw(const ir::Block& block, std::uint32_t most, Random& random, std::string& text) {
  const auto unrolled = [&] { return 1 + random() % std::min(5U, most); };
  for (const ir::Statement& statement : block) {
    if (const auto* loop = std::get_if<ir::Loop>(&statement.kind)) {
      const std::uint32_t unroll = unrolled();
      text += fmt::format("  for %i{}{} unroll {}\n", loop->var.index, random() % 2 ? " lanes" : "", unroll);
      draw(loop->body, most / unroll, random, text);
    }
    if (const auto* reduce = std::get_if<ir::Reduce>(&statement.kind)) {
      const std::uint32_t unroll = unrolled();
      text += fmt::format("  reduce %i{} unroll {}\n", reduce->ranges.back().var.index, unroll);
      draw(reduce->body, most / unroll, random, text);
    }
    if (const auto* turns = std::get_if<ir::Recurrence>(&statement.kind))
      draw(turns->body, most, random, text);
  }
}

std::string random_schedule(const ir::KernelProgram& program, Random& random) {
  std::string text;
  for (const ir::Kernel& kernel : program.kernels) {
    text += fmt::format("kernel {}\n", kernel.name);
    for (const ir::TaskSplit& task : kernel.tasks)
      text += fmt::format("  task %i{} block {}\n", task.var.index, 1 + random() % 100);
    draw(kernel.body, kMostUnrolled, random, text);
  }
  return text;
}

}  // namespace

TEST_CASE("bits: 1, 2, 3 and 8 workers, with tasks in random order, train to the same") {
  for (const char* path : {"examples/fashion.net", "examples/lecture.net", "tests/bench/nets/mlp784.net",
                           "tests/bench/nets/lstm128.net"}) {
    CAPTURE(path);
    const ir::KernelProgram program = driver::compile(source_of(path), {});
    const runtime::Bytes alone = trained(program, kRows, {});
    for (const int workers : {1, 2, 3, 8}) {
      CAPTURE(workers);
      Shuffler shuffler{workers};
      CHECK(trained(program, kRows, {workers, Shuffler::run, &shuffler}) == alone);
    }
  }
}

TEST_CASE(
    "bits: a narrow net, whose sums run in parts of rows and whose kernels follow each other for some rows") {
  const driver::Source net = source_of("tests/bench/nets/heat_pinn.net");
  const ir::KernelProgram program = driver::compile(net, {});
  driver::CompileOptions unfused;
  unfused.level = 0;
  const ir::KernelProgram plain = driver::compile(net, unfused);
  Random random(7);
  ir::KernelProgram other = program;
  lowering::override_schedule(other, random_schedule(program, random), "schedule");
  for (const std::int64_t rows : {127, 300}) {
    CAPTURE(rows);
    const runtime::Bytes alone = trained(program, rows, {});
    CHECK(trained(plain, rows, {}) == alone);
    CHECK(trained(other, rows, {}) == alone);
    Shuffler shuffler{3};
    CHECK(trained(program, rows, {3, Shuffler::run, &shuffler}) == alone);
    ir::KernelProgram special = program;
    lowering::specialize(special, {{"N", rows}, {"M", rows}});
    CHECK(trained(special, rows, {3, Shuffler::run, &shuffler}) == alone);
  }
}

TEST_CASE("bits: specialized kernels give those of the kernels that they were made of") {
  for (const char* net : {"mlp784", "lstm128", "lenet"}) {
    CAPTURE(net);
    driver::CompileOptions options;
    const driver::Source source = source_of("tests/bench/nets/" + std::string(net) + ".net");
    const ir::KernelProgram program = driver::compile(source, options);
    options.specializations = {{{"B", 7}}, {{"B", 1}}};
    const ir::KernelProgram special = driver::compile(source, options);
    Shuffler shuffler{3};
    for (const std::int64_t rows : {1, 7})
      CHECK(trained(special, rows, {3, Shuffler::run, &shuffler}) == trained(program, rows, {}));
  }
}

TEST_CASE("bits: a model in several objects, which threads compiled, trains as one in a single object") {
  const ir::KernelProgram program = driver::compile(source_of("examples/fashion.net"), {});
  const std::vector<std::string> objects = codegen::emit_objects(program);
  CHECK(objects.size() > 1);
  CHECK(objects == codegen::emit_objects(program));
  CHECK(trained(program, kRows, {}) == trained(program, kRows, {}, 1));
}

TEST_CASE("bits: few rows, whose contractions have kernels of their own, train as without tiles") {
  driver::CompileOptions untiled;
  untiled.level = 1;
  const driver::Source net = source_of("tests/bench/nets/mlp784.net");
  const ir::KernelProgram tiled = driver::compile(net, {}), plain = driver::compile(net, untiled);
  for (const std::int64_t rows : {1, 4, 5, 17}) {
    CAPTURE(rows);
    CHECK(trained(tiled, rows, {}) == trained(plain, rows, {}));
  }
}

TEST_CASE("bits: random schedules of dense, recurrent, convolutional and attention nets train to the same") {
  struct Net {
    const char* path;
    std::int64_t extent;  // of every free dim
    int schedules;
  };
  for (const auto& [path, extent, schedules] :
       {Net{"tests/bench/nets/mlp784.net", kRows, 3}, Net{"examples/tagger.net", 5, 1},
        Net{"tests/bench/nets/resnet500.net", kRows, 1}, Net{"tests/bench/nets/lenet.net", 7, 1},
        Net{"tests/bench/nets/tinygpt.net", 9, 1}}) {
    CAPTURE(path);
    const ir::KernelProgram program = driver::compile(source_of(path), {});
    const runtime::Bytes expected = trained(program, extent, {});
    Random random(11);
    for (int turn = 0; turn < schedules; ++turn) {
      const std::string schedule = random_schedule(program, random);
      CAPTURE(schedule);
      ir::KernelProgram other = program;
      lowering::override_schedule(other, schedule, "schedule");
      CHECK(trained(other, extent, {}) == expected);
    }
  }
}

TEST_CASE("schedule: what names nothing is an error with its line") {
  const ir::KernelProgram program = driver::compile(source_of("examples/lecture.net"), {});
  const auto refuses = [&](const char* text, const char* message) {
    ir::KernelProgram copy = program;
    CHECK_THROWS_WITH_AS(lowering::override_schedule(copy, text, "s"), message, Error);
  };
  refuses("for %i0\n", "s:1: error: a schedule stands before the first `kernel`");
  refuses("kernel k9999\n", "s:1: error: there is no kernel `k9999`");
  refuses("\nkernel k0 x\n", "s:2: error: `x` is not expected here");
  refuses("kernel k0\nfor %i77 unroll 2\n", "s:2: error: k0 has no loop over %i77");
  refuses("kernel k0\nreduce %i77\n", "s:2: error: k0 has no reduction over %i77");
  refuses("kernel k0\ntask %i77 block 4\n", "s:2: error: k0 has no task over %i77");
  refuses("kernel k0\nfor %i0 unroll 65\n", "s:2: error: `65` is no number from 1 to 64");
  refuses("kernel k0\nfor x\n", "s:2: error: expected a loop variable such as %i0, found `x`");
  refuses("kernel k0\nloop\n", "s:2: error: expected kernel, task, for or reduce");
}

}  // namespace mlpc
