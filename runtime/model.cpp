#include "runtime/model.h"

#include <dlfcn.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "runtime/data.h"
#include "runtime/elf_note.h"
#include "runtime/error.h"
#include "runtime/files.h"

namespace mlpc::runtime {
namespace {

/// A table comes from a file: what the rest of the runtime relies on is looked at once.
class TableChecker {
 public:
  explicit TableChecker(const mlpc_model& model) : m_(model) {}

  void run() {
    require(m_.size >= sizeof(mlpc_model) && m_.abi == MLPC_ABI_VERSION, "is of another ABI");
    require(m_.name && m_.plan && m_.train && m_.target && m_.source_hash, "lacks a name, plan or settings");
    require(m_.plan_bytes >= static_cast<std::int64_t>(sizeof(mlpc_plan)), "has a plan of no size");
    require(m_.dim_count >= 0 && m_.dim_count <= MLPC_MAX_DIMS, "has too many dims");
    buffer({m_.params, m_.param_count}, m_.params_bytes);
    buffer({m_.state, m_.state_count}, m_.state_bytes);
    buffer({m_.slots, m_.slot_count}, m_.slots_bytes);
    require(m_.entry_count >= 0 && (m_.entry_count == 0 || m_.entries), "lacks its entries");
    for (const mlpc_entry& e : Rows<mlpc_entry>(m_.entries, m_.entry_count)) {
      require(e.size >= sizeof(mlpc_entry) && e.name && e.call, "has a malformed entry");
      tensors(inputs_of(e), e.inputs);
      tensors(results_of(e), e.results);
    }
  }

 private:
  void require(bool holds, const char* what) {
    if (!holds) fail(m_.name ? m_.name : "a model", "the model's table {}", what);
  }

  void tensors(const Rows<mlpc_tensor>& rows, const mlpc_tensor* first) {
    require(rows.size() < (std::size_t{1} << 32) && (rows.size() == 0 || first), "lacks its tensors");
    for (const mlpc_tensor& t : rows) {
      require(t.size >= sizeof(mlpc_tensor) && t.name && t.type <= MLPC_BOOL, "has a malformed tensor");
      require(t.rank >= 0 && (t.rank == 0 || t.shape), "has a tensor without a shape");
      for (std::int64_t axis = 0; axis < t.rank; ++axis)
        require(t.shape[axis].dim < m_.dim_count && (t.shape[axis].dim >= 0 || t.shape[axis].constant >= 0),
                "has a malformed extent");
    }
  }

  void buffer(const Rows<mlpc_tensor>& rows, std::int64_t bytes) {
    require(bytes >= 0, "has a buffer of negative size");
    if (rows.size() == 0) return;
    tensors(rows, &rows[0]);
    for (const mlpc_tensor& t : rows) {
      require(t.layout == 0, "has a parameter in a layout that this version does not know");
      const auto count = element_count(shape_of(t));
      require(count && *count * size_of(type_of(t)) == t.bytes, "has a parameter of a wrong size");
      require(t.offset >= 0 && t.bytes <= bytes && t.offset <= bytes - t.bytes,
              "has a parameter outside its buffer");
    }
  }

