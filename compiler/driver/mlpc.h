/* libmlpc: compiles a network inside a host program. The compiled model is used through the ABI of
 * runtime/abi.h, as one that was loaded from a library is. Thread-safe: handles are independent. */
#ifndef MLPC_MLPC_H
#define MLPC_MLPC_H

#include "runtime/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mlpc_compiled mlpc_compiled;

typedef struct mlpc_compile_options {
  uint32_t size;              /* sizeof(mlpc_compile_options) */
  int32_t level;              /* of -O: 0 … 3; 2 is the default of the tool */
  const char* cpu;            /* a target row, or null for this processor */
  const char* const* defines; /* "H=512", as of -D */
  int64_t define_count;
  const char* const* entries; /* on request: "jvp", "hvp", "jacobian" */
  int64_t entry_count;
} mlpc_compile_options;

/* Compiles source text: a network, or any dump of one. `name` stands in messages; `use` is relative to it.
 * Options may be null. Never returns null but when memory runs out: ask mlpc_error. */
mlpc_compiled* mlpc_compile(const char* source, int64_t length, const char* name,
                            const mlpc_compile_options* options);
mlpc_compiled* mlpc_compile_file(const char* path, const mlpc_compile_options* options);
/* The diagnostics, or null if the compilation succeeded. Lives as long as the handle. */
const char* mlpc_error(const mlpc_compiled* compiled);
/* The model's table, or null after an error. It and its code live as long as the handle. */
const mlpc_model* mlpc_model_of(const mlpc_compiled* compiled);
void mlpc_free(mlpc_compiled* compiled);

#ifdef __cplusplus
}
#endif
#endif
