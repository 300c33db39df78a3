#pragma once

#include <map>
#include <string>
#include <vector>

#include "runtime/tensor.h"

namespace mlpc::runtime {

struct NamedView {
  std::string name;
  TensorView tensor;
};

/// A safetensors file: an 8-byte little-endian length, a JSON header, then the tensors' bytes. The views look
/// into `file`.
struct Safetensors {
  Bytes file;
  std::map<std::string, std::string> metadata;
  std::vector<NamedView> tensors;  // in the order of their bytes
  std::vector<Shape> shapes;       // what the views' shapes look into

  const TensorView* find(const std::string& name) const;
};

/// Strict: no holes or overlaps, no duplicate keys, no trailing bytes, checked products, a header of at most
/// 64 MiB. F32 F64 I32 I64 U8 BOOL.
Safetensors parse_safetensors(Bytes file, const std::string& where);
Safetensors read_safetensors(const std::string& path);

/// Tensors in the order given, the first byte of data at a multiple of 64.
void write_safetensors(const std::string& path, const std::vector<NamedView>& tensors,
                       const std::map<std::string, std::string>& metadata);

}  // namespace mlpc::runtime
