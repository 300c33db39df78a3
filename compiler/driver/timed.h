#pragma once

#include <chrono>

#include "compiler/driver/compile.h"

namespace mlpc::driver {

/// Reports what a phase took when it goes out of scope.
class Timed {
 public:
  Timed(const Observer& observer, std::string_view phase)
      : observer_(observer), phase_(phase), begin_(Clock::now()) {}
  ~Timed() {
    if (observer_.time) observer_.time(phase_, std::chrono::duration<double>(Clock::now() - begin_).count());
  }
  Timed(const Timed&) = delete;
  Timed& operator=(const Timed&) = delete;

 private:
  using Clock = std::chrono::steady_clock;
  const Observer& observer_;
  std::string_view phase_;
  Clock::time_point begin_;
};

}  // namespace mlpc::driver
