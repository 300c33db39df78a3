#pragma once

#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "runtime/statistics.h"
#include "runtime/trainer.h"

namespace mlpc::runtime {

/// One line of JSON for an epoch that ended; numbers that are not finite are null.
///   {"epoch": 1, "epochs": 10, "step": 469, "steps": 4690, "training": {"loss": …}, "validation": {…},
///    "parameters": {"fc1.W": {"norm": …, "gradient": …}}}
/// `epoch` counts from 1, `step` is how many are done; `validation` and `parameters` only where there are
/// any.
std::string log_line(const TrainReport& report, const std::vector<ParameterNorms>& norms);

/// A file of such lines, each of them there as soon as it is written.
class TrainingLog {
 public:
  /// Begins the file, or goes on at its end. Throws if it cannot be written.
  TrainingLog(const std::string& path, bool is_continued);
  void write(const TrainReport& report, const std::vector<ParameterNorms>& norms);

 private:
  std::string path_;
  std::unique_ptr<std::FILE, int (*)(std::FILE*)> file_;
};

}  // namespace mlpc::runtime
