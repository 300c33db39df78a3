#pragma once

#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "runtime/error.h"
#include "runtime/tensor.h"

namespace mlpc::runtime {

/// Rows of a table whose structs are led by their size: a newer model's rows are longer than ours.
template <typename T>
class Rows {
 public:
  Rows(const T* first, std::int64_t count) : first_(first), count_(count) {}
  std::size_t size() const { return static_cast<std::size_t>(count_); }
  const T& operator[](std::size_t i) const {
    return *reinterpret_cast<const T*>(reinterpret_cast<const std::byte*>(first_) + i * first_->size);
  }

  class Iterator {
   public:
    Iterator(const Rows& rows, std::size_t i) : rows_(rows), i_(i) {}
    const T& operator*() const { return rows_[i_]; }
    Iterator& operator++() { return ++i_, *this; }
    bool operator!=(const Iterator& other) const { return i_ != other.i_; }

   private:
    const Rows& rows_;
    std::size_t i_;
  };
  Iterator begin() const { return {*this, 0}; }
  Iterator end() const { return {*this, size()}; }

 private:
  const T* first_;
  std::int64_t count_;
};

inline Rows<mlpc_tensor> inputs_of(const mlpc_entry& e) { return {e.inputs, e.input_count}; }
inline Rows<mlpc_tensor> results_of(const mlpc_entry& e) { return {e.results, e.result_count}; }
inline mlpc_type type_of(const mlpc_tensor& t) { return static_cast<mlpc_type>(t.type); }

/// What training changes, laid out as the model's table says, padding zero.
struct Weights {
  Bytes params, state, slots;
};

/// A compiled model: from a shared library, or a table that a JIT keeps alive.
class Model {
 public:
  /// `keep` is released with the last copy of the model. Throws if the table is not of this ABI, or
  /// contradicts itself.
  explicit Model(const mlpc_model* table, std::shared_ptr<const void> keep = {});
  /// Opens a library that mlpc made. A path without a slash is a file of the working directory.
  static Model load(const std::string& path);

  const mlpc_model& table() const { return *table_; }
  Rows<mlpc_tensor> params() const { return {table_->params, table_->param_count}; }
  Rows<mlpc_tensor> state() const { return {table_->state, table_->state_count}; }
  Rows<mlpc_tensor> slots() const { return {table_->slots, table_->slot_count}; }
  Rows<mlpc_entry> entries() const { return {table_->entries, table_->entry_count}; }

  const mlpc_entry* find(std::string_view entry) const;
  /// Throws, with the entries that there are, if there is none of that name.
  const mlpc_entry& entry(std::string_view name) const;
  /// An input of that name of any entry.
  const mlpc_tensor* find_input(std::string_view name) const;

  Weights zero_weights() const;

 private:
  const mlpc_model* table_;
  std::shared_ptr<const void> keep_;
};

/// The extents of a row of the table; `dims` as the plan has them (parameters need none).
Shape shape_of(const mlpc_tensor& tensor, std::span<const std::int64_t> dims = {});
/// The part of params, state or slots (or of grads) that belongs to `tensor`.
std::span<std::byte> part_of(Bytes& buffer, const mlpc_tensor& tensor);
std::span<const std::byte> part_of(const Bytes& buffer, const mlpc_tensor& tensor);

/// Who runs the tasks of a call.
struct Workers {
  int count = 1;
  mlpc_parallel parallel = nullptr;
  void* host = nullptr;
};

/// An entry returned a code other than MLPC_OK. For MLPC_INDEX_OUT_OF_RANGE: which input, which element.
class CallError : public Error {
 public:
  CallError(std::string where, const std::string& problem, int error_code, std::size_t input_index = 0,
            std::int64_t element = 0)
      : Error(std::move(where), problem), code(error_code), input(input_index), position(element) {}
  int code;
  std::size_t input;
  std::int64_t position;
};

/// One entry at given dims: its plan, workspace and results, for any number of calls.
class Call {
 public:
  Call(const Model& model, const mlpc_entry& entry, std::span<const std::int64_t> dims,
       const Workers& workers);

  /// Uses the buffers, which must outlive the calls. `state_out`, `grads` and `tangents`, of the entries that
  /// have them, are this object's own.
  void use(Weights& weights);
  void set_input(std::size_t i, const void* data) { inputs_[i] = data; }
  /// Throws a CallError unless the entry returns MLPC_OK.
  void run();
  /// What to say of element `position` of input i, which is element `shown` of the user's data.
  std::string index_problem(std::size_t i, std::int64_t position, std::int64_t shown) const;

  mlpc_args args{};  // seed, step, flags and the like; its pointers are this object's
  std::vector<Tensor> results;
  Bytes grads, state_out, tangents;
  const mlpc_entry& entry() const { return entry_; }
  std::size_t workspace_bytes() const { return workspace_.size(); }

 private:
  const Model& model_;
  const mlpc_entry& entry_;
  Bytes plan_, workspace_;
  std::vector<const void*> inputs_;
  std::vector<void*> outputs_;
};

/// Calls of one entry, by their dims: the last batch may be short.
class Calls {
 public:
  Calls(const Model& model, const mlpc_entry& entry, const Workers& workers)
      : model_(model), entry_(entry), workers_(workers) {}

  Call& at(const std::vector<std::int64_t>& dims) {
    const auto found = calls_.find(dims);
    return found != calls_.end() ? found->second
                                 : calls_.try_emplace(dims, model_, entry_, dims, workers_).first->second;
  }

 private:
  const Model& model_;
  const mlpc_entry& entry_;
  Workers workers_;
  std::map<std::vector<std::int64_t>, Call> calls_;
};

/// Fills params, state and slots by the entry `init`.
void initialise(const Model& model, Weights& weights, std::uint64_t seed);

}  // namespace mlpc::runtime
