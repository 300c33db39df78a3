/* Runs the entries of any compiled model on made-up inputs, and prints every float that comes out, one tensor
 * a line: any_model EXTENT… (one for each free dim). MODEL is the name of its table's function. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "abi.h"

const mlpc_model* MODEL(uint32_t abi);

static const mlpc_model* model;
static mlpc_plan* plan;
static mlpc_args args;

static void* buffer(int64_t bytes) {
  const size_t size = (size_t)(bytes + 64) / 64 * 64;
  void* out = aligned_alloc(64, size);
  if (!out) exit(3);
  return memset(out, 0, size);
}

static int64_t size_of(uint32_t type) {
  static const int sizes[] = {4, 8, 4, 8, 1, 1};
  return sizes[type];
}

static int64_t count_of(const mlpc_tensor* t) {
  int64_t n = 1, i;
  for (i = 0; i < t->rank; ++i) n *= t->shape[i].dim < 0 ? t->shape[i].constant : plan->dims[t->shape[i].dim];
  return n;
}

/* Numbers in (-1, 1), indices within their bound, others below 2. */
static void fill(const mlpc_tensor* t, uint64_t key, char* to) {
  int64_t i;
  for (i = 0; i < count_of(t); ++i) {
    const uint64_t bits = mlpc_mix64(key + (uint64_t)i) >> 11;
    const double real = (double)bits * 0x1p-52 - 1;
    const int64_t whole = (int64_t)(bits % (uint64_t)(t->role == 1 ? t->bound : 2));
    if (t->type == MLPC_F32) ((float*)to)[i] = (float)real;
    if (t->type == MLPC_F64) ((double*)to)[i] = real;
    if (t->type == MLPC_I32) ((int32_t*)to)[i] = (int32_t)whole;
    if (t->type == MLPC_I64) ((int64_t*)to)[i] = whole;
    if (t->type == MLPC_U8) to[i] = (char)(bits % 256);
    if (t->type == MLPC_BOOL) to[i] = (char)(bits % 2);
  }
}

static void print(const char* entry, const mlpc_tensor* t, const char* from) {
  int64_t i;
  if (t->type > MLPC_F64) return;
  printf("%s.%s", entry, t->name);
  for (i = 0; i < count_of(t); ++i)
    printf(" %.17g", t->type == MLPC_F32 ? (double)((const float*)from)[i] : ((const double*)from)[i]);
  printf("\n");
}

static void print_all(const char* entry, const mlpc_tensor* rows, int64_t count, const void* from) {
  int64_t i;
  for (i = 0; i < count; ++i) print(entry, &rows[i], (const char*)from + rows[i].offset);
}

static void run(const mlpc_entry* entry, const int64_t* dims) {
  const void* inputs[16];
  void* results[32];
  int64_t i;
  int code = model->plan(plan, dims, 1, (int)entry->kind);
  if (code == MLPC_OK) {
    for (i = 0; i < entry->input_count; ++i) {
      char* data = buffer(count_of(&entry->inputs[i]) * size_of(entry->inputs[i].type));
      fill(&entry->inputs[i], (uint64_t)i << 32, data);
      inputs[i] = data;
    }
    for (i = 0; i < entry->result_count; ++i)
      results[i] = buffer(count_of(&entry->results[i]) * size_of(entry->results[i].type));
    args.inputs = inputs;
    args.results = results;
    args.workspace = buffer(plan->workspace_bytes);
    code = entry->call(plan, &args);
  }
  if (code != MLPC_OK) {
    fprintf(stderr, "%s: %s\n", entry->name, mlpc_strerror(code));
    exit(1);
  }
  for (i = 0; i < entry->result_count; ++i) print(entry->name, &entry->results[i], results[i]);
}

int main(int argc, char** argv) {
  static const int kinds[] = {MLPC_INIT, MLPC_INFER, MLPC_GRAD, MLPC_TRAIN_STEP, MLPC_TRAIN_STEP};
  int64_t dims[MLPC_MAX_DIMS], i;
  size_t k;
  model = MODEL(MLPC_ABI_VERSION);
  if (!model || argc - 1 != model->dim_count) return 2;
  for (i = 0; i < model->dim_count; ++i) dims[i] = atoll(argv[i + 1]);
  plan = buffer(model->plan_bytes);
  args.size = sizeof args;
  args.params = buffer(model->params_bytes);
  args.state = buffer(model->state_bytes);
  args.state_out = buffer(model->state_bytes);
  args.slots = buffer(model->slots_bytes);
  args.grads = buffer(model->params_bytes);
  args.seed = 7;
  args.steps = 10;
  args.loss_bar = 1;
  for (k = 0; k < sizeof kinds / sizeof *kinds; ++k, args.step += kinds[k - 1] == MLPC_TRAIN_STEP)
    for (i = 0; i < model->entry_count; ++i)
      if ((int)model->entries[i].kind == kinds[k]) run(&model->entries[i], dims);
  print_all("grads", model->params, model->param_count, args.grads);
  print_all("params", model->params, model->param_count, args.params);
  print_all("state", model->state, model->state_count, args.state);
  return 0;
}
