// Compiles a network inside this program and uses it at once, as predict.c and train.c use the library:
//   jit NET predict WEIGHTS.safetensors IMAGES.idx
//   jit NET train SEED IMAGES.idx LABELS.idx OUT.bin
#include <cstdio>
#include <cstring>
#include <string>
#include <vector>

#include "compiler/driver/mlpc.hpp"
#include "files.h"

namespace {

constexpr int64_t kPixels = 28 * 28, kClasses = 10;

void check(int code, const char* what) {
  if (code != MLPC_OK) die(what, mlpc_strerror(code));
}

/// Plans an entry for a batch and calls it.
class Caller {
 public:
  Caller(const mlpc::CompiledModel& model, mlpc_entry_kind kind)
      : table_(model.table()), entry_(model.entry(kind)), kind_(kind) {
    if (!entry_) die("model", "has no such entry");
    plan_ = static_cast<mlpc_plan*>(buffer(table_.plan_bytes));
  }
  void plan(int64_t batch) {
    if (batch == batch_) return;
    check(table_.plan(plan_, &batch, 1, kind_), "plan");
    batch_ = batch;
    workspace_ = buffer(plan_->workspace_bytes);
  }
  void call(mlpc_args& args) {
    args.workspace = workspace_;
    check(entry_->call(plan_, &args), entry_->name);
  }

 private:
  const mlpc_model& table_;
  const mlpc_entry* entry_;
  mlpc_entry_kind kind_;
  mlpc_plan* plan_ = nullptr;
  int64_t batch_ = -1;
  void* workspace_ = nullptr;
};

mlpc_args arguments(void* params) {
  mlpc_args args{};
  args.size = sizeof args;
  args.params = params;
  return args;
}

void predict(const mlpc::CompiledModel& model, const char* weights, const char* images_path) {
  constexpr int64_t kBatch = 500;
  int64_t rows = 0, row_bytes = 0;
  const unsigned char* images = idx_bytes(images_path, &rows, &row_bytes);
  if (row_bytes != kPixels) die(images_path, "images are 28 x 28");
  mlpc_args args = arguments(buffer(model.table().params_bytes));
  read_params(weights, &model.table(), args.params);
  std::vector<float> p(kBatch * kClasses);
  Caller infer(model, MLPC_INFER);
  for (int64_t first = 0; first < rows; first += kBatch) {
    const int64_t count = rows - first < kBatch ? rows - first : kBatch;
    const void* inputs[] = {images + first * kPixels};
    void* results[] = {p.data()};
    args.inputs = inputs;
    args.results = results;
    infer.plan(count);
    infer.call(args);
    for (int64_t i = 0; i < count; ++i) {
      const float* row = p.data() + i * kClasses;
      int best = 0;
      for (int c = 1; c < kClasses; ++c)
        if (row[c] > row[best]) best = c;
      std::printf("%d %a\n", best, static_cast<double>(row[best]));
    }
  }
}

void train(const mlpc::CompiledModel& model, const char* seed, const char* images_path,
           const char* labels_path, const char* out_path) {
  constexpr int64_t kBatch = 128;
  int64_t rows = 0, row_bytes = 0, label_rows = 0, one = 0;
  const unsigned char* images = idx_bytes(images_path, &rows, &row_bytes);
  const unsigned char* labels = idx_bytes(labels_path, &label_rows, &one);
  if (row_bytes != kPixels || label_rows != rows) die(images_path, "does not fit the labels");
  std::vector<unsigned char> x(kBatch * kPixels);
  std::vector<int32_t> y(kBatch);
  std::vector<float> values(16);
  std::vector<void*> results;
  for (float& v : values) results.push_back(&v);
  const void* inputs[] = {x.data(), y.data()};
  mlpc_args args = arguments(buffer(model.table().params_bytes));
  args.slots = buffer(model.table().slots_bytes);
  args.seed = std::strtoull(seed, nullptr, 10);
  args.inputs = inputs;
  args.results = results.data();
  Caller init(model, MLPC_INIT), step(model, MLPC_TRAIN_STEP);
  init.plan(0);
  init.call(args);
  std::vector<int64_t> order(static_cast<std::size_t>(rows));
  mlpc_order(args.seed, 0, rows, order.data());
  args.steps = (rows + kBatch - 1) / kBatch;
  for (int64_t first = 0; first < rows; first += kBatch, ++args.step) {
    const int64_t count = rows - first < kBatch ? rows - first : kBatch;
    for (int64_t k = 0; k < count; ++k) {
      const int64_t row = order[static_cast<std::size_t>(first + k)];
      std::memcpy(x.data() + k * kPixels, images + row * kPixels, kPixels);
      y[static_cast<std::size_t>(k)] = labels[row];
    }
    step.plan(count);
    step.call(args);
  }
  std::FILE* out = std::fopen(out_path, "wb");
  for (int64_t i = 0; out && i < model.table().param_count; ++i) {
    const mlpc_tensor& p = model.table().params[i];
    std::fwrite(static_cast<char*>(args.params) + p.offset, 1, static_cast<std::size_t>(p.bytes), out);
  }
  if (!out || std::fclose(out) != 0) die(out_path, "cannot be written");
  std::printf("loss of the last batch: %a\n", static_cast<double>(values[0]));
}

}  // namespace

int main(int argc, char** argv) {
  const std::string command = argc > 2 ? argv[2] : "";
  try {
    if (command == "predict" && argc == 5)
      predict(mlpc::CompiledModel::from_file(argv[1]), argv[3], argv[4]);
    else if (command == "train" && argc == 7)
      train(mlpc::CompiledModel::from_file(argv[1]), argv[3], argv[4], argv[5], argv[6]);
    else
      die("usage", "jit NET predict WEIGHTS IMAGES | jit NET train SEED IMAGES LABELS OUT");
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}
