#include "tests/support/compiled/call_memory.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>

#include "ir/error.h"

namespace mlpc::testing {
namespace {

using namespace ir;

constexpr std::size_t kAlignment = 64;
constexpr unsigned char kPoison = 0xAB;  // in memory that the call has to write

template <typename T>
void store(std::byte* to, const std::vector<double>& values) {
  for (std::size_t i = 0; i < values.size(); ++i) {
    const T value = static_cast<T>(values[i]);
    std::memcpy(to + i * sizeof(T), &value, sizeof(T));
  }
}

template <typename T>
std::vector<double> load(const std::byte* from, std::size_t count) {
  std::vector<double> out;
  for (std::size_t i = 0; i < count; ++i) {
    T value;
    std::memcpy(&value, from + i * sizeof(T), sizeof(T));
    out.push_back(static_cast<double>(value));
  }
  return out;
}

template <typename F>
auto with_type(ElementType type, F f) {
  switch (type) {
    case ElementType::f32:
      return f(float{});
    case ElementType::f64:
      return f(double{});
    case ElementType::i32:
      return f(std::int32_t{});
    case ElementType::i64:
      return f(std::int64_t{});
    case ElementType::u8:
    case ElementType::boolean:
      break;
  }
  return f(std::uint8_t{});
}

std::size_t bytes_of(const std::vector<TensorInfo>& tensors) {
  return static_cast<std::size_t>(buffer_bytes(tensors));
}

}  // namespace

std::function<std::int64_t(std::string_view)> value_in(const Dims& dims) {
  return [&dims](std::string_view name) {
    const auto found = dims.find(name);
    if (found == dims.end()) fail("the dim {} has no value", name);
    return found->second;
  };
}

Bytes::Bytes(std::size_t size) : size_(size) {
  const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
  const std::size_t aligned = (size + kAlignment - 1) / kAlignment * kAlignment,
                    inside = (aligned + page - 1) / page * page, all = inside + 2 * page;
  void* pages = mmap(nullptr, all, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  MLPC_CHECK(pages != MAP_FAILED, "no memory for {} bytes", size);
  pages_ = {static_cast<std::byte*>(pages), Unmap{all}};
  offset_ = page + inside - aligned;
  if (inside == 0) return;
  MLPC_CHECK(mprotect(pages_.get() + page, inside, PROT_READ | PROT_WRITE) == 0, "no memory for {} bytes",
             size);
  std::memset(data(), kPoison, aligned);
}

void Bytes::Unmap::operator()(std::byte* pages) const { munmap(pages, bytes); }

CallMemory::CallMemory(const Program& program, const Graph& graph, Dims dims)
    : params(bytes_of(program.params)),
      state(bytes_of(program.state)),
      state_out(bytes_of(program.state)),
      slots(bytes_of(program.slots)),
      grads(bytes_of(program.params)),
      tangents(bytes_of(program.params)),
      program_(program),
      graph_(graph),
      dims_(std::move(dims)) {
  for (const Graph::Result& r : graph.results) results.try_emplace(r.name, size_of(graph.type(r.value)));
}

std::vector<std::int64_t> CallMemory::shape_of(const Type& type) const {
  std::vector<std::int64_t> shape;
  for (const Dim& extent : type.shape) shape.push_back(extent.evaluate(value_in(dims_)).value());
  return shape;
}

std::size_t CallMemory::size_of(const Type& type) const {
  auto bytes = static_cast<std::size_t>(ir::size_of(type.element));
  for (std::int64_t extent : shape_of(type)) bytes *= static_cast<std::size_t>(extent);
  return bytes;
}

void CallMemory::set(const Graph::Parameter& p, const HostTensor& value) {
  const Type& type = graph_.type(p.value);
  const auto write = [&](std::byte* to) {
    with_type(type.element, [&]<typename T>(T) { store<T>(to, value.values); });
  };
  const double scalar = value.values.empty() ? 0 : value.values[0];
  switch (p.role) {
    case Role::input:
      return write(inputs.try_emplace(p.name, size_of(type)).first->second.data());
    case Role::param:
      return write(params.data() + program_.params[p.index].offset);
    case Role::state:
      return write(state.data() + program_.state[p.index].offset);
    case Role::slot:
      return write(slots.data() + program_.slots[p.index].offset);
    case Role::grad:
      return write(grads.data() + program_.params[p.index].offset);
    case Role::tangent:
      return write(tangents.data() + program_.params[p.index].offset);
    case Role::seed:
      seed = static_cast<std::int64_t>(scalar);
      return;
    case Role::step:
      step = static_cast<std::int64_t>(scalar);
      return;
    case Role::steps:
      steps = static_cast<std::int64_t>(scalar);
      return;
    case Role::epoch:
      epoch = static_cast<std::int64_t>(scalar);
      return;
    case Role::row_offset:
      row_offset = static_cast<std::int64_t>(scalar);
      return;
    case Role::loss_bar:
      loss_bar = scalar;
      return;
    case Role::accumulate:
      accumulate = scalar != 0;
      return;
    default:
      fail("no argument of role {}", name_of(p.role));
  }
}

std::byte* CallMemory::place(const Graph::Result& r) {
  switch (r.role) {
    case Role::param:
      return params.data() + program_.params[r.index].offset;
    case Role::state:
      return (graph_.name == "grad" ? state_out : state).data() + program_.state[r.index].offset;
    case Role::slot:
      return slots.data() + program_.slots[r.index].offset;
    case Role::grad:
      return grads.data() + program_.params[r.index].offset;
    default:
      return results.at(r.name).data();
  }
}

HostTensor CallMemory::get(const Graph::Result& r) {
  const Type& type = graph_.type(r.value);
  const std::size_t count = size_of(type) / static_cast<std::size_t>(ir::size_of(type.element));
  const std::byte* from = place(r);
  return {shape_of(type), with_type(type.element, [&]<typename T>(T) { return load<T>(from, count); })};
}

}  // namespace mlpc::testing
