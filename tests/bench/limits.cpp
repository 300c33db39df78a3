#include "tests/bench/limits.h"

#include <algorithm>
#include <chrono>
#include <cstdint>
#include <memory>
#include <vector>

#include "runtime/pool.h"

namespace mlpc::bench {
namespace {

using Clock = std::chrono::steady_clock;

constexpr int kTurns = 100000;           // of the multiply-add loop: about 0.3 ms
constexpr std::size_t kWords = 1 << 20;  // 8 MiB of 64-bit words
constexpr int kSamples = 8;              // of each measure; the best one counts
constexpr int kRoundTrips = 2000;

struct Kernel {
  float (*run)(int turns);
  double flops_per_turn;
};

/// 12 chains, so that no multiply-add waits for another; in assembly, or the compiler would fold them.
#define MLPC_BENCH_CHAINS(bytes, instruction, registers)                                   \
  using Vector [[gnu::vector_size(bytes)]] = float;                                        \
  Vector sums[12] = {}, factor = {}, term = {};                                            \
  factor += 0.999F;                                                                        \
  term += 0.001F;                                                                          \
  for (int turn = 0; turn < turns; ++turn)                                                 \
    for (Vector& sum : sums)                                                               \
      asm volatile(instruction : "+" registers(sum) : registers(factor), registers(term)); \
  float out = 0;                                                                           \
  for (const Vector& sum : sums) out += sum[0];                                            \
  return out

#if defined(__x86_64__)
[[gnu::target("avx2,fma")]] float run_avx2(int turns) {
  MLPC_BENCH_CHAINS(32, "vfmadd213ps %2, %1, %0", "x");
}
[[gnu::target("avx512f")]] float run_avx512(int turns) {
  MLPC_BENCH_CHAINS(64, "vfmadd213ps %2, %1, %0", "v");
}
#endif

/// Processors without either have no peak to compare with.
float run_nothing(int) { return 0; }

Kernel widest_kernel() {
#if defined(__x86_64__)
  if (__builtin_cpu_supports("avx512f")) return {run_avx512, 12 * 16 * 2};
  if (__builtin_cpu_supports("fma")) return {run_avx2, 12 * 8 * 2};
#endif
  return {run_nothing, 0};
}

/// All workers at once, each with its own part of the data.
class Machine {
 public:
  explicit Machine(int threads) : threads_(threads), pool_(mlpc_pool_new(threads), mlpc_pool_free) {
    for (int i = 0; i < threads; ++i) data_.emplace_back(kWords, 1);
    sinks_.resize(static_cast<std::size_t>(threads) * 8);
  }

  Limits measure() {
    Limits best{0, 0, 1e9};
    for (int sample = 0; sample < kSamples; ++sample) {
      const double flops = kernel_.flops_per_turn * kTurns * threads_;
      best.peak_gflops = std::max(best.peak_gflops, flops / seconds(compute, 1) * 1e-9);
      const double bytes = 8.0 * kWords * threads_;
      best.read_gbps = std::max(best.read_gbps, bytes / seconds(read, 1) * 1e-9);
      best.round_trip_us = std::min(best.round_trip_us, seconds(nothing, kRoundTrips) / kRoundTrips * 1e6);
    }
    return best;
  }

 private:
  double seconds(mlpc_task task, int times) {
    const Clock::time_point begin = Clock::now();
    for (int i = 0; i < times; ++i) mlpc_pool_parallel(pool_.get(), threads_, task, this);
    return std::chrono::duration<double>(Clock::now() - begin).count();
  }

  static void compute(void* self, std::int64_t i, int) {
    auto& m = *static_cast<Machine*>(self);
    m.sinks_[static_cast<std::size_t>(i) * 8] += m.kernel_.run(kTurns);
  }
  static void read(void* self, std::int64_t i, int) {
    auto& m = *static_cast<Machine*>(self);
    std::uint64_t sums[4] = {};
    const std::vector<std::uint64_t>& words = m.data_[static_cast<std::size_t>(i)];
    for (std::size_t at = 0; at < kWords; at += 4)
      for (std::size_t k = 0; k < 4; ++k) sums[k] ^= words[at + k];
    m.sinks_[static_cast<std::size_t>(i) * 8] += static_cast<double>(sums[0] ^ sums[1] ^ sums[2] ^ sums[3]);
  }
  static void nothing(void*, std::int64_t, int) {}

  const int threads_;
  const Kernel kernel_ = widest_kernel();
  std::unique_ptr<mlpc_pool, void (*)(mlpc_pool*)> pool_;
  std::vector<std::vector<std::uint64_t>> data_;
  std::vector<double> sinks_;  // one a worker and cache line: what was computed is used
};

}  // namespace

Limits measure_limits(int threads) { return Machine(threads).measure(); }

}  // namespace mlpc::bench
