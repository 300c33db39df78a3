#include "runtime/dataset.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>
#include <map>

#include "runtime/error.h"

namespace mlpc::runtime {
namespace {

std::vector<const mlpc_tensor*> inputs_read(std::span<const mlpc_entry* const> entries) {
  std::vector<const mlpc_tensor*> out;
  for (const mlpc_entry* entry : entries)
    for (const mlpc_tensor& input : inputs_of(*entry))
      if (std::ranges::none_of(out,
                               [&](const mlpc_tensor* t) { return t->name == std::string_view(input.name); }))
        out.push_back(&input);
  return out;
}

void check_names(const Model& model, const Inputs& given, const std::vector<const mlpc_tensor*>& read) {
  std::vector<std::string> missing;
  for (const mlpc_tensor* input : read)
    if (!given.contains(input->name))
      missing.push_back(fmt::format("`{}`, {}", input->name, text_of(model.table(), *input)));
  if (!missing.empty())
    fail(model.table().name, "no data is given for the input {}", fmt::join(missing, "; "));
  for (const auto& [name, input] : given)
    if (!model.find_input(name))
      fail(input.where, "the model {} has no input `{}`", model.table().name, name);
}

/// Whether the dim is an extent of the shape anywhere but first.
bool is_inside(const mlpc_tensor& tensor, std::int64_t dim) {
  for (std::int64_t axis = 1; axis < tensor.rank; ++axis)
    if (tensor.shape[axis].dim == dim) return true;
  return false;
}

}  // namespace

const Dataset::Column& Dataset::column(std::string_view name) const {
  const auto found = std::ranges::find(columns, name, &Column::name);
  if (found == columns.end()) fail(std::string(name), "no data is given for this input");
  return *found;
}

Dataset make_dataset(const Model& model, Inputs inputs, std::span<const mlpc_entry* const> entries) {
  const std::vector<const mlpc_tensor*> read = inputs_read(entries);
  check_names(model, inputs, read);
  DimBinder dims(model.table());
  Dataset out;
  for (const mlpc_tensor* declared : read) {
    Input& input = inputs.at(declared->name);
    Shape shape = dims.bind(*declared, input.tensor.shape, input.where);
    const std::string where = input.where;
    Tensor tensor = with_type(std::move(input), *declared);
    tensor.shape = std::move(shape);
    const std::int64_t leading = declared->rank > 0 ? declared->shape[0].dim : -1;
    out.columns.push_back({declared->name, std::move(tensor), where, leading});
  }
  out.dims = dims.dims();
  return out;
}

std::int64_t batch_dim(const Model& model, const mlpc_entry& entry, const std::string& name,
                       std::optional<std::int64_t> batch) {
  const mlpc_model& table = model.table();
  std::int64_t dim = -1;
  for (std::int64_t i = 0; i < table.dim_count && !name.empty(); ++i)
    if (table.dims[i] == name) dim = i;
  if (!name.empty() && dim < 0) fail(table.name, "`batch` names {}, which is no free dim", name);
  for (const mlpc_tensor& input : inputs_of(entry)) {
    const std::int64_t leading = input.rank > 0 ? input.shape[0].dim : -1;
    if (leading < 0 || !name.empty()) continue;
    if (dim >= 0 && dim != leading && !batch) return -1;
    if (dim >= 0 && dim != leading)
      fail(table.name,
           "the inputs begin with different dims, {} and {}; `batch = {{{}: 64}}` says which to split",
           table.dims[dim], table.dims[leading], table.dims[dim]);
    dim = leading;
  }
  for (const mlpc_tensor& input : inputs_of(entry))
    if (dim >= 0 && is_inside(input, dim)) {
      if (!batch) return -1;
      fail(table.name, "the dim {} cannot be split into batches: it is not the first axis of `{}`",
           table.dims[dim], input.name);
    }
  return dim;
}

Batches::Batches(const Dataset& data, std::int64_t dim, std::optional<std::int64_t> batch)
    : data_(data), dim_(dim), rows_(1), batch_(1), gathered_(data.columns.size()) {
  if (dim < 0) return;
  rows_ = data.dims[static_cast<std::size_t>(dim)];
  batch_ = std::max<std::int64_t>(1, std::min(batch.value_or(rows_), rows_));
}

std::vector<std::int64_t> Batches::dims_for(std::int64_t count) const {
  std::vector<std::int64_t> out = data_.dims;
  if (dim_ >= 0) out[static_cast<std::size_t>(dim_)] = count;
  return out;
}

const void* Batches::rows_of(std::size_t i, std::int64_t first, std::int64_t count,
                             std::span<const std::int64_t> order) {
  const Dataset::Column& column = data_.columns[i];
  const std::byte* source = column.tensor.bytes.data();
  if (dim_ < 0 || column.leading_dim != dim_) return source;
  const std::size_t row_bytes = column.tensor.bytes.size() / static_cast<std::size_t>(rows_);
  if (order.empty()) return source + static_cast<std::size_t>(first) * row_bytes;
  gathered_[i].resize(static_cast<std::size_t>(batch_) * row_bytes);
  std::byte* to = gathered_[i].data();
  for (const std::int64_t row :
       order.subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count))) {
    std::memcpy(to, source + static_cast<std::size_t>(row) * row_bytes, row_bytes);
    to += row_bytes;
  }
  return gathered_[i].data();
}

