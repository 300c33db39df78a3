#include "runtime/pool.h"

#include <sched.h>

#include <algorithm>
#include <atomic>
#include <memory>
#include <mutex>
#include <new>
#include <system_error>
#include <thread>
#include <vector>

namespace {

constexpr int kMostWorkers = 1024;
constexpr int kSpins = 2000;  // of a `pause` each: about 100 µs, the cost of waking a sleeper

void pause_briefly() {
#if defined(__x86_64__)
  __builtin_ia32_pause();
#elif defined(__aarch64__)
  asm volatile("yield");
#endif
}

int usable_processors() {
  cpu_set_t set;
  if (::sched_getaffinity(0, sizeof set, &set) == 0) return CPU_COUNT(&set);
  return static_cast<int>(std::max(1U, std::thread::hardware_concurrency()));
}

// The gate: whether a job takes helpers, how many are inside, and which job it is.
constexpr std::uint64_t kOpen = 1, kInside = 2, kJob = std::uint64_t{1} << 32;
constexpr std::uint64_t job_of(std::uint64_t gate) { return gate / kJob; }
/// 0 is no job.
constexpr std::uint64_t next_job(std::uint64_t gate) {
  return std::max<std::uint64_t>((job_of(gate) + 1) % kJob, 1);
}
constexpr std::uint64_t inside(std::uint64_t gate) { return gate % kJob / kInside; }

constexpr std::int64_t kMostTasks = std::int64_t{1} << 31;  // of a job

/// A part of a job's tasks, which mostly one worker runs, in their order.
class alignas(64) Share {
 public:
  /// Begins one of `count` tasks: returns its number, or -1 where all have begun.
  std::int64_t take(std::uint64_t job, std::int64_t count) {
    std::uint64_t seen = state_.load(std::memory_order_relaxed);
    while (true) {
      const auto begun = seen / kJob == job ? static_cast<std::int64_t>(seen % kJob) : 0;
      if (begun >= count) return -1;
      const std::uint64_t next = job * kJob + static_cast<std::uint64_t>(begun) + 1;
      if (state_.compare_exchange_weak(seen, next, std::memory_order_relaxed)) return begun;
    }
  }

 private:
  std::atomic<std::uint64_t> state_{0};  // the job it is of, and how many of its tasks have begun
};

}  // namespace

/// The caller opens the gate, works, and closes it when no task is left to begin; it then waits only for
/// helpers that came in, so a sleeping one costs nothing. While anybody is inside, the job stays as it is.
///
/// Each worker begins with a share of its own, of tasks that follow each other, then helps with those of
/// others: neighbours in memory stay with one processor, and so do, from one kernel to the next, the same
/// rows.
struct mlpc_pool {
  explicit mlpc_pool(int count) : shares(static_cast<std::size_t>(std::max(count, 1))) {
    try {
      for (int worker = 1; worker < count; ++worker) threads.emplace_back([this, worker] { help(worker); });
    } catch (...) {
      stop();
      throw;
    }
  }
  ~mlpc_pool() { stop(); }

  void run(std::int64_t n, mlpc_task task_to_run, void* ctx) {
    for (first = 0; first < n; first += count) {
      task = task_to_run;
      context = ctx;
      count = std::min(n - first, kMostTasks);
      const std::uint64_t job = next_job(gate.load(std::memory_order_relaxed));
      gate.store(job * kJob + kOpen);
      wake();
      work(0, job);
      gate.fetch_and(~kOpen, std::memory_order_acq_rel);
      for (int spins = 0; inside(gate.load(std::memory_order_acquire)) > 0; ++spins)
        spins < kSpins ? pause_briefly() : std::this_thread::yield();
    }
  }

  std::mutex busy;
  std::vector<std::thread> threads;

 private:
  void wake() {
    if (sleepers.load() == 0) return;
    signal.fetch_add(1);
    signal.notify_all();
  }

  void work(int worker, std::uint64_t job) {
    const auto most = static_cast<std::int64_t>(shares.size());
    const std::int64_t parts = std::min(most, count);
    for (std::int64_t i = 0; i < parts; ++i) {
      const std::int64_t part = (worker + i) % parts;
      const std::int64_t begin = count * part / parts, end = count * (part + 1) / parts;
      Share& share = shares[static_cast<std::size_t>(part)];
      for (std::int64_t t = share.take(job, end - begin); t >= 0; t = share.take(job, end - begin))
        task(context, first + begin + t, worker);
    }
  }

  void help(int worker) {
    std::uint64_t last_job = 0;
    while (enter(last_job)) {
      work(worker, last_job);
      gate.fetch_sub(kInside, std::memory_order_acq_rel);
    }
  }

  /// Waits for a job that this thread has not seen, and goes in. False when the pool ends.
  bool enter(std::uint64_t& last_job) {
    for (int spins = 0; !is_ending.load(std::memory_order_relaxed); ++spins) {
      std::uint64_t seen = gate.load(std::memory_order_acquire);
      if ((seen & kOpen) != 0 && job_of(seen) != last_job) {
        if (!gate.compare_exchange_weak(seen, seen + kInside, std::memory_order_acq_rel)) continue;
        last_job = job_of(seen);
        return true;
      }
      if (spins < kSpins) {
        pause_briefly();
      } else {
        sleep(last_job);
        spins = 0;
      }
    }
    return false;
  }

  /// The counts and the gate are in one total order: either `wake` sees this sleeper, or it sees the open
  /// gate.
  void sleep(std::uint64_t last_job) {
    const std::uint32_t before = signal.load();
    sleepers.fetch_add(1);
    const std::uint64_t seen = gate.load();
    const bool has_work = (seen & kOpen) != 0 && job_of(seen) != last_job;
    if (!has_work && !is_ending.load()) signal.wait(before);
    sleepers.fetch_sub(1);
  }

  void stop() {
    is_ending.store(true);
    signal.fetch_add(1);
    signal.notify_all();
    for (std::thread& thread : threads) thread.join();
    threads.clear();
  }

  // Each on a cache line of its own: spinning readers must not slow down who writes the others.
  alignas(64) std::atomic<std::uint64_t> gate{0};
  alignas(64) std::atomic<std::uint32_t> signal{0};
  std::atomic<int> sleepers{0};
  std::atomic<bool> is_ending{false};
  alignas(64) mlpc_task task = nullptr;
  void* context = nullptr;
  std::int64_t first = 0, count = 0;  // of the job's tasks
  std::vector<Share> shares;          // one a worker
};

mlpc_pool* mlpc_pool_new(int workers) {
  if (workers < 0 || workers > kMostWorkers) return nullptr;
  try {
    return new mlpc_pool(workers == 0 ? std::min(usable_processors(), kMostWorkers) : workers);
  } catch (const std::exception&) {
    return nullptr;
  }
}

void mlpc_pool_free(mlpc_pool* pool) { delete pool; }

int mlpc_pool_workers(const mlpc_pool* pool) { return static_cast<int>(pool->threads.size()) + 1; }

void mlpc_pool_parallel(void* host, std::int64_t n, mlpc_task task, void* ctx) {
  auto* pool = static_cast<mlpc_pool*>(host);
  const std::unique_lock<std::mutex> lock(pool->busy, std::try_to_lock);
  if (lock.owns_lock() && !pool->threads.empty() && n > 1) return pool->run(n, task, ctx);
  for (std::int64_t i = 0; i < n; ++i) task(ctx, i, 0);
}
