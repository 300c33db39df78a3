// Measures one compiled model, and the machine, on request: the bench's driver starts it and asks line by
// line.
//   bench_host limits THREADS
//   bench_host MODEL.so ENTRY THREADS DIM…
// Each line on standard input gives one line: "PEAK_GFLOPS READ_GBPS ROUND_TRIP_US", or the time of one call
// in µs, the mean over enough calls to fill the number of µs that the line names. The first line that a
// model's host writes, unasked, is "PEAK_BYTES": its weights, workspace, inputs and results.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <memory>
#include <random>
#include <span>
#include <string>
#include <vector>

#include "runtime/model.h"
#include "runtime/pool.h"
#include "tests/bench/limits.h"

namespace {

using Clock = std::chrono::steady_clock;
namespace runtime = mlpc::runtime;

double microseconds_since(Clock::time_point begin) {
  return std::chrono::duration<double, std::micro>(Clock::now() - begin).count();
}

/// The mean time of a call, in µs, over at least `span` of them.
template <typename F>
double time_of(F call, double span) {
  std::int64_t calls = 1;
  while (true) {
    const Clock::time_point begin = Clock::now();
    for (std::int64_t i = 0; i < calls; ++i) call();
    const double took = microseconds_since(begin);
    if (took >= span) return took / static_cast<double>(calls);
    calls = std::max(
        calls + 1, static_cast<std::int64_t>(static_cast<double>(calls) * span * 1.1 / std::max(took, 0.1)));
    calls = std::min(calls, std::int64_t{1} << 22);
  }
}

template <typename T>
void fill(std::span<T> values, std::int64_t bound) {
  std::mt19937_64 bits(7);
  std::normal_distribution<double> normal;
  for (T& value : values)
    if constexpr (std::is_floating_point_v<T>)
      value = static_cast<T>(normal(bits));
    else
      value = static_cast<T>(bits() % static_cast<std::uint64_t>(bound));
}

/// Of unit variance; labels and tokens below their bound.
runtime::Tensor random_input(const mlpc_tensor& input, std::span<const std::int64_t> dims) {
  runtime::Tensor out = runtime::Tensor::zeros(runtime::type_of(input), runtime::shape_of(input, dims));
  const std::int64_t bound = input.bound > 0 ? input.bound : 2;
  switch (out.type) {
    case MLPC_F32:
      fill(out.as<float>(), bound);
      break;
    case MLPC_F64:
      fill(out.as<double>(), bound);
      break;
    case MLPC_I32:
      fill(out.as<std::int32_t>(), bound);
      break;
    case MLPC_I64:
      fill(out.as<std::int64_t>(), bound);
      break;
    case MLPC_U8:
    case MLPC_BOOL:
      fill(out.as<std::uint8_t>(), bound);
      break;
  }
  return out;
}

void serve_limits(int threads) {
  for (std::string line; std::getline(std::cin, line);) {
    const mlpc::bench::Limits limits = mlpc::bench::measure_limits(threads);
    std::printf("%.2f %.2f %.3f\n", limits.peak_gflops, limits.read_gbps, limits.round_trip_us);
    std::fflush(stdout);
  }
}

void serve_model(const std::string& path, const std::string& entry, int threads,
                 std::vector<std::int64_t> dims) {
  const runtime::Model model = runtime::Model::load(path);
  const std::unique_ptr<mlpc_pool, void (*)(mlpc_pool*)> pool(mlpc_pool_new(threads), mlpc_pool_free);
  runtime::Workers workers;
  if (threads > 1) workers = {threads, mlpc_pool_parallel, pool.get()};
  runtime::Weights weights = model.zero_weights();
  runtime::initialise(model, weights, 1);
  runtime::Call call(model, model.entry(entry), dims, workers);
  call.use(weights);
  std::size_t bytes =
      weights.params.size() + weights.state.size() + weights.slots.size() + call.workspace_bytes();
  std::vector<runtime::Tensor> inputs;
  for (const mlpc_tensor& input : runtime::inputs_of(call.entry()))
    inputs.push_back(random_input(input, dims));
  for (std::size_t i = 0; i < inputs.size(); ++i) call.set_input(i, inputs[i].bytes.data());
  for (const runtime::Tensor& t : inputs) bytes += t.bytes.size();
  for (const runtime::Tensor& t : call.results) bytes += t.bytes.size();
  std::printf("%zu\n", bytes);
  std::fflush(stdout);
  for (std::string line; std::getline(std::cin, line);) {
    std::printf("%.4f\n", time_of([&] { call.run(); }, std::stod(line)));
    std::fflush(stdout);
  }
}

}  // namespace

int main(int argc, char** argv) {
  try {
    const std::vector<std::string> words(argv + 1, argv + argc);
    if (words.size() == 2 && words[0] == "limits") {
      serve_limits(std::stoi(words[1]));
      return 0;
    }
    if (words.size() >= 3) {
      std::vector<std::int64_t> dims;
      for (std::size_t i = 3; i < words.size(); ++i) dims.push_back(std::stoll(words[i]));
      serve_model(words[0], words[1], std::stoi(words[2]), dims);
      return 0;
    }
    std::fprintf(stderr, "bench_host limits THREADS | bench_host MODEL.so ENTRY THREADS DIM…\n");
    return 2;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "bench_host: %s\n", e.what());
    return 1;
  }
}
