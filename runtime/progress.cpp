#include "runtime/progress.h"

#include <unistd.h>

namespace mlpc::runtime {
namespace {

constexpr std::chrono::milliseconds kBetweenLines{100};

double seconds(std::chrono::steady_clock::duration d) { return std::chrono::duration<double>(d).count(); }

}  // namespace

std::string text_of(const Values& values, const std::string& prefix) {
  std::string out;
  for (const Value& v : values)
    out += fmt::format("{}{}{} {:.4g}", out.empty() ? "" : "  ", prefix, v.name, v.value);
  return out;
}

std::string text_of_duration(double value) {
  const auto s = static_cast<std::int64_t>(value + 0.5);
  if (s >= 3600) return fmt::format("{}:{:02}:{:02}", s / 3600, s / 60 % 60, s % 60);
  return fmt::format("{}:{:02}", s / 60, s % 60);
}

std::string epoch_line(const TrainReport& report) {
  std::string out =
      fmt::format("epoch {}/{}  {}", report.epoch + 1, report.epochs, text_of(report.training.values()));
  if (report.validation) out += "  " + text_of(*report.validation, "val.");
  return out;
}

Progress::Progress(std::FILE* out)
    : out_(out), is_terminal_(::isatty(::fileno(out)) == 1), begin_(Clock::now()), epoch_begin_(begin_) {}

void Progress::show(const TrainReport& report) {
  const auto now = Clock::now();
  if (first_step_ < 0) first_step_ = report.step - 1;
  if (report.is_end_of_epoch) {
    fmt::print(out_, "{}{}  {:.2f} s\n", is_terminal_ ? "\r\x1b[K" : "", epoch_line(report),
               seconds(now - epoch_begin_));
    std::fflush(out_);
    epoch_begin_ = now;
    is_live_ = false;
  } else if (is_terminal_ && now - shown_ >= kBetweenLines) {
    show_live(report, now);
  }
}

void Progress::end_line() {
  if (is_live_) fmt::print(out_, "\n");
  is_live_ = false;
}

void Progress::show_live(const TrainReport& report, Clock::time_point now) {
  shown_ = now;
  is_live_ = true;
  const double a_step = seconds(now - begin_) / static_cast<double>(report.step - first_step_);
  const double left = a_step * static_cast<double>(report.steps - report.step);
  fmt::print(out_, "\r\x1b[Kepoch {}/{}  step {}/{}  {}  eta {}", report.epoch + 1, report.epochs,
             report.step, report.steps, text_of(report.training.values()), text_of_duration(left));
  std::fflush(out_);
}

}  // namespace mlpc::runtime
