#include "runtime/training_log.h"

#include <cerrno>
#include <cstring>
#include <nlohmann/json.hpp>

#include "runtime/error.h"

namespace mlpc::runtime {
namespace {

using Json = nlohmann::ordered_json;

Json json_of(const Values& values) {
  Json out = Json::object();
  for (const Value& v : values) out[v.name] = v.value;
  return out;
}

}  // namespace

std::string log_line(const TrainReport& report, const std::vector<ParameterNorms>& norms) {
  Json line = {{"epoch", report.epoch + 1},
               {"epochs", report.epochs},
               {"step", report.step},
               {"steps", report.steps},
               {"training", json_of(report.training.values())}};
  if (report.validation) line["validation"] = json_of(*report.validation);
  for (const ParameterNorms& n : norms)
    line["parameters"][n.name] = {{"norm", n.value}, {"gradient", n.gradient}};
  return line.dump();
}

TrainingLog::TrainingLog(const std::string& path, bool is_continued)
    : path_(path), file_(std::fopen(path.c_str(), is_continued ? "ab" : "wb"), std::fclose) {
  if (!file_) fail(path, "cannot write the log: {}", std::strerror(errno));
}

void TrainingLog::write(const TrainReport& report, const std::vector<ParameterNorms>& norms) {
  const std::string line = log_line(report, norms) + "\n";
  if (std::fwrite(line.data(), 1, line.size(), file_.get()) != line.size() || std::fflush(file_.get()) != 0)
    fail(path_, "cannot write the log: {}", std::strerror(errno));
}

}  // namespace mlpc::runtime
