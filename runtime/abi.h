/* The C ABI of a model that mlpc compiled. Every generated header contains this text, so it includes only
 * libc's freestanding headers, is valid C99 and C++, and is append-only: a field is never moved or removed.
 */
#ifndef MLPC_ABI_1
#define MLPC_ABI_1

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define MLPC_ABI_VERSION 1u
#define MLPC_MAX_DIMS 16

/* What every call returns: 0, or one of these. Append-only. `m` explains it in mlpc_strerror. */
#define MLPC_CODES(X)                                                                              \
  X(MLPC_OK, 0, "no error")                                                                        \
  X(MLPC_BAD_PLAN, -1, "the plan was not made by this model's plan function for this entry")       \
  X(MLPC_BAD_ARGUMENTS, -2, "the argument struct is null or smaller than this model needs")        \
  X(MLPC_NULL_POINTER, -3, "a buffer that this entry uses is null")                                \
  X(MLPC_MISALIGNED, -4, "a buffer is not aligned as this model requires")                         \
  X(MLPC_OVERLAP, -5, "a buffer that is written overlaps another one")                             \
  X(MLPC_BAD_DIM, -6, "a dim is negative, too large, or 0 where the entry needs rows")             \
  X(MLPC_CHECK_FAILED, -7, "the dims break a relation that the model needs")                       \
  X(MLPC_TOO_LARGE, -8, "the dims ask for more memory than can be addressed")                      \
  X(MLPC_UNSUPPORTED_CPU, -9, "this processor lacks instructions that the model was compiled for") \
  X(MLPC_BAD_ENTRY, -10, "the model has no such entry")                                            \
  X(MLPC_INDEX_OUT_OF_RANGE, -11, "a value of an index input is outside its range")                \
  X(MLPC_NOT_FINITE, -12, "the loss is not finite")                                                \
  X(MLPC_BAD_WORKERS, -13, "the number of workers is not between 1 and 1024")

enum mlpc_code {
#define MLPC_CODE_ENUM(name, value, m) name = value,
  MLPC_CODES(MLPC_CODE_ENUM)
#undef MLPC_CODE_ENUM
};

static inline const char* mlpc_strerror(int code) {
  switch (code) {
#define MLPC_CODE_TEXT(name, value, m) \
  case value:                          \
    return m;
    MLPC_CODES(MLPC_CODE_TEXT)
#undef MLPC_CODE_TEXT
    default:
      return "unknown code";
  }
}

/* Entry points, as indexes of NAME_plan's last argument and of the table. */
enum mlpc_entry_kind {
  MLPC_INFER = 0,
  MLPC_LOSS = 1,
  MLPC_GRAD = 2,
  MLPC_UPDATE = 3,
  MLPC_TRAIN_STEP = 4,
  MLPC_INIT = 5,
  MLPC_JVP = 6, /* these on request, --entries= */
  MLPC_HVP = 7,
  MLPC_JACOBIAN = 8
};

enum mlpc_type { MLPC_F32 = 0, MLPC_F64 = 1, MLPC_I32 = 2, MLPC_I64 = 3, MLPC_U8 = 4, MLPC_BOOL = 5 };

/* Runs task(ctx, i, worker) for i = 0 … n-1, each exactly once, in any order, on any threads, and returns
 * when all have returned. `worker` is below the number given to NAME_plan, and no two tasks that run at the
 * same time have the same one. */
typedef void (*mlpc_task)(void* ctx, int64_t i, int worker);
typedef void (*mlpc_parallel)(void* host, int64_t n, mlpc_task task, void* ctx);

/* What one entry needs at given dims. The caller provides `plan_bytes` bytes, 8-byte aligned, of which this
 * is the public head. Read-only once made; any number of threads may share it. */
typedef struct mlpc_plan {
  uint32_t size, abi; /* plan_bytes; MLPC_ABI_VERSION */
  uint64_t magic;     /* covers model, entry and target */
  int64_t workspace_bytes;
  int64_t dims[MLPC_MAX_DIMS];
} mlpc_plan;

enum mlpc_flag { MLPC_ACCUMULATE = 1, MLPC_CHECK_FINITE = 2 };

/* One call's arguments. Pointers may be null where the size is 0. params, state, slots, grads and workspace
 * are aligned to 64 bytes, inputs and results to their element. */
typedef struct mlpc_args {
  uint32_t size, flags;      /* sizeof(mlpc_args); enum mlpc_flag */
  const void* const* inputs; /* one a table entry's input, in its order */
  void* const* results;      /* one a table entry's result, in its order */
  void* params;
  void* state;
  void* state_out; /* of `grad` only */
  void* slots;
  void* grads; /* has the parameters' offsets; of `hvp`, its products */
  void* workspace;
  uint64_t seed;
  int64_t step, steps, epoch;
  int64_t row_offset;     /* global index of the first row: random draws are by global row */
  double loss_bar;        /* cotangent of the loss; `grad` and `hvp`; 1 for the gradient itself */
  mlpc_parallel parallel; /* null: tasks run in the caller */
  void* host;             /* passed on to parallel */
  int32_t error_argument; /* out: of MLPC_INDEX_OUT_OF_RANGE, which input … */
  int64_t error_position; /* … and which element of it, row-major */
  const void* tangents;   /* of `jvp` and `hvp`: the direction, with the parameters' offsets */
} mlpc_args;

/* An extent: a constant, or a dim of the table. */
typedef struct mlpc_extent {
  int64_t constant; /* if dim < 0 */
  int32_t dim;      /* index into mlpc_model.dims, or -1 */
  int32_t reserved;
} mlpc_extent;