std::size_t Batches::column_of(const Call& call, std::size_t input) const {
  return static_cast<std::size_t>(&data_.column(inputs_of(call.entry())[input].name) - data_.columns.data());
}

void Batches::run(Call& call, std::int64_t first, std::int64_t count, std::span<const std::int64_t> order) {
  for (std::size_t i = 0; i < inputs_of(call.entry()).size(); ++i)
    call.set_input(i, rows_of(column_of(call, i), first, count, order));
  try {
    call.run();
  } catch (const CallError& e) {
    if (e.code != MLPC_INDEX_OUT_OF_RANGE) throw;
    const Dataset::Column& column = data_.columns[column_of(call, e.input)];
    std::int64_t shown = e.position;
    if (dim_ >= 0 && column.leading_dim == dim_) {
      const std::int64_t row_size = *element_count(column.tensor.shape) / rows_;
      const std::int64_t row = first + e.position / row_size;
      shown = (order.empty() ? row : order[static_cast<std::size_t>(row)]) * row_size + e.position % row_size;
    }
    throw CallError(column.where, call.index_problem(e.input, e.position, shown), e.code, e.input, shown);
  }
}

void Means::add(const Call& call, std::int64_t count) {
  const Rows<mlpc_tensor> results = results_of(call.entry());
  if (sums.empty())
    for (const mlpc_tensor& result : results)
      if (result.rank == 0) sums.push_back({result.name, 0});
  std::size_t at = 0;
  for (std::size_t i = 0; i < results.size(); ++i)
    if (results[i].rank == 0)
      sums[at++].value += scalar_of(call.results[i].view()) * static_cast<double>(count);
  rows += count;
}

Values Means::values() const {
  Values out = sums;
  for (Value& v : out) v.value /= static_cast<double>(rows);
  return out;
}

Values evaluate(const Model& model, Weights& weights, Batches& batches, const Workers& workers) {
  const mlpc_entry& entry = model.entry("loss");
  if (batches.row_count() == 0) fail(model.table().name, "there are no rows to evaluate");
  std::map<std::int64_t, Call> calls;
  Means means;
  for (std::int64_t first = 0; first < batches.row_count(); first += batches.batch()) {
    const std::int64_t count = batches.rows_at(first);
    Call& call = calls.try_emplace(count, model, entry, batches.dims_for(count), workers).first->second;
    call.use(weights);
    batches.run(call, first, count, {});
    means.add(call, count);
  }
  return means.values();
}

}  // namespace mlpc::runtime
