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

  template <typename T>
  T number(const std::string& key) const {
    const auto found = metadata_.find(key);
    if (found == metadata_.end())
      fail(path_, "the metadata lacks `{}`: it was not written by `mlpc train`", key);
    const char *begin = found->second.data(), *end = begin + found->second.size();
    T value{};
    std::from_chars_result result{};
    if constexpr (std::is_floating_point_v<T>)
      result = std::from_chars(begin, end, value, std::chars_format::hex);
    else
      result = std::from_chars(begin, end, value);
    if (result.ec != std::errc() || result.ptr != end)
      fail(path_, "the metadata `{}` is `{}`, no number", key, found->second);
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
      batches_(training, batch_dim(model, model.entry("train_step"), settings.batch_dim, settings.batch),
               settings.batch) {
  const std::string& name = model.table().name;
  if (batches_.row_count() == 0) fail(name, "there are no rows to train on");
  steps_ = step_count(settings, batches_.batch_count(), name);
  if (validation)
    validation_.emplace(*validation,
                        batch_dim(model, model.entry("loss"), settings.batch_dim, settings.batch),
                        settings.batch);
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

Call& Trainer::call_for(std::int64_t rows) {
  const auto found = calls_.find(rows);
  if (found != calls_.end()) return found->second;
  const mlpc_entry& entry = model_.entry("train_step");
  return calls_.try_emplace(rows, model_, entry, batches_.dims_for(rows), workers_).first->second;
}

void Trainer::take_step() {
  const std::int64_t rows = batches_.row_count();
  if (ordered_epoch_ != epoch_) {
    order_.resize(static_cast<std::size_t>(rows));
    mlpc_order(settings_.seed, epoch_, rows, order_.data());
    ordered_epoch_ = epoch_;
  }
  const std::int64_t count = batches_.rows_at(position_);
  Call& call = call_for(count);
  call.use(weights);
  call.args.flags = MLPC_CHECK_FINITE;
  call.args.seed = settings_.seed;
  call.args.step = step_;
  call.args.steps = steps_;
  call.args.epoch = epoch_;
  try {
    batches_.run(call, position_, count, order_);
  } catch (const CallError& e) {
    if (e.code != MLPC_NOT_FINITE) throw;
    fail(model_.table().name,
         "the loss is not finite in step {}, epoch {} (hint: a smaller learning rate, or clip)", step_ + 1,
         epoch_ + 1);
  }
  means_.add(call, count);
  position_ += count;
  ++step_;
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
  const std::int64_t a_epoch = batches_.batch_count();
  return {epoch_, (steps_ + a_epoch - 1) / a_epoch, step_, steps_, means_, validation, is_end};
}

std::vector<ParameterNorms> Trainer::norms() {
  return parameter_norms(model_, weights, batches_, {settings_.seed, step_, steps_, epoch_}, workers_);
}

Metadata Trainer::metadata() const {
  Metadata out = {{"step", fmt::format("{}", step_)},
                  {"epoch", fmt::format("{}", epoch_)},
                  {"position", fmt::format("{}", position_)},
                  {"seed", fmt::format("{}", settings_.seed)},
                  {"rows", fmt::format("{}", batches_.row_count())},
                  {"batch", fmt::format("{}", batches_.batch())},
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
  const auto rows = read.number<std::int64_t>("rows"), batch = read.number<std::int64_t>("batch");
  if (rows != batches_.row_count() || batch != batches_.batch())
    fail(path, "was trained on {} rows in batches of {}; now there are {} in batches of {}", rows, batch,
         batches_.row_count(), batches_.batch());
  step_ = read.number<std::int64_t>("step");
  epoch_ = read.number<std::int64_t>("epoch");
  position_ = read.number<std::int64_t>("position");
  settings_.seed = read.number<std::uint64_t>("seed");
  const bool is_sound = position_ >= 0 && position_ < rows && position_ % batch == 0 && epoch_ >= 0 &&
                        epoch_ <= step_ && step_ >= 0;
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
