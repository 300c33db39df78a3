#include "runtime/train_settings.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "runtime/error.h"

namespace mlpc::runtime {
namespace {

using Json = nlohmann::json;

class Reader {
 public:
  explicit Reader(const std::string& where) : where_(where) {}

  TrainSettings run(const Json& object) {
    if (!object.is_object()) bad("train", object);
    TrainSettings out;
    for (const auto& [key, value] : object.items()) take(key, value, out);
    return out;
  }

 private:
  [[noreturn]] void bad(const std::string& key, const Json& value) {
    fail(where_, "the setting `{}` is {}", key, value.dump(-1, ' ', false, Json::error_handler_t::replace));
  }

  std::int64_t count(const std::string& key, const Json& value, std::int64_t least = 1) {
    if (!value.is_number_integer() || value.get<std::int64_t>() < least) bad(key, value);
    return value.get<std::int64_t>();
  }

  void take(const std::string& key, const Json& value, TrainSettings& out) {
    if (key == "batch")
      batch(value, out);
    else if (key == "epochs")
      out.epochs = count(key, value);
    else if (key == "steps")
      out.steps = count(key, value);
    else if (key == "seed")
      out.seed = static_cast<std::uint64_t>(count(key, value, 0));
    else if (key == "early_stop")
      out.early_stop = early_stop(value);
    else if (key == "accumulate")
      out.accumulate = count(key, value);
    else
      fail(where_, "there is no setting `{}`", key);
  }

  void batch(const Json& value, TrainSettings& out) {
    if (!value.is_object()) {
      out.batch = count("batch", value);
      return;
    }
    for (const auto& [dim, size] : value.items()) out.batches.emplace_back(dim, count("batch", size));
    if (out.batches.empty()) bad("batch", value);
  }

  EarlyStop early_stop(const Json& value) {
    const bool is_known = value.is_object() && value.contains("metric") && value["metric"].is_string() &&
                          value.contains("patience") &&
                          value.size() == 2 + (value.contains("mode") ? 1U : 0U);
    const std::string mode = is_known ? value.value("mode", Json("min")).dump() : "";
    if (mode != "\"min\"" && mode != "\"max\"") bad("early_stop", value);
    EarlyStop out{value["metric"].get<std::string>(), count("patience", value["patience"]),
                  mode == "\"max\""};
    if (out.metric.starts_with("val.")) out.metric.erase(0, 4);
    return out;
  }

  const std::string& where_;
};

}  // namespace

TrainSettings parse_train_settings(const std::string& json, const std::string& where) {
  Json object;
  try {
    object = Json::parse(json);
  } catch (const Json::exception& e) {
    fail(where, "the train settings are no JSON ({})", e.what());
  }
  return Reader(where).run(object);
}

std::int64_t step_count(const TrainSettings& settings, std::int64_t steps_per_epoch,
                        const std::string& where) {
  if (!settings.epochs && !settings.steps)
    fail(where, "`train` has neither `epochs` nor `steps` (hint: --train.epochs=10)");
  if (!settings.epochs) return *settings.steps;
  std::int64_t steps = 0;
  if (__builtin_mul_overflow(*settings.epochs, steps_per_epoch, &steps))
    fail(where, "{} epochs of {} steps are too many", *settings.epochs, steps_per_epoch);
  return std::min(steps, settings.steps.value_or(steps));
}

}  // namespace mlpc::runtime
