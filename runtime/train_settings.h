#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <utility>
#include <vector>

namespace mlpc::runtime {

struct EarlyStop {
  std::string metric;  // a result of the entry `loss`, on the validation data
  std::int64_t patience = 0;
  bool is_max = false;
};

/// What the model's table says about training; the optimizer and its schedule are compiled in.
struct TrainSettings {
  std::optional<std::int64_t> batch, epochs, steps;
  std::vector<std::pair<std::string, std::int64_t>> batches;  // `batch = {N: 256, M: 64}`, instead of `batch`
  std::int64_t accumulate = 1;                                // batches whose gradients make one step
  std::uint64_t seed = 0;
  std::optional<EarlyStop> early_stop;
};

/// Parses the table's JSON object. Throws on unknown keys and values.
TrainSettings parse_train_settings(const std::string& json, const std::string& where);

/// steps = epochs · ⌈⌈rows / batch⌉ / accumulate⌉; with both given, whichever ends first.
std::int64_t step_count(const TrainSettings& settings, std::int64_t steps_per_epoch,
                        const std::string& where);

}  // namespace mlpc::runtime
