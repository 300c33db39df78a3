#pragma once

#include <chrono>
#include <cstdio>
#include <string>

#include "runtime/trainer.h"

namespace mlpc::runtime {

/// "ce 0.4123  acc 0.8512"; validation values are named "val.ce".
std::string text_of(const Values& values, const std::string& prefix = "");
/// "1:02:03", "2:03", "0:03".
std::string text_of_duration(double seconds);
/// The line of an epoch that ended, without its time.
std::string epoch_line(const TrainReport& report);

/// Shows a training: a live line on a terminal, a plain line an epoch otherwise.
class Progress {
 public:
  explicit Progress(std::FILE* out);
  void show(const TrainReport& report);
  /// Leaves the live line, so that what is printed next begins a line.
  void end_line();

 private:
  using Clock = std::chrono::steady_clock;
  void show_live(const TrainReport& report, Clock::time_point now);

  std::FILE* out_;
  bool is_terminal_, is_live_ = false;
  std::int64_t first_step_ = -1;  // of this process: a resumed training begins late
  Clock::time_point begin_, epoch_begin_, shown_;
};

}  // namespace mlpc::runtime