typedef struct mlpc_tensor {
  uint32_t size, type; /* sizeof(mlpc_tensor); enum mlpc_type */
  const char* name;    /* an input's or result's name; a parameter's path */
  const mlpc_extent* shape;
  int64_t rank;
  int64_t offset; /* bytes into params, state or slots; 0 for inputs and results */
  int64_t bytes;  /* of parameters, state and slots */
  int32_t layout; /* 0: row-major */
  int32_t role;   /* results: enum mlpc_role; inputs: 1 if it indexes (labels, tokens), with `bound` */
  int64_t bound;  /* an index input's values are 0 … bound-1 */
  const char* initialiser; /* as written; parameters and state */
} mlpc_tensor;

enum mlpc_role {
  MLPC_OUTPUT = 0,
  MLPC_LOSS_TOTAL = 1,
  MLPC_LOSS_TERM = 2,
  MLPC_METRIC = 3,
  MLPC_CLIP_NORM = 4
};

typedef struct mlpc_entry {
  uint32_t size, kind; /* sizeof(mlpc_entry); enum mlpc_entry_kind */
  const char* name;    /* "infer" */
  int (*call)(const mlpc_plan*, mlpc_args*);
  const mlpc_tensor* inputs;
  int64_t input_count;
  const mlpc_tensor* results;
  int64_t result_count;
} mlpc_entry;

/* NAME_model(MLPC_ABI_VERSION): everything about the model. */
typedef struct mlpc_model {
  uint32_t size, abi;
  const char* name;
  int64_t plan_bytes;
  int (*plan)(mlpc_plan*, const int64_t* dims, int workers, int entry);
  const char* const* dims; /* names of the free dims, in the order of plan's argument */
  int64_t dim_count;
  const mlpc_tensor* params;
  int64_t param_count, params_bytes;
  const mlpc_tensor* state;
  int64_t state_count, state_bytes;
  const mlpc_tensor* slots;
  int64_t slot_count, slots_bytes;
  const mlpc_entry* entries;
  int64_t entry_count;
  const char* train;       /* settings of the trainer, a JSON object */
  const char* target;      /* "x86_64-unknown-linux-gnu v4" */
  const char* source_hash; /* SHA-256 of the source, hexadecimal */
} mlpc_model;

typedef const mlpc_model* (*mlpc_model_function)(uint32_t abi);

/* One turn of SplitMix64 (Steele, Lea, Flood 2014): the increment, then the finaliser. */
static inline uint64_t mlpc_mix64(uint64_t x) {
  x += 0x9e3779b97f4a7c15u;
  x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
  x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
  return x ^ (x >> 31);
}

/* Philox4x32-10 (Salmon, Moraes, Dror, Shaw: "Parallel random numbers: as easy as 1, 2, 3", 2011). `counter`
 * is replaced by its four random words. */
static inline void mlpc_philox(uint64_t key, uint32_t counter[4]) {
  uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
  int round;
  for (round = 0; round < 10; ++round) {
    const uint64_t p0 = (uint64_t)0xd2511f53u * counter[0], p1 = (uint64_t)0xcd9e8d57u * counter[2];
    counter[0] = (uint32_t)(p1 >> 32) ^ counter[1] ^ k0;
    counter[1] = (uint32_t)p1;
    counter[2] = (uint32_t)(p0 >> 32) ^ counter[3] ^ k1;
    counter[3] = (uint32_t)p0;
    k0 += 0x9e3779b9u;
    k1 += 0xbb67ae85u;
  }
}

#define MLPC_ORDER_STREAM 0x6f72646572u /* "order" in ASCII */

/* Writes the order in which epoch `epoch` of a training with `seed` visits n samples: a permutation of 0 …
 * n-1, by Fisher and Yates from the back. Swap i takes the high half of (i + 1) times 64 random bits, two
 * words of the block with counter (i / 2, epoch); the bias is below n / 2^64. */
static inline void mlpc_order(uint64_t seed, int64_t epoch, int64_t n, int64_t* order) {
  const uint64_t key = mlpc_mix64(seed ^ mlpc_mix64((uint64_t)MLPC_ORDER_STREAM ^ mlpc_mix64(0)));
  int64_t i;
  for (i = 0; i < n; ++i) order[i] = i;
  for (i = n - 1; i > 0; --i) {
    const uint64_t block = (uint64_t)i / 2, turn = (uint64_t)epoch, range = (uint64_t)i + 1;
    uint32_t word[4];
    uint64_t low, middle, other;
    int64_t j, kept;
    word[0] = (uint32_t)block;
    word[1] = (uint32_t)(block >> 32);
    word[2] = (uint32_t)turn;
    word[3] = (uint32_t)(turn >> 32);
    mlpc_philox(key, word);
    /* (high word, low word) * range / 2^64 in 32-bit pieces; C99 has no 128-bit product. */
    low = (uint64_t)word[2 * (i % 2)];
    other = (uint64_t)word[2 * (i % 2) + 1];
    middle = ((low * (range & 0xffffffffu)) >> 32) + other * (range & 0xffffffffu);
    low = low * (range >> 32) + (middle & 0xffffffffu);
    j = (int64_t)(other * (range >> 32) + (middle >> 32) + (low >> 32));
    kept = order[i];
    order[i] = order[j];
    order[j] = kept;
  }
}

#ifdef __cplusplus
}
#endif
#endif /* MLPC_ABI_1 */
