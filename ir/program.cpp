#include "ir/program.h"

#include <algorithm>
#include <array>

#include "ir/bodies.h"
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

std::size_t stacked_axes(std::string_view path) {
  std::size_t count = 0;
  for (std::size_t at = path.find("[*]"); at != std::string_view::npos; at = path.find("[*]", at + 3))
    ++count;
  return count;
}

std::vector<TensorInfo> rows_of(const TensorInfo& tensor) {
  const std::size_t star = tensor.path.find("[*]");
  if (star == std::string::npos) return {tensor};
  const std::int64_t count = *tensor.type.shape[0].constant();
  TensorInfo row = tensor;
  row.type.shape.erase(row.type.shape.begin());
  const std::int64_t bytes = *row.type.element_count().constant() * size_of(row.type.element);
  std::vector<TensorInfo> out;
  for (std::int64_t k = 0; k < count; ++k, row.offset += bytes) {
    row.path = fmt::format("{}{}{}", tensor.path.substr(0, star + 1), k, tensor.path.substr(star + 2));
    const std::vector<TensorInfo> inner = rows_of(row);
    out.insert(out.end(), inner.begin(), inner.end());
  }
  return out;
}

std::vector<TensorInfo> rows_of(const std::vector<TensorInfo>& tensors) {
  std::vector<TensorInfo> out;
  for (const TensorInfo& tensor : tensors) {
    const std::vector<TensorInfo> rows = rows_of(tensor);
    out.insert(out.end(), rows.begin(), rows.end());
  }
  return out;
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

namespace {

/// Applies f to every location that a graph or its bodies refer to.
template <typename F>
void for_each_location(const Graph& graph, F f) {
  for (std::uint32_t v = 0; v < graph.value_count(); ++v)
    for (std::uint32_t location : graph.locations({v})) f(location);
  for (std::uint32_t i = 0; i < graph.node_count(); ++i)
    if (const Body* body = body_of(graph.node({i}))) for_each_location(body->graph(), f);
}

}  // namespace

void drop_unused_locations(Program& program) {
  std::vector<bool> is_used(program.locations.size(), false);
  const auto use = [&](std::uint32_t location) { is_used[location] = true; };
  if (!is_used.empty()) use(0);  // nowhere
  for (const auto* table : {&program.params, &program.state, &program.slots})
    for (const TensorInfo& tensor : *table) use(tensor.location);
  for (const DimCheck& check : program.checks) use(check.location);
  for (const Graph& graph : program.graphs) for_each_location(graph, use);
  std::vector<std::uint32_t> numbers;
  std::vector<SourceLocation> kept;
  for (std::size_t i = 0; i < is_used.size(); ++i) {
    numbers.push_back(static_cast<std::uint32_t>(kept.size()));
    if (is_used[i]) kept.push_back(std::move(program.locations[i]));
  }
  program.locations = std::move(kept);
  for (auto* table : {&program.params, &program.state, &program.slots})
    for (TensorInfo& tensor : *table) tensor.location = numbers[tensor.location];
  for (DimCheck& check : program.checks) check.location = numbers[check.location];
  BodyMapper renumber([&](Graph graph) {
    graph.renumber_locations(numbers);
    return graph;
  });
  for (Graph& graph : program.graphs) graph = renumber(graph);
}

}  // namespace mlpc::ir
