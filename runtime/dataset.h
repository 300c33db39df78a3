#pragma once

#include <optional>
#include <span>
#include <string>
#include <vector>

#include "runtime/data.h"
#include "runtime/model.h"

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

/// Rows of a dataset, in groups of one size along one free dim; the last group may be shorter.
class Batches {
 public:
  /// `dim`: the free dim to split, or -1 to take everything as one batch of one row.
  Batches(const Dataset& data, std::int64_t dim, std::optional<std::int64_t> batch);

  std::int64_t row_count() const { return rows_; }
  std::int64_t batch() const { return batch_; }
  std::int64_t batch_count() const { return (rows_ + batch_ - 1) / batch_; }
  std::int64_t rows_at(std::int64_t first) const { return std::min(batch_, rows_ - first); }
  const Dataset& data() const { return data_; }

  /// Calls with rows first … first + count - 1: of the data itself, or, with an order, of copies. An error
  /// names the file, and the element as it is counted there.
  void run(Call& call, std::int64_t first, std::int64_t count, std::span<const std::int64_t> order);
  /// The dims of a plan for `count` rows.
  std::vector<std::int64_t> dims_for(std::int64_t count) const;

 private:
  std::size_t column_of(const Call& call, std::size_t input) const;
  const void* rows_of(std::size_t column, std::int64_t first, std::int64_t count,
                      std::span<const std::int64_t> order);

  const Dataset& data_;
  std::int64_t dim_, rows_, batch_;
  std::vector<Bytes> gathered_;  // one a column
};

/// The free dim to split into batches: the one named, or the leading one that the inputs of `entry` share; -1
/// if there is none. Without a batch all is fed whole: the inputs may begin with different dims.
std::int64_t batch_dim(const Model& model, const mlpc_entry& entry, const std::string& name,
                       std::optional<std::int64_t> batch);

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
