#include "runtime/trainer.h"

#include <algorithm>
#include <charconv>
#include <cmath>

#include "runtime/error.h"

namespace mlpc::runtime {
namespace {

/// The trainer's numbers among a checkpoint's strings. Reals are written in hexadecimal: exact.
class MetadataReader {
 public:
  MetadataReader(const Metadata& metadata, const std::string& path) : metadata_(metadata), path_(path) {}

  bool has(const std::string& key) const { return metadata_.contains(key); }

  const std::string& text(const std::string& key) const {
    const auto found = metadata_.find(key);
    if (found == metadata_.end())
      fail(path_, "the metadata lacks `{}`: it was not written by `mlpc train`", key);
    return found->second;
  }

  template <typename T>
  T number(const std::string& key) const {
    const std::string& digits = text(key);
    const char *begin = digits.data(), *end = begin + digits.size();
    T value{};
    std::from_chars_result result{};
    if constexpr (std::is_floating_point_v<T>)
      result = std::from_chars(begin, end, value, std::chars_format::hex);
    else
      result = std::from_chars(begin, end, value);
    if (result.ec != std::errc() || result.ptr != end)
      fail(path_, "the metadata `{}` is `{}`, no number", key, digits);
    return value;
  }

 private:
  const Metadata& metadata_;
  const std::string& path_;
};

std::string hexadecimal(double value) {
  char text[64];
  return {text, std::to_chars(text, text + sizeof text, value, std::chars_format::hex).ptr};
}

constexpr const char* kSum = "sum.";  // key of a running sum: "sum.ce"

}  // namespace

Trainer::Trainer(const Model& model, const Dataset& training, const Dataset* validation,
                 const TrainSettings& settings, const Workers& workers)
    : weights(model.zero_weights()),
      model_(model),
      settings_(settings),
      workers_(workers),
      batches_(training, batch_splits(model, model.entry("train_step"), settings)),
      steps_at_once_(model, model.entry("train_step"), workers),
      gradients_(model, model.entry("grad"), workers),
      updates_(model, model.entry("update"), workers),
      grads_(static_cast<std::size_t>(model.table().params_bytes)) {
  const std::string& name = model.table().name;
  if (batches_.has_no_rows()) fail(name, "there are no rows to train on");
  steps_ = step_count(settings, steps_per_epoch(), name);
  if (validation) {
    // Batches of several dims do not make up the whole: the others begin again.
    const std::vector<Split> splits = batch_splits(model, model.entry("loss"), settings);
    validation_.emplace(*validation, splits.size() > 1 ? std::span<const Split>() : splits);
  }
  if (!settings.early_stop) return;
  const std::string& metric = settings.early_stop->metric;
  if (!validation) fail(name, "`early_stop` watches val.{}, but no validation data is given (--val)", metric);
  const Rows<mlpc_tensor> results = results_of(model.entry("loss"));
  bool is_known = false;
  for (const mlpc_tensor& result : results) is_known = is_known || result.name == metric;
  if (!is_known) fail(name, "`early_stop` watches val.{}, which is no loss or metric", metric);
}

Trainer::Outcome Trainer::train(const std::atomic<bool>& is_interrupted,
                                const std::function<void(const TrainReport&)>& report) {
  while (step_ < steps_ && !has_stopped()) {
    if (is_interrupted) return Outcome::interrupted;
    take_step();
    const bool is_end = position_ == batches_.row_count() || step_ == steps_;
    if (is_end)
      end_epoch(report);
    else
      report(report_now(nullptr, false));
  }
  if (best_) {
    weights.params = best_->params;
    weights.state = best_->state;
    best_.reset();
  }
  return has_stopped() ? Outcome::stopped_early : Outcome::finished;
}

void Trainer::take_step() {
  const std::int64_t left = batches_.count() - turn() % batches_.count();
  const std::int64_t parts = std::min(settings_.accumulate, left);
  if (settings_.accumulate == 1)
    step_at_once();
  else
    step_by_parts(parts);
  ++step_;
}

void Trainer::step_at_once() {
  Call& call = steps_at_once_.at(batches_.dims_at(turn()));
  call.use(weights);
  set_moment(call.args);
  run(call, turn());
}

/// The gradient of the mean over all rows of these batches, each of which counts by its rows; draws are those
/// of one batch of all rows.
void Trainer::step_by_parts(std::int64_t parts) {
  std::int64_t rows = 0;
  for (std::int64_t i = 0; i < parts; ++i) rows += batches_.rows_at(turn() + i);
  std::int64_t done = 0;
  for (std::int64_t i = 0; i < parts; ++i) {
    const std::int64_t count = batches_.rows_at(turn());
    Call& call = gradients_.at(batches_.dims_at(turn()));
    call.use(weights);
    set_moment(call.args);
    if (i > 0) call.args.flags |= MLPC_ACCUMULATE;
    call.args.grads = grads_.data();
    call.args.loss_bar = static_cast<double>(count) / static_cast<double>(rows);
    call.args.row_offset = done;
    run(call, turn());
    weights.state = call.state_out;
    done += count;
  }
  Call& update = updates_.at(batches_.dims_at(0));
  update.use(weights);
  set_moment(update.args);
  update.args.grads = grads_.data();
  update.run();
}

void Trainer::set_moment(mlpc_args& args) const {
  args.flags = MLPC_CHECK_FINITE;
  args.seed = settings_.seed;
  args.step = step_;
  args.steps = steps_;
  args.epoch = epoch_;
}

/// One batch, whose values count in the epoch's means.
void Trainer::run(Call& call, std::int64_t turn) {
  try {
    batches_.run(call, turn, settings_.seed);
  } catch (const CallError& e) {
    if (e.code != MLPC_NOT_FINITE) throw;
    fail(model_.table().name,
         "the loss is not finite in step {}, epoch {} (hint: a smaller learning rate, or clip)", step_ + 1,
         epoch_ + 1);
  }
  means_.add(call, batches_.rows_at(turn));
  position_ += batches_.rows_at(turn);
}

void Trainer::end_epoch(const std::function<void(const TrainReport&)>& report) {
  std::optional<Values> validation;
  if (validation_) validation = evaluate(model_, weights, *validation_, workers_);
  if (settings_.early_stop) note_validation(*validation);
  report(report_now(validation ? &*validation : nullptr, true));
  means_.clear();
  position_ = 0;
  ++epoch_;
}

void Trainer::note_validation(const Values& values) {
  const double value = std::ranges::find(values, settings_.early_stop->metric, &Value::name)->value;
  const bool is_better =
      !std::isnan(value) &&
      (!best_value_ || (settings_.early_stop->is_max ? value > *best_value_ : value < *best_value_));
  bad_epochs_ = is_better ? 0 : bad_epochs_ + 1;
  if (!is_better) return;
  best_value_ = value;
  best_ = Weights{weights.params, weights.state, {}};
}

TrainReport Trainer::report_now(const Values* validation, bool is_end) const {
  const std::int64_t a_epoch = steps_per_epoch();
  return {epoch_, (steps_ + a_epoch - 1) / a_epoch, step_, steps_, means_, validation, is_end};
}

std::vector<ParameterNorms> Trainer::norms() {
  Batches whole(batches_.data(), {});
  return parameter_norms(model_, weights, batches_.is_split_once() ? batches_ : whole,
                         {settings_.seed, step_, steps_, epoch_}, workers_);
}

Metadata Trainer::metadata() const {
  Metadata out = {
      {"step", fmt::format("{}", step_)},         {"epoch", fmt::format("{}", epoch_)},
      {"position", fmt::format("{}", position_)}, {"seed", fmt::format("{}", settings_.seed)},
      {"batches", batches_.text(model_)},         {"accumulate", fmt::format("{}", settings_.accumulate)},
      {"source_hash", model_.table().source_hash}};
  for (const Value& sum : means_.sums) out.emplace(kSum + sum.name, hexadecimal(sum.value));
  if (best_value_) out.emplace("best_value", hexadecimal(*best_value_));
  if (settings_.early_stop) out.emplace("bad_epochs", fmt::format("{}", bad_epochs_));
  return out;
}

void Trainer::save(const std::string& path) const {
  save_checkpoint(path, model_, weights, best_ ? &*best_ : nullptr, metadata());
}

void Trainer::resume(const std::string& path) {
  Checkpoint checkpoint = load_checkpoint(path, model_, weights, {.with_slots = true});
  best_ = std::move(checkpoint.best);
  take_progress(checkpoint.metadata, path);
  const auto source = checkpoint.metadata.find("source_hash");
  if (source != checkpoint.metadata.end() && source->second != model_.table().source_hash)
    other_source = source->second;
}

void Trainer::take_progress(const Metadata& metadata, const std::string& path) {
  const MetadataReader read(metadata, path);
  const std::string batches = read.text("batches"), now = batches_.text(model_);
  if (batches != now) fail(path, "was trained in batches of {}; now they are {}", batches, now);
  const auto accumulate = read.number<std::int64_t>("accumulate");
  if (accumulate != settings_.accumulate)
    fail(path, "was trained with steps of {} batches; now of {}", accumulate, settings_.accumulate);
  step_ = read.number<std::int64_t>("step");
  epoch_ = read.number<std::int64_t>("epoch");
  position_ = read.number<std::int64_t>("position");
  settings_.seed = read.number<std::uint64_t>("seed");
  const std::int64_t rows_a_step = batches_.batch() * settings_.accumulate;
  const bool is_sound = position_ >= 0 && position_ < batches_.row_count() && position_ % rows_a_step == 0 &&
                        epoch_ >= 0 && epoch_ <= step_ && step_ >= 0;
  if (!is_sound)
    fail(path, "step {}, epoch {} and position {} are those of no training", step_, epoch_, position_);
  means_.clear();
  for (const mlpc_tensor& result : results_of(model_.entry("train_step")))
    if (result.rank == 0 && position_ > 0)
      means_.sums.push_back({result.name, read.number<double>(std::string(kSum) + result.name)});
  means_.rows = position_;
  if (read.has("best_value")) best_value_ = read.number<double>("best_value");
  // A finished training's weights are its best ones.
  if (best_value_ && !best_) best_ = Weights{weights.params, weights.state, {}};
  if (settings_.early_stop && read.has("bad_epochs")) bad_epochs_ = read.number<std::int64_t>("bad_epochs");
}

}  // namespace mlpc::runtime
