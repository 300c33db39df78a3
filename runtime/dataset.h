#pragma once

#include <algorithm>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtime/data.h"
#include "runtime/model.h"
#include "runtime/train_settings.h"

namespace mlpc::runtime {

/// Data for the inputs of a model, in the form that its entries read.
struct Dataset {
  struct Column {
    std::string name;
    Tensor tensor;  // of the declared type and shape
    std::string where;
    std::int64_t leading_dim;  // the free dim that its first axis is, or -1
  };
  std::vector<Column> columns;
  std::vector<std::int64_t> dims;  // of the plan

  const Column& column(std::string_view name) const;
};

/// Checks the inputs against what `entries` read: missing ones, unknown ones, types, shapes. What only other
/// entries read is dropped.
Dataset make_dataset(const Model& model, Inputs inputs, std::span<const mlpc_entry* const> entries);

/// A free dim, and how many of its rows a batch has; nullopt: all.
struct Split {
  std::int64_t dim;
  std::optional<std::int64_t> batch;
};

/// What `batch` splits: the dims that it names, or the leading one that the inputs of `entry` share. Nothing
/// where there is none, nor where no batch is asked for and the inputs begin with different dims: all is fed
/// whole.
std::vector<Split> batch_splits(const Model& model, const mlpc_entry& entry, const TrainSettings& settings);

/// The rows of a dataset in batches, of one size along each dim that is split; the last one may be shorter.
/// The dim that makes most batches leads: an epoch goes through its rows once. The others begin again when
/// they end.
class Batches {
 public:
  /// Without splits, everything is one batch of one row.
  Batches(const Dataset& data, std::span<const Split> splits);

  /// Rows of the leading dim: all of them, those of a batch, and those of batch `turn`, counted over all
  /// epochs.
  std::int64_t row_count() const { return axes_[0].rows; }
  std::int64_t batch() const { return axes_[0].batch; }
  std::int64_t rows_at(std::int64_t turn) const { return axes_[0].at(turn).count; }
  /// Batches of an epoch.
  std::int64_t count() const { return axes_[0].turns(); }
  bool has_no_rows() const {
    return std::ranges::any_of(axes_, [](const Axis& a) { return a.rows == 0; });
  }
  bool is_split_once() const { return axes_.size() == 1; }
  const Dataset& data() const { return data_; }
  /// "B 64 of 60000": what is split, and how.
  std::string text(const Model& model) const;

  /// Calls with batch `turn`: of the data itself, or, with a seed, of copies in the order that `mlpc_order`
  /// has for that seed and pass through the rows. An error names the file, and the element as it is counted
  /// there.
  void run(Call& call, std::int64_t turn, std::optional<std::uint64_t> seed = {});
  /// The dims of a plan for batch `turn`.
  std::vector<std::int64_t> dims_at(std::int64_t turn) const;

 private:
  struct Rows {
    std::int64_t first, count;
  };
  struct Axis {
    std::int64_t dim, rows, batch;
    std::vector<std::int64_t> order;
    std::optional<std::pair<std::uint64_t, std::int64_t>> ordered;  // the seed and pass that `order` is of

    std::int64_t turns() const { return (rows + batch - 1) / batch; }
    Rows at(std::int64_t turn) const;
    void shuffle(std::int64_t turn, std::uint64_t seed);
  };

  std::size_t column_of(const Call& call, std::size_t input) const;
  const Axis* axis_of(const Dataset::Column& column) const;
  const void* rows_of(std::size_t column, std::int64_t turn, bool is_shuffled);

  const Dataset& data_;
  std::vector<Axis> axes_;       // the leading one first
  std::vector<Bytes> gathered_;  // one a column
};

/// Names and values of an entry's scalar results.
struct Value {
  std::string name;
  double value;
};
using Values = std::vector<Value>;

/// Sums of the scalar results over batches, each weighted by its rows.
class Means {
 public:
  void add(const Call& call, std::int64_t rows);
  Values values() const;
  void clear() { *this = {}; }

  Values sums;  // public: a checkpoint in the middle of an epoch keeps them
  std::int64_t rows = 0;
};

/// The entry `loss` over all rows; the mean of each value weighted by samples.
Values evaluate(const Model& model, Weights& weights, Batches& batches, const Workers& workers);

}  // namespace mlpc::runtime
