/* A model as mlpc would compile it, written by hand: linear regression with momentum, y ≈ x·W + b + k/10. It
 * has everything that the runtime deals with: a free dim, an index input, slots, state, a schedule, random
 * draws, tasks. Sums run over the rows in their order, so another order has other bits. */
#include "runtime/abi.h"

enum { kColumns = 3, kMagic = 0x11ea, kMostRows = 1 << 20 };

typedef struct { /* parameters, and slots and gradients alike */
  float weight[16];
  float bias[16];
} parameters;
typedef struct {
  float seen[16]; /* rows that training has seen */
} model_state;

static const char* const kDims[] = {"B"};
static const mlpc_extent kMatrix[] = {{0, 0, 0}, {kColumns, -1, 0}};
static const mlpc_extent kRows[] = {{0, 0, 0}};
static const mlpc_extent kVector[] = {{kColumns, -1, 0}};

#define TENSOR(type, name, shape, rank, offset, bytes, role, bound, initialiser) \
  {sizeof(mlpc_tensor), type, name, shape, rank, offset, bytes, 0, role, bound, initialiser}

static const mlpc_tensor kParams[] = {TENSOR(MLPC_F32, "fc.W", kVector, 1, 0, 12, 0, 0, "uniform"),
                                      TENSOR(MLPC_F32, "b", 0, 0, 64, 4, 0, 0, "0")};
static const mlpc_tensor kState[] = {TENSOR(MLPC_F32, "seen", 0, 0, 0, 4, 0, 0, "0")};
static const mlpc_tensor kSlots[] = {TENSOR(MLPC_F32, "m/fc.W", kVector, 1, 0, 12, 0, 0, "0"),
                                     TENSOR(MLPC_F32, "m/b", 0, 0, 64, 4, 0, 0, "0")};
static const mlpc_tensor kInputs[] = {TENSOR(MLPC_F32, "x", kMatrix, 2, 0, 0, 0, 0, ""),
                                      TENSOR(MLPC_I32, "k", kRows, 1, 0, 0, 1, 4, ""),
                                      TENSOR(MLPC_F32, "y", kRows, 1, 0, 0, 0, 0, "")};
static const mlpc_tensor kPrediction[] = {TENSOR(MLPC_F32, "p", kRows, 1, 0, 0, MLPC_OUTPUT, 0, "")};
static const mlpc_tensor kLosses[] = {TENSOR(MLPC_F32, "loss", 0, 0, 0, 0, MLPC_LOSS_TOTAL, 0, ""),
                                      TENSOR(MLPC_F32, "mse", 0, 0, 0, 0, MLPC_LOSS_TERM, 0, ""),
                                      TENSOR(MLPC_F32, "mae", 0, 0, 0, 0, MLPC_METRIC, 0, "")};

static int plan(mlpc_plan* p, const int64_t* dims, int workers, int entry) {
  if (workers < 1 || workers > 1024) return MLPC_BAD_WORKERS;
  if (entry < MLPC_INFER || entry > MLPC_INIT) return MLPC_BAD_ENTRY;
  if (dims[0] < 0 || dims[0] > kMostRows) return MLPC_BAD_DIM;
  if (dims[0] == 0 && (entry == MLPC_GRAD || entry == MLPC_TRAIN_STEP)) return MLPC_BAD_DIM;
  p->size = sizeof *p;
  p->abi = MLPC_ABI_VERSION;
  p->magic = (uint64_t)(kMagic + entry);
  p->workspace_bytes = (dims[0] * 4 + 63) / 64 * 64;
  p->dims[0] = dims[0];
  return MLPC_OK;
}

