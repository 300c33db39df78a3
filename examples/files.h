/* What the example programs read: whole files, IDX data, and the parameters of a safetensors file. Plain C.
 */
#ifndef EXAMPLES_FILES_H
#define EXAMPLES_FILES_H

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static inline void die(const char* what, const char* why) {
  fprintf(stderr, "%s: %s\n", what, why);
  exit(1);
}

/* Memory that the ABI's 64-byte alignment asks for, zeroed. */
static inline void* buffer(int64_t bytes) {
  size_t size = ((size_t)bytes + 127) / 64 * 64;
  char* memory = (char*)malloc(size + 64);
  if (!memory) die("memory", "there is not enough");
  memory += 64 - (uintptr_t)memory % 64;
  return memset(memory, 0, size);
}

typedef struct {
  unsigned char* bytes;
  int64_t size;
} file_content;

static inline file_content read_whole(const char* path) {
  file_content content = {0, 0};
  FILE* file = fopen(path, "rb");
  if (!file || fseek(file, 0, SEEK_END) != 0) die(path, "cannot be read");
  content.size = ftell(file);
  rewind(file);
  content.bytes = (unsigned char*)buffer(content.size + 1);
  if (fread(content.bytes, 1, (size_t)content.size, file) != (size_t)content.size)
    die(path, "cannot be read");
  fclose(file);
  return content;
}

/* The elements of an IDX file of bytes, and how many rows they are. */
static inline const unsigned char* idx_bytes(const char* path, int64_t* rows, int64_t* row_bytes) {
  file_content file = read_whole(path);
  int64_t rank, axis, count = 1;
  if (file.size < 8 || file.bytes[0] != 0 || file.bytes[1] != 0 || file.bytes[2] != 8)
    die(path, "is no IDX file of bytes");
  rank = file.bytes[3];
  if (rank < 1 || file.size < 4 + 4 * rank) die(path, "is cut short");
  for (axis = 0; axis < rank; ++axis) {
    const unsigned char* e = file.bytes + 4 + 4 * axis;
    int64_t extent = ((int64_t)e[0] << 24) | (e[1] << 16) | (e[2] << 8) | e[3];
    if (axis == 0)
      *rows = extent;
    else
      count *= extent;
  }
  *row_bytes = count;
  if (file.size != 4 + 4 * rank + *rows * count) die(path, "does not hold what its header says");
  return file.bytes + 4 + 4 * rank;
}

/* Parameters come first in mlpc's safetensors files, in the table's order and without gaps: each goes to its
 * offset. */
static inline void read_params(const char* path, const mlpc_model* model, void* params) {
  file_content file = read_whole(path);
  uint64_t header = 0;
  int64_t i, at;
  if (file.size < 8) die(path, "is cut short");
  for (i = 0; i < 8; ++i) header |= (uint64_t)file.bytes[i] << (8 * i);
  at = 8 + (int64_t)header;
  for (i = 0; i < model->param_count; ++i) {
    const mlpc_tensor* p = &model->params[i];
    if (header > (uint64_t)file.size || at + p->bytes > file.size) die(path, "is cut short");
    memcpy((char*)params + p->offset, file.bytes + at, (size_t)p->bytes);
    at += p->bytes;
  }
}

#endif
