#include "tests/support/compiled/compiled.h"

#include <algorithm>
#include <cstring>
#include <map>

#include "compiler/driver/host_cpu.h"
#include "compiler/lowering/lower.h"
#include "ir/error.h"
#include "ir/verify.h"

namespace mlpc::testing {
namespace {

using namespace ir;

constexpr std::size_t kAlignment = 64;
constexpr unsigned char kPoison = 0xAB;  // in memory that the call has to write

/// Memory as a host gives it.
class Bytes {
 public:
  explicit Bytes(std::size_t size) : storage_(size + kAlignment, kPoison) {}
  std::byte* data() {
    const auto address = reinterpret_cast<std::uintptr_t>(storage_.data());
    return reinterpret_cast<std::byte*>((address + kAlignment - 1) / kAlignment * kAlignment);
  }

 private:
  std::vector<unsigned char> storage_;
};

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

std::vector<std::int64_t> shape_of(const Type& type) {
  std::vector<std::int64_t> shape;
  for (const Dim& extent : type.shape) shape.push_back(extent.constant().value());
  return shape;
}

std::size_t count_of(const Type& type) {
  return static_cast<std::size_t>(type.element_count().constant().value());
}

/// One call's buffers.
class Call {
 public:
  Call(const Program& program, const mlpc_model& model, const Graph& graph)
      : program_(program),
        model_(model),
        graph_(graph),
        params_(size(model.params_bytes)),
        state_(size(model.state_bytes)),
        state_out_(size(model.state_bytes)),
        slots_(size(model.slots_bytes)),
        grads_(size(model.params_bytes)) {
    entry_ = std::find_if(model.entries, model.entries + model.entry_count,
                          [&](const mlpc_entry& e) { return graph.name == e.name; });
    if (entry_ == model.entries + model.entry_count) fail("no entry {}", graph.name);
    args_.size = sizeof(args_);
  }

  void set(const Graph::Parameter& p, const HostTensor& value) {
    const double scalar = value.values.empty() ? 0 : value.values[0];
    switch (p.role) {
      case Role::input:
        return write(inputs_.try_emplace(p.name, count_of(type(p)) * 8).first->second.data(), p, value);
      case Role::param:
        return write(params_.data() + program_.params[p.index].offset, p, value);
      case Role::state:
        return write(state_.data() + program_.state[p.index].offset, p, value);
      case Role::slot:
        return write(slots_.data() + program_.slots[p.index].offset, p, value);
      case Role::grad:
        return write(grads_.data() + program_.params[p.index].offset, p, value);
      case Role::seed:
        args_.seed = static_cast<std::uint64_t>(scalar);
        return;
      case Role::step:
        args_.step = static_cast<std::int64_t>(scalar);
        return;
      case Role::loss_bar:
        args_.loss_bar = scalar;
        return;
      case Role::accumulate:
        args_.flags = scalar != 0 ? MLPC_ACCUMULATE : 0;
        return;
      default:
        fail("no argument of role {}", name_of(p.role));
    }
  }

  void run() {
    std::vector<const void*> inputs;
    for (std::int64_t i = 0; i < entry_->input_count; ++i)
      inputs.push_back(inputs_.at(entry_->inputs[i].name).data());
    std::vector<void*> results;
    for (const Graph::Result& r : graph_.results)
      results_.try_emplace(r.name, count_of(graph_.type(r.value)) * 8);
    for (std::int64_t i = 0; i < entry_->result_count; ++i)
      results.push_back(results_.at(entry_->results[i].name).data());
    Bytes plan_bytes(size(model_.plan_bytes));
    auto* plan = reinterpret_cast<mlpc_plan*>(plan_bytes.data());
    check(model_.plan(plan, nullptr, 1, static_cast<int>(entry_->kind)), "plan");
    Bytes workspace(size(plan->workspace_bytes));
    args_.inputs = inputs.data();
    args_.results = results.data();
    args_.params = params_.data();
    args_.state = state_.data();
    args_.state_out = state_out_.data();
    args_.slots = slots_.data();
    args_.grads = grads_.data();
    args_.workspace = workspace.data();
    check(entry_->call(plan, &args_), graph_.name);
  }

  HostTensor get(const Graph::Result& r) {
    const Type& type = graph_.type(r.value);
    const std::byte* from = place(r);
    const std::vector<double> values =
        with_type(type.element, [&]<typename T>(T) { return load<T>(from, count_of(type)); });
    return {shape_of(type), values};
  }

 private:
  static std::size_t size(std::int64_t bytes) { return static_cast<std::size_t>(bytes); }
  static void check(int code, std::string_view what) {
    if (code != 0) fail("{} returns {}", what, code);
  }
  const Type& type(const Graph::Parameter& p) const { return graph_.type(p.value); }

  void write(std::byte* to, const Graph::Parameter& p, const HostTensor& value) {
    with_type(type(p).element, [&]<typename T>(T) { store<T>(to, value.values); });
  }

  const std::byte* place(const Graph::Result& r) {
    switch (r.role) {
      case Role::param:
        return params_.data() + program_.params[r.index].offset;
      case Role::state:
        return (graph_.name == "grad" ? state_out_ : state_).data() + program_.state[r.index].offset;
      case Role::slot:
        return slots_.data() + program_.slots[r.index].offset;
      case Role::grad:
        return grads_.data() + program_.params[r.index].offset;
      default:
        return results_.at(r.name).data();
    }
  }

  const Program& program_;
  const mlpc_model& model_;
  const Graph& graph_;
  const mlpc_entry* entry_;
  Bytes params_, state_, state_out_, slots_, grads_;
  std::map<std::string, Bytes> inputs_, results_;
  mlpc_args args_{};
};

Program for_host(Program program) {
  program.target = std::string(driver::host_target());
  return program;
}

codegen::JitModel compile(const Program& program, int level) {
  const KernelProgram kernels = lowering::lower(program, {level});
  verify(kernels);
  return codegen::JitModel(kernels);
}

}  // namespace

CompiledProgram::CompiledProgram(Program joint, int level)
    : program_(for_host(std::move(joint))), model_(compile(program_, level)) {}

std::vector<HostTensor> CompiledProgram::run(const std::string& name,
                                             const std::vector<HostTensor>& arguments) const {
  const Graph& graph = *program_.find(name);
  Call call(program_, *model_.table(), graph);
  for (std::size_t i = 0; i < arguments.size(); ++i) call.set(graph.parameters()[i], arguments[i]);
  call.run();
  std::vector<HostTensor> results;
  for (const Graph::Result& r : graph.results) results.push_back(call.get(r));
  return results;
}

}  // namespace mlpc::testing
