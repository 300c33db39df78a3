#pragma once

#include <cstddef>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "ir/evaluate.h"
#include "ir/program.h"

namespace mlpc::testing {

/// Free dims by name.
using Dims = std::map<std::string, std::int64_t, std::less<>>;
/// The value of a free dim; throws std::out_of_range for one that is not given.
std::function<std::int64_t(std::string_view)> value_in(const Dims& dims);

/// Memory as a host gives it: aligned to 64 bytes, and full of a pattern until it is written. A page that may
/// not be touched begins within 64 bytes of its end, and one ends within a page of its begin.
class Bytes {
 public:
  explicit Bytes(std::size_t size);
  std::byte* data() { return pages_.get() + offset_; }
  std::size_t size() const { return size_; }

 private:
  struct Unmap {
    std::size_t bytes;
    void operator()(std::byte* pages) const;
  };
  std::size_t size_, offset_;
  std::unique_ptr<std::byte, Unmap> pages_;
};

/// The buffers of one call of the entry that a graph becomes.
class CallMemory {
 public:
  CallMemory(const ir::Program& program, const ir::Graph& graph, Dims dims);

  /// The value of a parameter of the graph, where its role says.
  void set(const ir::Graph::Parameter& parameter, const ir::HostTensor& value);
  /// A result of the graph, read from where its role says.
  ir::HostTensor get(const ir::Graph::Result& result);

  /// Bytes of a value of that type.
  std::size_t size_of(const ir::Type& type) const;

  Bytes params, state, state_out, slots, grads, tangents;
  std::map<std::string, Bytes> inputs, results;  // by name
  std::int64_t seed = 0, step = 0, steps = 0, epoch = 0, row_offset = 0;
  double loss_bar = 0;
  bool accumulate = false;

 private:
  std::vector<std::int64_t> shape_of(const ir::Type& type) const;
  std::byte* place(const ir::Graph::Result& result);

  const ir::Program& program_;
  const ir::Graph& graph_;
  Dims dims_;
};

}  // namespace mlpc::testing