static int check(const mlpc_plan* p, mlpc_args* a, int entry) {
  int64_t i;
  const int32_t* k;
  if (!p || p->magic != (uint64_t)(kMagic + entry)) return MLPC_BAD_PLAN;
  if (!a || a->size < sizeof *a) return MLPC_BAD_ARGUMENTS;
  if (!a->params || ((uintptr_t)a->params | (uintptr_t)a->workspace) % 64) return MLPC_MISALIGNED;
  if (entry == MLPC_INIT || entry == MLPC_UPDATE) return MLPC_OK;
  k = (const int32_t*)a->inputs[1];
  for (i = 0; i < p->dims[0]; ++i)
    if (k[i] < 0 || k[i] >= 4) {
      a->error_argument = 1;
      a->error_position = i;
      return MLPC_INDEX_OUT_OF_RANGE;
    }
  return MLPC_OK;
}

typedef struct {
  const mlpc_args* args;
  float* out;
} rows_context;

static void predict_row(void* ctx, int64_t i, int worker) {
  const rows_context* c = (const rows_context*)ctx;
  const parameters* w = (const parameters*)c->args->params;
  const float* x = (const float*)c->args->inputs[0] + i * kColumns;
  float sum = w->bias[0] + 0.1f * (float)((const int32_t*)c->args->inputs[1])[i];
  int j;
  (void)worker;
  for (j = 0; j < kColumns; ++j) sum += x[j] * w->weight[j];
  c->out[i] = sum;
}

static void predict(const mlpc_plan* p, const mlpc_args* a, float* out) {
  rows_context context;
  int64_t i;
  context.args = a;
  context.out = out;
  if (a->parallel)
    a->parallel(a->host, p->dims[0], predict_row, &context);
  else
    for (i = 0; i < p->dims[0]; ++i) predict_row(&context, i, 0);
}

/* Writes loss, mse, mae and, if asked, adds the gradient times loss_bar; 0 if the loss is not finite. */
static int losses(const mlpc_plan* p, const mlpc_args* a, parameters* gradient, float loss_bar) {
  float* prediction = (float*)a->workspace;
  const float* y = (const float*)a->inputs[2];
  float squares = 0, magnitudes = 0, n = (float)p->dims[0];
  int64_t i;
  int j;
  predict(p, a, prediction);
  for (i = 0; i < p->dims[0]; ++i) {
    const float e = prediction[i] - y[i];
    squares += e * e;
    magnitudes += e < 0 ? -e : e;
    if (!gradient) continue;
    for (j = 0; j < kColumns; ++j)
      gradient->weight[j] += loss_bar * 2 * e / n * ((const float*)a->inputs[0])[i * kColumns + j];
    gradient->bias[0] += loss_bar * 2 * e / n;
  }
  *(float*)a->results[0] = *(float*)a->results[1] = squares / n;
  *(float*)a->results[2] = magnitudes / n;
  return squares - squares == 0;
}

static int infer(const mlpc_plan* p, mlpc_args* a) {
  const int code = check(p, a, MLPC_INFER);
  if (code) return code;
  predict(p, a, (float*)a->results[0]);
  return MLPC_OK;
}

static int loss(const mlpc_plan* p, mlpc_args* a) {
  const int code = check(p, a, MLPC_LOSS);
  if (code) return code;
  losses(p, a, 0, 0);
  return MLPC_OK;
}

static int grad(const mlpc_plan* p, mlpc_args* a) {
  const int code = check(p, a, MLPC_GRAD);
  const parameters zero = {{0}, {0}};
  if (code) return code;
  if (!(a->flags & MLPC_ACCUMULATE)) *(parameters*)a->grads = zero;
  *(model_state*)a->state_out = *(const model_state*)a->state;
  ((model_state*)a->state_out)->seen[0] += (float)p->dims[0];
  if (!losses(p, a, (parameters*)a->grads, (float)a->loss_bar) && (a->flags & MLPC_CHECK_FINITE))
    return MLPC_NOT_FINITE;
  return MLPC_OK;
}

