#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <vector>

#include "runtime/checkpoint.h"
#include "runtime/dataset.h"
#include "runtime/statistics.h"
#include "runtime/train_settings.h"

namespace mlpc::runtime {

/// What an observer sees after each step and at the end of each epoch.
struct TrainReport {
  std::int64_t epoch, epochs;  // counted from 0; of how many
  std::int64_t step, steps;    // done; of how many
  const Means& training;       // over the epoch so far
  const Values* validation;    // at the end of an epoch, if there is validation data
  bool is_end_of_epoch;
};

/// The training loop over shuffled batches: the entry `train_step`, or, where several batches make a step,
/// `grad` of each, which adds to those before, and `update`. Every number that decides what comes next is in
/// a checkpoint, so a training that was interrupted ends with the bits of one that was not.
class Trainer {
 public:
  /// The data must outlive the trainer; `validation` may be null.
  Trainer(const Model& model, const Dataset& training, const Dataset* validation,
          const TrainSettings& settings, const Workers& workers);

  /// Weights from the entry `init`, with the seed of the settings.
  void initialise() { runtime::initialise(model_, weights, settings_.seed); }
  /// Goes on where a checkpoint ended. Throws unless it was written by a training of this kind.
  void resume(const std::string& path);
  void save(const std::string& path) const;

  enum class Outcome { finished, stopped_early, interrupted };
  /// Returns when the steps are done, validation stopped improving, or `is_interrupted` became true.
  Outcome train(const std::atomic<bool>& is_interrupted,
                const std::function<void(const TrainReport&)>& report);

  /// Of the weights as they are, over the training data.
  std::vector<ParameterNorms> norms();

  Weights weights;
  std::int64_t step() const { return step_; }
  std::int64_t steps() const { return steps_; }
  std::uint64_t seed() const { return settings_.seed; }
  /// The source hash that the resumed checkpoint names, if it is another model's.
  std::optional<std::string> other_source;

 private:
  void take_step();
  void step_at_once();
  void step_by_parts(std::int64_t parts);
  void run(Call& call, std::int64_t turn);
  void set_moment(mlpc_args& args) const;
  std::int64_t steps_per_epoch() const {
    return (batches_.count() + settings_.accumulate - 1) / settings_.accumulate;
  }
  /// Batches that are done, over all epochs.
  std::int64_t turn() const { return epoch_ * batches_.count() + position_ / batches_.batch(); }
  void end_epoch(const std::function<void(const TrainReport&)>& report);
  void note_validation(const Values& values);
  bool has_stopped() const { return settings_.early_stop && bad_epochs_ >= settings_.early_stop->patience; }
  TrainReport report_now(const Values* validation, bool is_end) const;
  Metadata metadata() const;
  void take_progress(const Metadata& metadata, const std::string& path);

  const Model& model_;
  TrainSettings settings_;
  Workers workers_;
  Batches batches_;
  std::optional<Batches> validation_;
  std::int64_t steps_ = 0;

  std::int64_t step_ = 0, epoch_ = 0, position_ = 0;  // position: rows of this epoch that are done
  Means means_;
  std::optional<double> best_value_;
  std::optional<Weights> best_;
  std::int64_t bad_epochs_ = 0;

  Calls steps_at_once_, gradients_, updates_;
  Bytes grads_;  // of the batches of a step
};

}  // namespace mlpc::runtime
