#include "runtime/pool.h"

#include <doctest/doctest.h>

#include <atomic>
#include <chrono>
#include <memory>
#include <thread>
#include <vector>

namespace {

using Pool = std::unique_ptr<mlpc_pool, void (*)(mlpc_pool*)>;

Pool pool_of(int workers) { return {mlpc_pool_new(workers), mlpc_pool_free}; }

/// Counts how often each task ran; no two at once may have one worker's index.
struct Witness {
  explicit Witness(std::size_t n, int workers) : counts(n), in_use(static_cast<std::size_t>(workers)) {}
  std::vector<int> counts;  // not atomic: a task runs once, and its effects are seen when the call returns
  std::vector<std::atomic<int>> in_use;
  std::atomic<bool> is_sound = true;

  static void task(void* ctx, std::int64_t i, int worker) {
    auto& self = *static_cast<Witness*>(ctx);
    auto& mine = self.in_use[static_cast<std::size_t>(worker)];
    if (mine.fetch_add(1) != 0) self.is_sound = false;
    ++self.counts[static_cast<std::size_t>(i)];
    mine.fetch_sub(1);
  }

  void run(mlpc_pool* pool) {
    mlpc_pool_parallel(pool, static_cast<std::int64_t>(counts.size()), task, this);
  }
  bool ran_each(int times) const {
    for (const int count : counts)
      if (count != times) return false;
    return true;
  }
};

struct Nested {
  mlpc_pool* pool;
  std::vector<std::unique_ptr<Witness>> inner;
};

}  // namespace

TEST_CASE("pool: each task runs exactly once, with a worker's index of its own") {
  for (const int workers : {1, 2, 4, 9}) {
    const Pool pool = pool_of(workers);
    REQUIRE(pool);
    CHECK(mlpc_pool_workers(pool.get()) == workers);
    for (const std::size_t n : {0, 1, 2, 3, 100}) {
      Witness witness(n, workers);
      for (int turn = 0; turn < 50; ++turn) witness.run(pool.get());
      CHECK(witness.ran_each(50));
      CHECK(witness.is_sound);
    }
  }
}

TEST_CASE("pool: thousands of short calls in a row lose nothing") {
  const Pool pool = pool_of(4);
  Witness witness(5, 4);
  for (int turn = 0; turn < 20000; ++turn) witness.run(pool.get());
  CHECK(witness.ran_each(20000));
  CHECK(witness.is_sound);
}

TEST_CASE("pool: sleepers wake up for work") {
  const Pool pool = pool_of(3);
  Witness witness(8, 3);
  for (int turn = 0; turn < 20; ++turn) {
    std::this_thread::sleep_for(std::chrono::milliseconds(2));
    witness.run(pool.get());
  }
  CHECK(witness.ran_each(20));
}

TEST_CASE("pool: a task that calls the pool, and callers at the same time, do their own work") {
  const Pool pool = pool_of(3);
  Nested nested{pool.get(), {}};
  for (int i = 0; i < 6; ++i) nested.inner.push_back(std::make_unique<Witness>(4, 3));
  mlpc_pool_parallel(
      pool.get(), 6,
      [](void* ctx, std::int64_t i, int) {
        auto& n = *static_cast<Nested*>(ctx);
        n.inner[static_cast<std::size_t>(i)]->run(n.pool);
      },
      &nested);
  for (const auto& witness : nested.inner) CHECK(witness->ran_each(1));
  std::vector<std::thread> callers;
  std::atomic<int> good = 0;
  for (int c = 0; c < 4; ++c)
    callers.emplace_back([&] {
      Witness witness(7, 3);
      for (int turn = 0; turn < 500; ++turn) witness.run(pool.get());
      good += witness.ran_each(500) && witness.is_sound;
    });
  for (std::thread& caller : callers) caller.join();
  CHECK(good == 4);
}

TEST_CASE("pool: a number of workers that makes no sense gives none") {
  CHECK(mlpc_pool_new(-1) == nullptr);
  CHECK(mlpc_pool_new(1025) == nullptr);
  const Pool pool = pool_of(0);
  REQUIRE(pool);
  CHECK(mlpc_pool_workers(pool.get()) >= 1);
}