static void apply(mlpc_args* a, const parameters* gradient) {
  parameters *w = (parameters*)a->params, *m = (parameters*)a->slots;
  uint32_t noise[4];
  float rate;
  int j;
  noise[0] = noise[1] = noise[3] = 0;
  noise[2] = (uint32_t)a->step;
  mlpc_philox(a->seed, noise);
  rate = 0.1f * (1 - (float)a->step / (float)a->steps) * (1 + (float)(noise[0] >> 8) / 16777216.0f);
  for (j = 0; j < kColumns; ++j) {
    m->weight[j] = 0.5f * m->weight[j] + gradient->weight[j];
    w->weight[j] -= rate * m->weight[j];
  }
  m->bias[0] = 0.5f * m->bias[0] + gradient->bias[0];
  w->bias[0] -= rate * m->bias[0];
}

static int update(const mlpc_plan* p, mlpc_args* a) {
  const int code = check(p, a, MLPC_UPDATE);
  if (code) return code;
  apply(a, (const parameters*)a->grads);
  return MLPC_OK;
}

static int train_step(const mlpc_plan* p, mlpc_args* a) {
  const int code = check(p, a, MLPC_TRAIN_STEP);
  parameters gradient = {{0}, {0}};
  if (code) return code;
  if (!losses(p, a, &gradient, 1) && (a->flags & MLPC_CHECK_FINITE)) return MLPC_NOT_FINITE;
  apply(a, &gradient);
  ((model_state*)a->state)->seen[0] += (float)p->dims[0];
  return MLPC_OK;
}

static int init(const mlpc_plan* p, mlpc_args* a) {
  const int code = check(p, a, MLPC_INIT);
  const parameters zero = {{0}, {0}};
  const model_state none = {{0}};
  uint32_t words[4] = {0, 0, 0, 0};
  int j;
  if (code) return code;
  *(parameters*)a->params = *(parameters*)a->slots = zero;
  *(model_state*)a->state = none;
  mlpc_philox(a->seed, words);
  for (j = 0; j < kColumns; ++j) ((parameters*)a->params)->weight[j] = (float)(words[j] >> 8) / 16777216.0f;
  return MLPC_OK;
}

static const mlpc_entry kEntries[] = {
    {sizeof(mlpc_entry), MLPC_INFER, "infer", infer, kInputs, 2, kPrediction, 1},
    {sizeof(mlpc_entry), MLPC_LOSS, "loss", loss, kInputs, 3, kLosses, 3},
    {sizeof(mlpc_entry), MLPC_GRAD, "grad", grad, kInputs, 3, kLosses, 3},
    {sizeof(mlpc_entry), MLPC_TRAIN_STEP, "train_step", train_step, kInputs, 3, kLosses, 3},
    {sizeof(mlpc_entry), MLPC_UPDATE, "update", update, 0, 0, 0, 0},
    {sizeof(mlpc_entry), MLPC_INIT, "init", init, 0, 0, 0, 0}};

static const mlpc_model kModel = {sizeof(mlpc_model),
                                  MLPC_ABI_VERSION,
                                  "linear",
                                  sizeof(mlpc_plan),
                                  plan,
                                  kDims,
                                  1,
                                  kParams,
                                  2,
                                  sizeof(parameters),
                                  kState,
                                  1,
                                  sizeof(model_state),
                                  kSlots,
                                  2,
                                  sizeof(parameters),
                                  kEntries,
                                  6,
                                  "{\"batch\":8,\"epochs\":3,\"seed\":5}",
                                  "by hand",
                                  "0123"};

const mlpc_model* linear_model(uint32_t abi);
const mlpc_model* linear_model(uint32_t abi) { return abi == MLPC_ABI_VERSION ? &kModel : 0; }

/* Owner "mlpc", type 1, "linear". In assembler: compilers do not give a section of C the type of a note. */
__asm__(
    ".pushsection .note.mlpc,\"a\",%note\n"
    ".balign 4\n"
    ".long 5, 7, 1\n"
    ".asciz \"mlpc\"\n"
    ".balign 4\n"
    ".asciz \"linear\"\n"
    ".balign 4\n"
    ".popsection\n");
