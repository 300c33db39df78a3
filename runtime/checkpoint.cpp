#include "runtime/checkpoint.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <set>

#include "runtime/error.h"
#include "runtime/safetensors.h"

namespace mlpc::runtime {
namespace {

constexpr std::string_view kSlot = "slot.", kBest = "best/";

std::string key_of(std::string_view prefix, const mlpc_tensor& t) {
  return fmt::format("{}{}", prefix, t.name);
}

class Writer {
 public:
  void add(std::string_view prefix, const Rows<mlpc_tensor>& rows, const Bytes& buffer) {
    for (const mlpc_tensor& t : rows) {
      shapes_.push_back(std::make_unique<Shape>(shape_of(t)));
      out.push_back({key_of(prefix, t), {type_of(t), *shapes_.back(), part_of(buffer, t)}});
    }
  }
  std::vector<NamedView> out;

 private:
  std::vector<std::unique_ptr<Shape>> shapes_;
};

/// Compares the file's keys with the model's and copies what fits; problems are collected.
class Loader {
 public:
  Loader(const Safetensors& file, const LoadOptions& options, const std::string& path)
      : options_(options), path_(path) {
    for (const NamedView& t : file.tensors) {
      const std::string key = renamed(t.name);
      if (!tensors_.emplace(key, &t.tensor).second)
        fail(path, "after --rename two tensors have the key `{}`", key);
    }
    for (const auto& [old_key, new_key] : options.renames)
      if (!used_renames_.contains(old_key))
        fail(path, "--rename {}={}: the file has no `{}`", old_key, new_key, old_key);
  }

  void take(std::string_view prefix, const Rows<mlpc_tensor>& rows, Bytes& buffer) {
    for (const mlpc_tensor& t : rows) {
      const std::string key = key_of(prefix, t);
      const auto found = tensors_.find(key);
      if (found == tensors_.end()) {
        if (!options_.is_partial) problems_.push_back(fmt::format("missing `{}`, {}", key, text_of_type(t)));
        continue;
      }
      copy(key, *found->second, t, buffer);
      tensors_.erase(found);
    }
  }

  bool has_any(std::string_view prefix) const {
    const auto found = tensors_.lower_bound(std::string(prefix));
    return found != tensors_.end() && found->first.starts_with(prefix);
  }

  void ignore(std::string_view prefix) {
    std::erase_if(tensors_, [&](const auto& entry) { return entry.first.starts_with(prefix); });
  }

  void forget(const Rows<mlpc_tensor>& rows) {
    for (const mlpc_tensor& t : rows) tensors_.erase(t.name);
  }

  void finish() {
    if (!options_.is_partial)
      for (const auto& [key, tensor] : tensors_)
        problems_.push_back(
            fmt::format("extra `{}`, {}{}", key, name_of(tensor->type), text_of(tensor->shape)));
    if (problems_.size() == 1) fail(path_, "does not fit the model: {}", problems_[0]);
    if (!problems_.empty())
      fail(path_, "does not fit the model in {} tensors:\n  {}", problems_.size(),
           fmt::join(problems_, "\n  "));
  }

 private:
  static std::string text_of_type(const mlpc_tensor& t) {
    return fmt::format("{}{}", name_of(type_of(t)), text_of(shape_of(t)));
  }

  /// A parameter's slots and best values follow it: `slot.m/old`, `best/old`.
  std::string renamed(const std::string& key) {
    const std::size_t slash =
        key.starts_with(kSlot) || key.starts_with(kBest) ? key.find('/') : std::string::npos;
    const std::size_t begin = slash == std::string::npos ? 0 : slash + 1;
    for (const auto& [old_key, new_key] : options_.renames)
      if (key.substr(begin) == old_key) {
        used_renames_.insert(old_key);
        return key.substr(0, begin) + new_key;
      }
    return key;
  }

  void copy(const std::string& key, const TensorView& from, const mlpc_tensor& t, Bytes& buffer) {
    if (from.type == type_of(t) && std::ranges::equal(from.shape, shape_of(t))) {
      std::ranges::copy(from.bytes, part_of(buffer, t).begin());
      return;
    }
    problems_.push_back(fmt::format("misshapen `{}`: {}{} in the file, {} in the model", key,
                                    name_of(from.type), text_of(from.shape), text_of_type(t)));
  }

  const LoadOptions& options_;
  const std::string& path_;
  std::map<std::string, const TensorView*> tensors_;
  std::set<std::string> used_renames_;
  std::vector<std::string> problems_;
};

}  // namespace

std::pair<std::string, std::string> parse_rename(const std::string& text) {
  const std::size_t equals = text.find('=');
  if (equals == 0 || equals == std::string::npos || equals + 1 == text.size())
    fail("", "`{}` is not of the form OLD=NEW", text);
  return {text.substr(0, equals), text.substr(equals + 1)};
}

void save_checkpoint(const std::string& path, const Model& model, const Weights& weights, const Weights* best,
                     const Metadata& metadata) {
  Writer writer;
  writer.add("", model.params(), weights.params);
  writer.add("", model.state(), weights.state);
  writer.add(kSlot, model.slots(), weights.slots);
  if (best) {
    writer.add(kBest, model.params(), best->params);
    writer.add(kBest, model.state(), best->state);
  }
  write_safetensors(path, writer.out, metadata);
}

Checkpoint load_checkpoint(const std::string& path, const Model& model, Weights& weights,
                           const LoadOptions& options) {
  const Safetensors file = read_safetensors(path);
  Loader loader(file, options, path);
  Weights read = weights;
  Checkpoint out{file.metadata, {}};
  loader.take("", model.params(), read.params);
  loader.take("", model.state(), read.state);
  if (options.with_slots) {
    loader.take(kSlot, model.slots(), read.slots);
    if (loader.has_any(kBest)) {
      out.best = model.zero_weights();
      loader.take(kBest, model.params(), out.best->params);
      loader.take(kBest, model.state(), out.best->state);
    }
  } else {
    loader.ignore(kSlot);
    loader.ignore(kBest);
  }
  loader.finish();
  weights = std::move(read);
  return out;
}

Bytes load_direction(const std::string& path, const Model& model) {
  const Safetensors file = read_safetensors(path);
  const LoadOptions strict;
  Loader loader(file, strict, path);
  Bytes out = model.zero_weights().params;
  loader.take("", model.params(), out);
  loader.forget(model.state());
  loader.ignore(kSlot);
  loader.ignore(kBest);
  loader.finish();
  return out;
}

}  // namespace mlpc::runtime
