#pragma once

#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "runtime/model.h"

namespace mlpc::runtime {

// A checkpoint is a safetensors file: parameters by path in the table's order, state by path, then
// `slot.m/enc.W`. An interrupted training with early stopping adds the best weights so far, `best/enc.W`. Its
// metadata, all strings: step, epoch, position, seed, source hash, and what else a training needs to go on.

using Metadata = std::map<std::string, std::string>;

struct LoadOptions {
  bool is_partial = false;  // keys may be missing or extra; what is missing stays as it is
  std::vector<std::pair<std::string, std::string>> renames;  // key of the file, path of the model
  bool with_slots = false;  // for training to go on; otherwise well-formed slots are ignored
};

/// "old=new", as of --rename.
std::pair<std::string, std::string> parse_rename(const std::string& text);

void save_checkpoint(const std::string& path, const Model& model, const Weights& weights, const Weights* best,
                     const Metadata& metadata);

struct Checkpoint {
  Metadata metadata;
  std::optional<Weights> best;  // params and state, if the file has them
};

/// Fills `weights`. One Error lists every key that is missing, extra or misshapen.
Checkpoint load_checkpoint(const std::string& path, const Model& model, Weights& weights,
                           const LoadOptions& options);

/// A direction in the space of the parameters, laid out as they are: a file with a tensor for each of them.
/// State and slots in it are ignored, so that a checkpoint is one.
Bytes load_direction(const std::string& path, const Model& model);

}  // namespace mlpc::runtime
