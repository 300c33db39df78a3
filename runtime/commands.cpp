#include "runtime/commands.h"

#include <algorithm>
#include <filesystem>
#include <map>
#include <memory>

#include "runtime/checkpoint.h"
#include "runtime/dataset.h"
#include "runtime/error.h"
#include "runtime/files.h"
#include "runtime/interrupt.h"
#include "runtime/npy.h"
#include "runtime/pool.h"
#include "runtime/progress.h"
#include "runtime/train_settings.h"
#include "runtime/trainer.h"
#include "runtime/training_log.h"

namespace mlpc::runtime {
namespace {

class Threads {
 public:
  explicit Threads(int count) : pool_(mlpc_pool_new(count), mlpc_pool_free) {
    if (!pool_) fail("--threads", "cannot start {} threads", count);
  }
  Workers workers() const {
    const int count = mlpc_pool_workers(pool_.get());
    if (count == 1) return {};
    return {count, mlpc_pool_parallel, pool_.get()};
  }

 private:
  std::unique_ptr<mlpc_pool, void (*)(mlpc_pool*)> pool_;
};

LoadOptions load_options(const WeightFile& file) {
  LoadOptions out{.is_partial = file.is_partial};
  for (const std::string& rename : file.renames) out.renames.push_back(parse_rename(rename));
  return out;
}

TrainSettings settings_of(const Model& model) {
  return parse_train_settings(model.table().train, model.table().name);
}

/// Drawn weights, where a model without parameters, or one that starts from nothing, needs no file.
Weights start_weights(const Model& model, const WeightFile& file, std::uint64_t seed) {
  Weights weights = model.zero_weights();
  if ((file.path.empty() || file.is_partial) && model.find("init")) initialise(model, weights, seed);
  if (!file.path.empty()) load_checkpoint(file.path, model, weights, load_options(file));
  return weights;
}

/// Weights that mean something: drawn ones would only mislead.
Weights loaded_weights(const Model& model, const WeightFile& file) {
  if (file.path.empty() && model.params().size() > 0)
    fail("--weights", "the model {} has parameters: name a .safetensors file with their values",
         model.table().name);
  return start_weights(model, file, settings_of(model).seed);
}

std::string file_name_of(std::string_view name) {
  std::string out(name);
  for (char& c : out)
    if (c == '/' || c == '\0') c = '_';
  return out + ".npy";
}

/// Files of one directory, written when all are known.
class ResultFiles {
 public:
  void add(std::string_view name, mlpc_type type, Shape shape, std::span<const std::byte> bytes) {
    const std::string file = file_name_of(name);
    const Entry entry{type, std::move(shape), bytes};
    if (!files_.emplace(file, entry).second) fail(file, "two results have this file's name");
  }
  void add_parts(const Rows<mlpc_tensor>& rows, const Bytes& buffer) {
    for (const mlpc_tensor& t : rows) add(t.name, type_of(t), shape_of(t), part_of(buffer, t));
  }
  void write(const std::string& directory) const {
    make_directory(directory);
    for (const auto& [name, entry] : files_)
      write_npy((std::filesystem::path(directory) / name).string(), {entry.type, entry.shape, entry.bytes});
  }

