#pragma once

#include <map>
#include <string>
#include <vector>

#include "runtime/tensor.h"

namespace mlpc::runtime {

/// A tensor, and where it came from for messages: "x=train.npy".
struct Input {
  Tensor tensor;
  std::string where;
  bool is_literal = false;  // a number written in the argument, which has no type of its own
};
using Inputs = std::map<std::string, Input>;

/// A file of data, known by its content: .npy, IDX or IDX.gz.
Tensor parse_data(std::span<const std::byte> file, const std::string& where);

/// Reads "x=FILE" for each argument; "x1=0.5" where the value is a number and no file of that name exists.
Inputs read_inputs(const std::vector<std::string>& arguments);

/// The model's free dims as data binds them, one after the other.
class DimBinder {
 public:
  explicit DimBinder(const mlpc_model& model);

  /// Binds the dims of a declared shape to an input's; returns the input's shape in the declared form.
  /// Trailing dims may be regrouped: [60000, 28, 28] is fine for x[B, 784].
  Shape bind(const mlpc_tensor& declared, const Shape& given, const std::string& where);
  void set(std::int64_t dim, std::int64_t value, const std::string& where);

  bool is_bound(std::int64_t dim) const { return values_[static_cast<std::size_t>(dim)] >= 0; }
  /// In the order of plan's argument; dims that no data binds are 1.
  std::vector<std::int64_t> dims() const;

 private:
  const mlpc_model& model_;
  std::vector<std::int64_t> values_;  // -1: not bound
  std::vector<std::string> from_;     // who bound it
};

/// The declared shape as it was written: "f32[B, 784]".
std::string text_of(const mlpc_model& model, const mlpc_tensor& declared);

/// The input with the declared element type: integers become other integers that hold every value, f32
/// becomes f64; all else is an error with a hint.
Tensor with_type(Input input, const mlpc_tensor& declared);

}  // namespace mlpc::runtime
