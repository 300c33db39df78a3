#include "runtime/dataset.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <cstring>

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

namespace {

std::int64_t dim_named(const mlpc_model& table, const std::string& name) {
  for (std::int64_t i = 0; i < table.dim_count; ++i)
    if (table.dims[i] == name) return i;
  fail(table.name, "`batch` names {}, which is no free dim", name);
}

/// The dim that all inputs with a free first axis begin with; nullopt if there is none, or several.
std::optional<std::int64_t> leading_dim(const Model& model, const mlpc_entry& entry, bool is_needed) {
  const mlpc_model& table = model.table();
  std::optional<std::int64_t> out;
  for (const mlpc_tensor& input : inputs_of(entry)) {
    const std::int64_t leading = input.rank > 0 ? input.shape[0].dim : -1;
    if (leading < 0 || leading == out) continue;
    if (out && !is_needed) return {};
    if (out)
      fail(table.name,
           "the inputs begin with different dims, {} and {}; `batch = {{{}: 64}}` says which to split",
           table.dims[*out], table.dims[leading], table.dims[*out]);
    out = leading;
  }
  return out;
}

}  // namespace

std::vector<Split> batch_splits(const Model& model, const mlpc_entry& entry, const TrainSettings& settings) {
  const mlpc_model& table = model.table();
  std::vector<Split> out;
  for (const auto& [name, batch] : settings.batches) out.push_back({dim_named(table, name), batch});
  if (out.empty())
    if (const auto dim = leading_dim(model, entry, settings.batch.has_value()))
      out.push_back({*dim, settings.batch});
  for (const Split& split : out)
    for (const mlpc_tensor& input : inputs_of(entry))
      if (is_inside(input, split.dim))
        fail(table.name, "the dim {} cannot be split into batches: it is not the first axis of `{}`",
             table.dims[split.dim], input.name);
  return out;
}

Batches::Rows Batches::Axis::at(std::int64_t turn) const {
  const std::int64_t first = turn % std::max<std::int64_t>(1, turns()) * batch;
  return {first, std::min(batch, rows - first)};
}

void Batches::Axis::shuffle(std::int64_t turn, std::uint64_t seed) {
  const std::pair wanted{seed, turn / turns()};
  if (ordered == wanted) return;
  order.resize(static_cast<std::size_t>(rows));
  mlpc_order(seed, wanted.second, rows, order.data());
  ordered = wanted;
}

Batches::Batches(const Dataset& data, std::span<const Split> splits)
    : data_(data), gathered_(data.columns.size()) {
  for (const Split& split : splits) {
    const std::int64_t rows = data.dims[static_cast<std::size_t>(split.dim)];
    const std::int64_t batch = std::max<std::int64_t>(1, std::min(split.batch.value_or(rows), rows));
    axes_.push_back({split.dim, rows, batch, {}, {}});
  }
  if (axes_.empty()) axes_.push_back({-1, 1, 1, {}, {}});
  std::iter_swap(axes_.begin(), std::ranges::max_element(axes_, {}, &Axis::turns));
}

std::string Batches::text(const Model& model) const {
  std::string out;
  for (const Axis& axis : axes_)
    if (axis.dim >= 0)
      out += fmt::format("{}{} {} of {}", out.empty() ? "" : ", ", model.table().dims[axis.dim], axis.batch,
                         axis.rows);
  return out.empty() ? "all" : out;
}

std::vector<std::int64_t> Batches::dims_at(std::int64_t turn) const {
  std::vector<std::int64_t> out = data_.dims;
  for (const Axis& axis : axes_)
    if (axis.dim >= 0) out[static_cast<std::size_t>(axis.dim)] = axis.at(turn).count;
  return out;
}

const Batches::Axis* Batches::axis_of(const Dataset::Column& column) const {
  for (const Axis& axis : axes_)
    if (axis.dim >= 0 && axis.dim == column.leading_dim) return &axis;
  return nullptr;
}

const void* Batches::rows_of(std::size_t i, std::int64_t turn, bool is_shuffled) {
  const Dataset::Column& column = data_.columns[i];
  const std::byte* source = column.tensor.bytes.data();
  const Axis* axis = axis_of(column);
  if (!axis) return source;
  const auto [first, count] = axis->at(turn);
  const std::size_t row_bytes = column.tensor.bytes.size() / static_cast<std::size_t>(axis->rows);
  if (!is_shuffled) return source + static_cast<std::size_t>(first) * row_bytes;
  gathered_[i].resize(static_cast<std::size_t>(axis->batch) * row_bytes);
  std::byte* to = gathered_[i].data();
  for (const std::int64_t row :
       std::span(axis->order).subspan(static_cast<std::size_t>(first), static_cast<std::size_t>(count))) {
    std::memcpy(to, source + static_cast<std::size_t>(row) * row_bytes, row_bytes);
    to += row_bytes;
  }
  return gathered_[i].data();
}

std::size_t Batches::column_of(const Call& call, std::size_t input) const {
  return static_cast<std::size_t>(&data_.column(inputs_of(call.entry())[input].name) - data_.columns.data());
}

void Batches::run(Call& call, std::int64_t turn, std::optional<std::uint64_t> seed) {
  if (seed)
    for (Axis& axis : axes_) axis.shuffle(turn, *seed);
  for (std::size_t i = 0; i < inputs_of(call.entry()).size(); ++i)
    call.set_input(i, rows_of(column_of(call, i), turn, seed.has_value()));
  try {
    call.run();
  } catch (const CallError& e) {
    if (e.code != MLPC_INDEX_OUT_OF_RANGE) throw;
    const Dataset::Column& column = data_.columns[column_of(call, e.input)];
    std::int64_t shown = e.position;
    if (const Axis* axis = axis_of(column)) {
      const std::int64_t row_size = *element_count(column.tensor.shape) / axis->rows;
      const std::int64_t row = axis->at(turn).first + e.position / row_size;
      shown = (seed ? axis->order[static_cast<std::size_t>(row)] : row) * row_size + e.position % row_size;
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
  if (batches.has_no_rows()) fail(model.table().name, "there are no rows to evaluate");
  Calls calls(model, entry, workers);
  Means means;
  for (std::int64_t turn = 0; turn < batches.count(); ++turn) {
    Call& call = calls.at(batches.dims_at(turn));
    call.use(weights);
    batches.run(call, turn);
    means.add(call, batches.rows_at(turn));
  }
  return means.values();
}

}  // namespace mlpc::runtime