  const mlpc_model& m_;
};

std::string text_in_quotes(const Rows<mlpc_entry>& entries) {
  std::vector<std::string> names;
  for (const mlpc_entry& e : entries) names.push_back(fmt::format("`{}`", e.name));
  return fmt::format("{}", fmt::join(names, ", "));
}

std::int64_t integer_at(const void* data, mlpc_type type, std::int64_t at) {
  switch (type) {
    case MLPC_I32:
      return static_cast<const std::int32_t*>(data)[at];
    case MLPC_I64:
      return static_cast<const std::int64_t*>(data)[at];
    default:
      return static_cast<const std::uint8_t*>(data)[at];
  }
}

std::string text_of_dims(const mlpc_model& model, std::span<const std::int64_t> dims) {
  std::string out;
  for (std::size_t i = 0; i < dims.size(); ++i)
    out += fmt::format("{}{} = {}", i > 0 ? ", " : "", model.dims[i], dims[i]);
  return out;
}

}  // namespace

Model::Model(const mlpc_model* table, std::shared_ptr<const void> keep)
    : table_(table), keep_(std::move(keep)) {
  if (!table) fail("", "the model does not know version {} of the ABI", MLPC_ABI_VERSION);
  TableChecker(*table).run();
}

Model Model::load(const std::string& path) {
  const std::string name = model_name_in(read_file(path), path);
  // Without a slash dlopen would search the library path, and find another file than the one just read.
  const std::string file = path.find('/') == std::string::npos ? "./" + path : path;
  void* handle = ::dlopen(file.c_str(), RTLD_NOW | RTLD_LOCAL);
  if (!handle) fail(path, "cannot load the library: {}", ::dlerror());
  std::shared_ptr<const void> keep(handle, [](const void* h) { ::dlclose(const_cast<void*>(h)); });
  const auto function = reinterpret_cast<mlpc_model_function>(::dlsym(handle, (name + "_model").c_str()));
  if (!function) fail(path, "the library lacks the function `{}_model`", name);
  return Model(function(MLPC_ABI_VERSION), std::move(keep));
}

const mlpc_entry* Model::find(std::string_view name) const {
  for (const mlpc_entry& e : entries())
    if (e.name == name) return &e;
  return nullptr;
}

const mlpc_entry& Model::entry(std::string_view name) const {
  const mlpc_entry* found = find(name);
  if (!found) fail(table_->name, "the model has no entry `{}`; it has {}", name, text_in_quotes(entries()));
  return *found;
}

const mlpc_tensor* Model::find_input(std::string_view name) const {
  for (const mlpc_entry& e : entries())
    for (const mlpc_tensor& input : inputs_of(e))
      if (input.name == name) return &input;
  return nullptr;
}

Weights Model::zero_weights() const {
  const auto zeros = [](std::int64_t bytes) { return Bytes(static_cast<std::size_t>(bytes)); };
  return {zeros(table_->params_bytes), zeros(table_->state_bytes), zeros(table_->slots_bytes)};
}

Shape shape_of(const mlpc_tensor& tensor, std::span<const std::int64_t> dims) {
  Shape out;
  for (std::int64_t axis = 0; axis < tensor.rank; ++axis) {
    const mlpc_extent& extent = tensor.shape[axis];
    if (extent.dim >= static_cast<std::int64_t>(dims.size()))
      fail(tensor.name, "its axis {} has no constant extent", axis);
    out.push_back(extent.dim < 0 ? extent.constant : dims[static_cast<std::size_t>(extent.dim)]);
  }
  return out;
}

std::span<std::byte> part_of(Bytes& buffer, const mlpc_tensor& tensor) {
  return std::span(buffer).subspan(static_cast<std::size_t>(tensor.offset),
                                   static_cast<std::size_t>(tensor.bytes));
}

std::span<const std::byte> part_of(const Bytes& buffer, const mlpc_tensor& tensor) {
  return std::span(buffer).subspan(static_cast<std::size_t>(tensor.offset),
                                   static_cast<std::size_t>(tensor.bytes));
}

Call::Call(const Model& model, const mlpc_entry& entry, std::span<const std::int64_t> dims,
           const Workers& workers)
    : model_(model),
      entry_(entry),
      plan_(static_cast<std::size_t>(model.table().plan_bytes)),
      inputs_(static_cast<std::size_t>(entry.input_count)) {
  const mlpc_model& table = model.table();
  auto* plan = reinterpret_cast<mlpc_plan*>(plan_.data());
  const int code = table.plan(plan, dims.data(), workers.count, static_cast<int>(entry.kind));
  if (code != MLPC_OK)
    fail(fmt::format("{}.{}", table.name, entry.name), "{}{}{}", mlpc_strerror(code),
         dims.empty() ? "" : ": ", text_of_dims(table, dims));
  workspace_.resize(static_cast<std::size_t>(plan->workspace_bytes));
  for (const mlpc_tensor& result : results_of(entry))
    results.push_back(Tensor::zeros(type_of(result), shape_of(result, dims)));
  for (Tensor& result : results) outputs_.push_back(result.bytes.data());
  const auto bytes = [](std::int64_t count) { return static_cast<std::size_t>(count); };
  if (entry.kind == MLPC_GRAD || entry.kind == MLPC_HVP) grads.resize(bytes(table.params_bytes));
  if (entry.kind == MLPC_GRAD) state_out.resize(bytes(table.state_bytes));
  if (entry.kind == MLPC_JVP || entry.kind == MLPC_HVP) tangents.resize(bytes(table.params_bytes));
  args.size = sizeof args;
  args.inputs = inputs_.data();
  args.results = outputs_.data();
  args.grads = grads.data();
  args.state_out = state_out.data();
  args.tangents = tangents.data();
  args.workspace = workspace_.data();
  args.steps = 1;
  args.loss_bar = 1;
  args.parallel = workers.parallel;
  args.host = workers.host;
}

void Call::use(Weights& weights) {
  args.params = weights.params.data();
  args.state = weights.state.data();
  args.slots = weights.slots.data();
}

void Call::run() {
  const int code = entry_.call(reinterpret_cast<const mlpc_plan*>(plan_.data()), &args);
  if (code == MLPC_OK) return;
  const auto i = static_cast<std::size_t>(args.error_argument);
  if (code == MLPC_INDEX_OUT_OF_RANGE && i < inputs_.size())
    throw CallError(inputs_of(entry_)[i].name, index_problem(i, args.error_position, args.error_position),
                    code, i, args.error_position);
  throw CallError(fmt::format("{}.{}", model_.table().name, entry_.name), mlpc_strerror(code), code);
}

std::string Call::index_problem(std::size_t i, std::int64_t position, std::int64_t shown) const {
  const mlpc_tensor& input = inputs_of(entry_)[i];
  return fmt::format("element {} is {}, outside 0 … {} of the input `{}`", shown,
                     integer_at(inputs_[i], type_of(input), position), input.bound - 1, input.name);
}

void initialise(const Model& model, Weights& weights, std::uint64_t seed) {
  weights = model.zero_weights();
  // What is drawn depends on no dim; the plan still asks for them.
  Call call(model, model.entry("init"), DimBinder(model.table()).dims(), {});
  call.use(weights);
  call.args.seed = seed;
  call.run();
}

}  // namespace mlpc::runtime
