/* Trains a compiled model for one epoch, as `mlpc train` does: train SEED IMAGES.idx LABELS.idx OUT.bin
 * writes the bytes of all parameters, in the table's order. Nothing but fashion.h and libc is needed. */
#include "fashion.h"
#include "files.h"

int main(int argc, char** argv) {
  enum { kBatch = 128, kPixels = 28 * 28, kEpochs = 1 };
  int64_t rows = 0, row_bytes = 0, labels_count = 0, one = 0, i, step = 0, *order;
  const unsigned char *images, *labels;
  const mlpc_model* model = fashion_model(MLPC_ABI_VERSION);
  void *params = buffer(FASHION_PARAMS_BYTES), *slots = buffer(FASHION_SLOTS_BYTES);
  mlpc_plan* plan = (mlpc_plan*)buffer(FASHION_PLAN_BYTES);
  unsigned char* x = (unsigned char*)buffer(kBatch * kPixels);
  int32_t y[kBatch];
  float values[16]; /* loss, each loss, each metric */
  const void* inputs[2];
  void* results[16];
  mlpc_args args;
  FILE* out;
  int code;
  if (argc != 5) die("usage", "train SEED IMAGES.idx LABELS.idx OUT.bin");
  images = idx_bytes(argv[2], &rows, &row_bytes);
  labels = idx_bytes(argv[3], &labels_count, &one);
  if (row_bytes != kPixels || labels_count != rows) die(argv[2], "does not fit the labels");
  for (i = 0; i < 16; ++i) results[i] = &values[i];
  memset(&args, 0, sizeof args);
  args.size = sizeof args;
  args.params = params;
  args.slots = slots;
  args.seed = strtoull(argv[1], 0, 10);
  args.results = results;
  args.inputs = inputs;
  inputs[0] = x;
  inputs[1] = y;

  code = fashion_plan(plan, plan->dims, 1, MLPC_INIT);
  if (code == MLPC_OK) {
    args.workspace = buffer(plan->workspace_bytes);
    code = fashion_init(plan, &args);
  }
  if (code != MLPC_OK) die("init", mlpc_strerror(code));

  order = (int64_t*)buffer(rows * 8);
  mlpc_order(args.seed, 0, rows, order);
  args.steps = kEpochs * ((rows + kBatch - 1) / kBatch);
  for (i = 0; i < rows; i += kBatch, ++step) {
    int64_t dims[FASHION_DIMS], count = rows - i < kBatch ? rows - i : kBatch, k;
    for (k = 0; k < count; ++k) {
      memcpy(x + k * kPixels, images + order[i + k] * kPixels, kPixels);
      y[k] = labels[order[i + k]];
    }
    if (i == 0 || count < kBatch) { /* the last, short batch has a plan of its own */
      dims[FASHION_DIM_B] = count;
      code = fashion_plan(plan, dims, 1, MLPC_TRAIN_STEP);
      if (code != MLPC_OK) die("plan", mlpc_strerror(code));
      args.workspace = buffer(plan->workspace_bytes);
    }
    args.step = step;
    code = fashion_train_step(plan, &args);
    if (code != MLPC_OK) die("train_step", mlpc_strerror(code));
  }
  out = fopen(argv[4], "wb");
  for (i = 0; out && i < model->param_count; ++i)
    fwrite((char*)params + model->params[i].offset, 1, (size_t)model->params[i].bytes, out);
  if (!out || fclose(out) != 0) die(argv[4], "cannot be written");
  printf("loss of the last batch: %a\n", (double)values[0]);
  return 0;
}