 private:
  struct Entry {
    mlpc_type type;
    Shape shape;
    std::span<const std::byte> bytes;
  };
  std::map<std::string, Entry> files_;
};

void set_scalars(mlpc_args& args, const RunOptions& options) {
  args.seed = options.seed;
  args.step = options.step;
  args.steps = options.steps;
  args.epoch = options.epoch;
  args.row_offset = options.row_offset;
  args.loss_bar = options.loss_bar;
}

void set_direction(Call& call, const Model& model, const RunOptions& options) {
  const std::uint32_t kind = call.entry().kind;
  const bool has_direction = kind == MLPC_JVP || kind == MLPC_HVP;
  if (!has_direction && !options.tangents.empty())
    fail("--tangents", "the entry `{}` has no direction; jvp and hvp do", options.entry);
  if (kind == MLPC_HVP && options.tangents.empty())
    fail("--tangents", "hvp needs a direction: a .safetensors file with a tensor for each parameter");
  if (!options.tangents.empty())
    std::ranges::copy(load_direction(options.tangents, model), call.tangents.begin());
}

bool is_logged(const TrainReport& report, std::int64_t every) {
  return report.is_end_of_epoch && ((report.epoch + 1) % every == 0 || report.step == report.steps);
}

std::string text_of_row(const mlpc_model& model, const mlpc_tensor& t) {
  std::string out = fmt::format("  {}  {}", t.name, text_of(model, t));
  if (t.initialiser && *t.initialiser) out += fmt::format(" ~ {}", t.initialiser);
  if (t.bound > 0) out += fmt::format("  0 … {}", t.bound - 1);
  return out + "\n";
}

std::string text_of_rows(const mlpc_model& model, const char* title, const Rows<mlpc_tensor>& rows) {
  if (rows.size() == 0) return "";
  std::string out = fmt::format("{}:\n", title);
  for (const mlpc_tensor& t : rows) out += text_of_row(model, t);
  return out;
}

}  // namespace

void run_init(const Model& model, const InitOptions& options) {
  const std::uint64_t seed = options.seed.value_or(settings_of(model).seed);
  Weights weights;
  initialise(model, weights, seed);
  save_checkpoint(options.output, model, weights, nullptr,
                  {{"seed", fmt::format("{}", seed)}, {"source_hash", model.table().source_hash}});
}

void run_entry(const Model& model, const RunOptions& options) {
  const mlpc_entry& entry = model.entry(options.entry);
  if (entry.kind == MLPC_UPDATE)
    fail(options.entry, "reads gradients, which no file holds (hint: --entry=train_step)");
  const bool draws = entry.kind == MLPC_INIT;
  Weights weights = draws ? model.zero_weights() : loaded_weights(model, options.weights);
  const mlpc_entry* const entries[] = {&entry};
  const Dataset data = make_dataset(model, read_inputs(options.inputs), entries);
  const Threads threads(options.threads);
  Batches all(data, {});
  Call call(model, entry, data.dims, threads.workers());
  call.use(weights);
  set_scalars(call.args, options);
  set_direction(call, model, options);
  all.run(call, 0);
  ResultFiles files;
  const Rows<mlpc_tensor> results = results_of(entry);
  for (std::size_t i = 0; i < results.size(); ++i)
    files.add(results[i].name, call.results[i].type, call.results[i].shape, call.results[i].bytes);
  if (entry.kind == MLPC_GRAD || entry.kind == MLPC_HVP) files.add_parts(model.params(), call.grads);
  if (entry.kind == MLPC_TRAIN_STEP || draws) {
    files.add_parts(model.params(), weights.params);
    files.add_parts(model.state(), weights.state);
  }
  files.write(options.output);
}

void run_eval(const Model& model, const EvalOptions& options) {
  const mlpc_entry& entry = model.entry("loss");
  Weights weights = loaded_weights(model, options.weights);
  const mlpc_entry* const entries[] = {&entry};
  const Dataset data = make_dataset(model, read_inputs(options.inputs), entries);
  const TrainSettings settings = settings_of(model);
  const Threads threads(options.threads);
  std::vector<Split> splits;  // batches of several dims do not make up the whole
  if (settings.batch || settings.batches.size() == 1) splits = batch_splits(model, entry, settings);
  Batches batches(data, splits);
  for (const Value& v : evaluate(model, weights, batches, threads.workers()))
    fmt::print(options.out, "{} {:.9g}\n", v.name, v.value);
}

TrainOutcome run_train(const Model& model, const TrainOptions& options) {
  if (!model.find("train_step"))
    fail(model.table().name, "the model cannot be trained: its `train` block has no optimizer");
  check_writable(options.output);
  TrainSettings settings = settings_of(model);
  settings.seed = options.seed.value_or(settings.seed);
  const mlpc_entry *const step[] = {&model.entry("train_step")}, *const loss[] = {&model.entry("loss")};
  const Dataset training = make_dataset(model, read_inputs(options.inputs), step);
  std::optional<Dataset> validation;
  if (!options.validation.empty()) validation = make_dataset(model, read_inputs(options.validation), loss);
  const Threads threads(options.threads);
  Trainer trainer(model, training, validation ? &*validation : nullptr, settings, threads.workers());
  if (options.resume)
    trainer.resume(*options.resume);
  else
    trainer.weights = start_weights(model, options.weights, settings.seed);
  if (trainer.other_source)
    fmt::print(stderr, "{}: warning: was trained with another version of the network\n", *options.resume);
  std::optional<TrainingLog> log;
  if (!options.log.empty()) log.emplace(options.log, options.resume.has_value());
  Progress progress(options.progress);
  const InterruptGuard guard;
  const auto outcome = trainer.train(guard.is_interrupted(), [&](const TrainReport& report) {
    if (!options.is_quiet) progress.show(report);
    if (log && is_logged(report, options.log_every))
      log->write(report, options.has_norms ? trainer.norms() : std::vector<ParameterNorms>());
  });
  progress.end_line();
  trainer.save(options.output);
  if (outcome != Trainer::Outcome::interrupted) return TrainOutcome::finished;
  fmt::print(stderr, "{}: interrupted after step {} of {}; --resume goes on\n", options.output,
             trainer.step(), trainer.steps());
  return TrainOutcome::interrupted;
}

std::string model_info(const Model& model) {
  const mlpc_model& table = model.table();
  std::int64_t elements = 0;
  for (const mlpc_tensor& t : model.params()) elements += t.bytes / size_of(type_of(t));
  std::string out = fmt::format("model {}\ntarget {}\nsource {}\ntrain {}\ndims:", table.name, table.target,
                                table.source_hash, table.train);
  for (std::int64_t i = 0; i < table.dim_count; ++i) out += fmt::format(" {}", table.dims[i]);
  out += fmt::format("\nparameters: {} in {} tensors, {} bytes\n", elements, table.param_count,
                     table.params_bytes);
  for (const mlpc_tensor& t : model.params()) out += text_of_row(table, t);
  out += text_of_rows(table, "state", model.state()) + text_of_rows(table, "slots", model.slots());
  for (const mlpc_entry& entry : model.entries()) {
    out += fmt::format("entry {}\n", entry.name);
    out +=
        text_of_rows(table, " inputs", inputs_of(entry)) + text_of_rows(table, " results", results_of(entry));
  }
  return out;
}

}  // namespace mlpc::runtime
