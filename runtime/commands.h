#pragma once

#include <cstdint>
#include <cstdio>
#include <optional>
#include <string>
#include <vector>

#include "runtime/model.h"

// What the tool's subcommands do once there is a compiled model. The tool parses flags and prints errors;
// every function throws runtime::Error, before anything is written, or returns when all of it is.

namespace mlpc::runtime {

struct WeightFile {
  std::string path;                  // .safetensors; empty: none was given
  bool is_partial = false;           // --partial
  std::vector<std::string> renames;  // --rename old=new
};

struct InitOptions {
  std::string output;  // .safetensors
  std::optional<std::uint64_t> seed;
};
/// Draws the weights. Without a seed, that of the model's `train` block.
void run_init(const Model& model, const InitOptions& options);

struct RunOptions {
  std::string entry = "infer";
  WeightFile weights;
  std::string tangents;  // of `jvp` and `hvp`: the direction, .safetensors; none: 0, for `jvp` only
  std::vector<std::string> inputs;  // "x=FILE", "x1=0.5"
  std::string output;               // a directory
  std::uint64_t seed = 0;
  std::int64_t step = 0, steps = 1, epoch = 0, row_offset = 0;
  double loss_bar = 1;
  int threads = 0;  // 0: one a processor
};
/// Calls one entry and writes OUT/NAME.npy for each result: by name; for `grad` also each parameter's
/// gradient, for `hvp` each part of the product, for `train_step` and `init` each parameter, by path. Without
/// weights, parameters are drawn as `run_init` does.
void run_entry(const Model& model, const RunOptions& options);

struct EvalOptions {
  WeightFile weights;
  std::vector<std::string> inputs;
  int threads = 0;
  std::FILE* out = stdout;
};
/// Prints each loss and metric over all rows, one "NAME VALUE" a line.
void run_eval(const Model& model, const EvalOptions& options);

struct TrainOptions {
  std::vector<std::string> inputs, validation;
  std::string output;                 // .safetensors
  WeightFile weights;                 // where to begin, if not at random
  std::optional<std::string> resume;  // a checkpoint of an interrupted training
  std::optional<std::uint64_t> seed;  // instead of the `train` block's
  int threads = 0;
  bool is_quiet = false;
  std::FILE* progress = stderr;
  std::string log;             // lines as training_log.h has them; empty: none
  std::int64_t log_every = 1;  // epochs; the last one is always there
  bool has_norms = false;      // of parameters and gradients, in the log
};
enum class TrainOutcome { finished, interrupted };
/// Trains and writes the checkpoint; after Ctrl-C, too, and `resume` goes on from there.
TrainOutcome run_train(const Model& model, const TrainOptions& options);

/// What the model is: dims, parameters, entries, settings.
std::string model_info(const Model& model);

}  // namespace mlpc::runtime
