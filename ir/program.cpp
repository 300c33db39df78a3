#include "ir/program.h"

#include <algorithm>
#include <array>

#include "ir/error.h"

namespace mlpc::ir {
namespace {

constexpr std::int64_t kAlignment = 64;  // bytes: a cache line and an AVX-512 load

std::int64_t bytes_of(const TensorInfo& tensor) {
  const std::optional<std::int64_t> count = tensor.type.element_count().constant();
  MLPC_CHECK(count, "{} has a free extent", tensor.path);
  std::int64_t bytes = 0;
  if (__builtin_mul_overflow(*count, size_of(tensor.type.element), &bytes) || bytes > (INT64_MAX >> 1))
    fail("`{}` is too large", tensor.path);
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

std::int64_t add_bytes(std::int64_t offset, const TensorInfo& tensor) {
  if (__builtin_add_overflow(offset, bytes_of(tensor), &offset))
    fail("`{}` ends beyond 64 bits", tensor.path);
  return offset;
}

}  // namespace

std::string_view name_of(Stage stage) {
  constexpr std::array<std::string_view, 4> kNames = {"graph", "linear", "jacobian", "joint"};
  return kNames[static_cast<std::size_t>(stage)];
}

std::string text_of(const SourceLocation& l) {
  const std::string as = l.application.empty() ? "" : " as " + l.application;
  return fmt::format("{}:{}:{}{}", l.file, l.line, l.column, as);
}

std::span<const std::string_view> entry_names() {
  static constexpr std::array<std::string_view, 9> kNames = {"infer", "loss", "grad", "update",  "train_step",
                                                             "init",  "jvp",  "hvp",  "jacobian"};
  return kNames;
}

const Graph* Program::find(std::string_view graph_name) const {
  const auto found = std::ranges::find(graphs, graph_name, &Graph::name);
  return found == graphs.end() ? nullptr : &*found;
}

Graph* Program::find(std::string_view graph_name) {
  return const_cast<Graph*>(static_cast<const Program*>(this)->find(graph_name));
}

std::int64_t buffer_bytes(const std::vector<TensorInfo>& tensors) {
  std::int64_t end = 0;
  for (const TensorInfo& tensor : tensors) end = std::max(end, add_bytes(tensor.offset, tensor));
  return end;
}

void assign_offsets(std::vector<TensorInfo>& tensors) {
  std::int64_t offset = 0;
  for (TensorInfo& tensor : tensors) {
    tensor.offset = offset;
    offset = add_bytes(offset, tensor);
  }
}

}  // namespace mlpc::ir
