#include "runtime/training_log.h"

#include <doctest/doctest.h>

#include <limits>

#include "runtime/files.h"
#include "tests/runtime/linear_model.h"
#include "tests/support/temporary.h"

namespace mlpc::runtime {

using testing::TemporaryDirectory;

namespace {

Means means_of(double value) {
  Means out;
  out.sums = {{"loss", value * 4}};
  out.rows = 4;
  return out;
}

}  // namespace

TEST_CASE("training log: a line has what there is of the epoch, counted from 1") {
  const Means training = means_of(0.5);
  const Values validation = {{"loss", 0.25}, {"acc", 1}};
  CHECK(log_line({0, 2, 3, 6, training, nullptr, true}, {}) ==
        R"({"epoch":1,"epochs":2,"step":3,"steps":6,"training":{"loss":0.5}})");
  CHECK(log_line({1, 2, 6, 6, training, &validation, true}, {{"a/fc.W", 2, 0.125}}) ==
        R"({"epoch":2,"epochs":2,"step":6,"steps":6,"training":{"loss":0.5},)"
        R"("validation":{"loss":0.25,"acc":1.0},)"
        R"("parameters":{"a/fc.W":{"norm":2.0,"gradient":0.125}}})");
}

TEST_CASE("training log: a number that is not finite is null") {
  const Means training = means_of(std::numeric_limits<double>::quiet_NaN());
  CHECK(log_line({0, 1, 1, 1, training, nullptr, true}, {}).find(R"("loss":null)") != std::string::npos);
}

TEST_CASE("training log: begins anew, or goes on; a path that cannot be written is named") {
  const TemporaryDirectory directory;
  const std::string path = directory.file("log");
  const Means training = means_of(1);
  const TrainReport report{0, 1, 1, 1, training, nullptr, true};
  TrainingLog(path, false).write(report, {});
  TrainingLog(path, true).write(report, {});
  const std::string line = log_line(report, {}) + "\n";
  CHECK(text_in(read_file(path)) == line + line);
  TrainingLog(path, false).write(report, {});
  CHECK(text_in(read_file(path)) == line);
  const std::string nowhere = directory.file("no/log");
  CHECK(problem_of([&] { TrainingLog(nowhere, false); }).starts_with(nowhere + ": cannot write the log: "));
}

}  // namespace mlpc::runtime
