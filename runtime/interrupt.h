#pragma once

#include <signal.h>

#include <atomic>

namespace mlpc::runtime {

/// While it lives, the first Ctrl-C (or SIGTERM) sets a flag; the second one ends the process as usual.
class InterruptGuard {
 public:
  InterruptGuard();
  ~InterruptGuard();
  InterruptGuard(const InterruptGuard&) = delete;
  InterruptGuard& operator=(const InterruptGuard&) = delete;

  const std::atomic<bool>& is_interrupted() const;

 private:
  struct sigaction old_int_{};
  struct sigaction old_term_{};
};

}  // namespace mlpc::runtime
