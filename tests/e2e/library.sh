#!/usr/bin/env bash
# The compiled library needs nothing, shows only its own names, and allocates nothing; two models share a program.
. "$(dirname "$0")/common.sh"
$mlpc "$source_dir/examples/fashion.net" -o fashion.so
$mlpc "$source_dir/examples/lecture.net" -o lecture.so
for name in fashion lecture; do
  readelf -d $name.so | grep -q NEEDED && fail "$name.so needs another library"
  nm -D --defined-only $name.so | awk '{print $3}' | grep -v "^${name}_" && fail "$name.so shows another name"
  readelf -lW $name.so | grep -E 'GNU_STACK.*RWE|LOAD.*RWE' && fail "$name.so has memory that is writable and executable"
  readelf -lW $name.so | grep -q GNU_RELRO || fail "$name.so has no RELRO"
  readelf -d $name.so | grep -q BIND_NOW || fail "$name.so binds lazily"
done

# All entries of both, under allocators that abort.
cat >both.c <<'C'
#include "fashion.h"
#include "lecture.h"
#include <stdio.h>
#include <string.h>
static _Alignas(64) char memory[64 << 20];
static size_t used;
static int armed;
static void *take(int64_t bytes) {
  void *p = memory + used;
  used += ((size_t)bytes + 64) / 64 * 64;
  return p;
}
void *__libc_malloc(size_t);
void *malloc(size_t n) {
  if (armed) __builtin_trap();
  return __libc_malloc(n);
}
static int run(const mlpc_model *m) {
  enum { kRows = 7 };
  int64_t dims[MLPC_MAX_DIMS], i, k;
  mlpc_args args;
  memset(&args, 0, sizeof args);
  args.size = sizeof args;
  args.params = take(m->params_bytes);
  args.state = take(m->state_bytes);
  args.state_out = take(m->state_bytes);
  args.slots = take(m->slots_bytes);
  args.grads = take(m->params_bytes);
  args.steps = 10;
  args.loss_bar = 1;
  for (i = 0; i < MLPC_MAX_DIMS; ++i) dims[i] = kRows;
  for (i = m->entry_count; i-- > 0;) { /* init comes last in the table, and first here */
    const mlpc_entry *e = &m->entries[i];
    const void *inputs[8];
    void *results[32];
    mlpc_plan *plan = (mlpc_plan *)take(m->plan_bytes);
    int code = m->plan(plan, dims, 1, (int)e->kind);
    if (code) return printf("%s: plan: %s\n", e->name, mlpc_strerror(code)), 1;
    for (k = 0; k < e->input_count; ++k) inputs[k] = take(kRows * 1024 * 8);
    for (k = 0; k < e->result_count; ++k) results[k] = take(kRows * 1024 * 8);
    args.inputs = inputs;
    args.results = results;
    args.workspace = take(plan->workspace_bytes);
    armed = 1;
    code = e->call(plan, &args);
    armed = 0;
    if (code) return printf("%s: %s\n", e->name, mlpc_strerror(code)), 1;
  }
  return 0;
}
int main(void) { return run(fashion_model(MLPC_ABI_VERSION)) || run(lecture_model(MLPC_ABI_VERSION)); }
C
gcc -std=c11 -Wall -Wextra -Werror both.c ./fashion.so ./lecture.so -Wl,-rpath,"$work" -o both
./both || fail "an entry failed, or allocated"
$mlpc "$source_dir/examples/fashion.net" -o fashion.a
$mlpc "$source_dir/examples/lecture.net" -o lecture.o
gcc -std=c11 -Wall -Wextra -Werror both.c fashion.a lecture.o -o both_static
./both_static || fail "linked statically, an entry failed"
