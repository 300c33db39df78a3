/* A small pool of threads for hosts that have none: its mlpc_pool_parallel is a hook for mlpc_args.parallel,
 * with the pool as mlpc_args.host. Waiting threads spin for some 100 µs, then sleep. */
#ifndef MLPC_POOL_H
#define MLPC_POOL_H

#include "runtime/abi.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct mlpc_pool mlpc_pool;

/* `workers` counts the calling thread, too: 1 starts none. 0: one a processor that this process may use. Null
 * if it is negative, above 1024, or the system gives no threads. */
mlpc_pool* mlpc_pool_new(int workers);
/* No call may be under way. */
void mlpc_pool_free(mlpc_pool* pool);
/* What to give to NAME_plan. */
int mlpc_pool_workers(const mlpc_pool* pool);
/* An mlpc_parallel. If the pool is busy, with a task that calls this or with another thread's call, the tasks
 * run in the caller. */
void mlpc_pool_parallel(void* pool, int64_t n, mlpc_task task, void* ctx);

#ifdef __cplusplus
}
#endif
#endif
