#pragma once

#include <cstdint>
#include <optional>
#include <string>

namespace mlpc::runtime {

struct EarlyStop {
  std::string metric;  // a result of the entry `loss`, on the validation data
  std::int64_t patience = 0;
  bool is_max = false;
};

/// What the model's table says about training; the optimizer and its schedule are compiled in.
struct TrainSettings {
  std::optional<std::int64_t> batch, epochs, steps;
  std::string batch_dim;  // as named by `batch = {N: 64}`; empty: the leading dim that the inputs share
  std::uint64_t seed = 0;
  std::optional<EarlyStop> early_stop;
};

/// Parses the table's JSON object. Throws on unknown keys and values, and on settings that no trainer has
/// yet.
TrainSettings parse_train_settings(const std::string& json, const std::string& where);

/// steps = epochs · ⌈rows / batch⌉; with both given, whichever ends first.
std::int64_t step_count(const TrainSettings& settings, std::int64_t batch_count, const std::string& where);

}  // namespace mlpc::runtime
