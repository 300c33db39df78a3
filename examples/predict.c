/* Classifies images with a compiled model: predict WEIGHTS.safetensors IMAGES.idx prints, for each image, the
 * class and its probability in hexadecimal, which keeps every bit. Nothing but fashion.h and libc is needed.
 */
#include "fashion.h"
#include "files.h"

int main(int argc, char** argv) {
  enum { kBatch = 500, kClasses = 10 };
  int64_t rows = 0, row_bytes = 0, first;
  const unsigned char* images;
  const mlpc_model* model = fashion_model(MLPC_ABI_VERSION);
  void* params = buffer(FASHION_PARAMS_BYTES);
  mlpc_plan* plan = (mlpc_plan*)buffer(FASHION_PLAN_BYTES);
  float p[kBatch * kClasses];
  if (argc != 3) die("usage", "predict WEIGHTS.safetensors IMAGES.idx");
  images = idx_bytes(argv[2], &rows, &row_bytes);
  if (row_bytes != 28 * 28) die(argv[2], "images are 28 x 28");
  read_params(argv[1], model, params);
  for (first = 0; first < rows; first += kBatch) {
    int64_t dims[FASHION_DIMS], count = rows - first < kBatch ? rows - first : kBatch, i;
    void* workspace;
    int code;
    dims[FASHION_DIM_B] = count;
    code = fashion_plan(plan, dims, 1, MLPC_INFER);
    if (code != MLPC_OK) die("plan", mlpc_strerror(code));
    workspace = buffer(plan->workspace_bytes);
    code = fashion_infer_with(plan, params, 0, images + first * row_bytes, p, workspace);
    if (code != MLPC_OK) die("infer", mlpc_strerror(code));
    for (i = 0; i < count; ++i) {
      int c, best = 0;
      for (c = 1; c < kClasses; ++c)
        if (p[i * kClasses + c] > p[i * kClasses + best]) best = c;
      printf("%d %a\n", best, (double)p[i * kClasses + best]);
    }
  }
  return 0;
}
